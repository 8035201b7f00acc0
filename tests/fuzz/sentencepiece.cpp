// The bytes up to the last NUL are read as a tokenizer.model or refused. A tokenizer that was read encodes the bytes after
// it into valid tokens that lie within the text.

#include <engine/tokenizer/sentencepiece.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(all.rfind('\0'), size);
  const std::string_view text = all.substr(std::min(cut + 1, size));
  try {
    const engine::tokenizer t = engine::parse_sentencepiece(all.substr(0, cut), "fuzz");
    for (const engine::start position : {engine::start::document, engine::start::middle}) {
      std::vector<precis::token> ids;
      for (const engine::token_span& s : t.encode_with_offsets(text, position)) {
        if (s.end_byte < s.first_byte || s.end_byte > text.size()) std::abort();
        if (s.id < 0 || static_cast<std::size_t>(s.id) >= t.size() || t.name_of(s.id).empty()) std::abort();
        ids.push_back(s.id);
      }
      if (t.encode(text, position) != ids) std::abort();
      (void)t.decode(ids);
    }
  } catch (const precis::error&) {}
  return 0;
}
