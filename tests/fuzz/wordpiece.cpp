// The bytes up to a NUL are read as vocab.txt or refused. A tokenizer that was read splits the bytes after it into
// valid tokens whose spans are in order and lie within the text.

#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(all.find('\0'), size);
  const std::string_view text = all.substr(std::min(cut + 1, size));
  for (const bool lower : {true, false}) try {
      const engine::tokenizer t = engine::wordpiece(all.substr(0, cut), {.lowercase = lower, .strip_accents = lower});
      std::size_t begin = 0;
      for (const engine::token_span& s : t.encode_with_offsets(text, engine::start::document)) {
        if (s.first_byte < begin || s.end_byte < s.first_byte || s.end_byte > text.size()) std::abort();
        if (s.id < 0 || static_cast<std::size_t>(s.id) >= t.size() || t.text_of(s.id).empty()) std::abort();
        begin = s.first_byte;
      }
    } catch (const precis::error&) {}
  return 0;
}
