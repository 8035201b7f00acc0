// Any bytes are split into nonempty words whose concatenation is the text.

#include <engine/tokenizer/words.hpp>

#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const char* at = text.data();
  for (const std::string_view word : engine::gpt2_words(text)) {
    if (word.empty() || word.data() != at) std::abort();
    at += word.size();
  }
  if (at != text.data() + size) std::abort();
  return 0;
}
