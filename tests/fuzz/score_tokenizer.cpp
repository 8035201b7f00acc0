// Bytes are read as a tok*.bin or refused. A tokenizer that was read encodes any text without loss.

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::optional<engine::tokenizer> t;
  try {
    t = engine::score_bpe(std::as_bytes(std::span(data, size)), "fuzz");
  } catch (const precis::error&) {
    return 0;
  }
  // The end of the file serves as the text.
  const std::string text(reinterpret_cast<const char*>(data) + size - std::min<std::size_t>(size, 64),
                         std::min<std::size_t>(size, 64));
  if (t->decode(t->encode(text, engine::start::middle)) != text) std::abort();
  if (t->decode(t->encode(text)) != text) std::abort();
  return 0;
}
