// The bytes up to a NUL are read as vocab.json, those after it as merges.txt, or are refused. A tokenizer that was read
// encodes any text without loss, and its spans cover the text.

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(all.find('\0'), size);
  const std::string_view merges = all.substr(std::min(cut + 1, size));
  engine::tokenizer t;
  try {
    t = engine::byte_bpe(all.substr(0, cut), merges);
  } catch (const precis::error&) {
    return 0;
  }
  std::string joined;
  std::size_t at = 0;
  for (const engine::token_span& s : t.encode_with_offsets(merges)) {
    if (s.first_byte != at || s.end_byte < at) std::abort();
    at = s.end_byte;
    joined += t.text_of(s.id);
  }
  if (at != merges.size() || joined != merges) std::abort();
  return 0;
}
