// Any bytes are a tok*.bin or are refused; whatever is read encodes any text so that it can be decoded.

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
  // The end of the file is as good a text as any.
  const std::string text(reinterpret_cast<const char*>(data) + size - std::min<std::size_t>(size, 64),
                         std::min<std::size_t>(size, 64));
  if (t->decode(t->encode(text, engine::start::middle)) != text) std::abort();
  if (t->decode(t->encode(text)) != text) std::abort();
  return 0;
}
