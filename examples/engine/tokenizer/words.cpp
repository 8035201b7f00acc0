#include <engine/tokenizer/words.hpp>

#include <engine/tokenizer/utf8.hpp>

#include <precis/core/error.hpp>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>

namespace engine {
namespace {

// GPT-2's pattern:  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// White space is spelled out because PCRE2's class, like Perl's, includes U+180E, which Unicode does not count as white
// space. `++` is possessive. That is safe: backtracking into it could not make any alternative match longer.
#define PRECIS_SPACE \
  "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
constexpr std::string_view pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}++| ?\\p{N}++| ?[^" PRECIS_SPACE
                                     "\\p{L}\\p{N}]++"
                                     "|[" PRECIS_SPACE "]+(?![^" PRECIS_SPACE "])|[" PRECIS_SPACE "]++";
#undef PRECIS_SPACE

struct release {
  void operator()(pcre2_code* code) const noexcept { pcre2_code_free(code); }
  void operator()(pcre2_match_data* data) const noexcept { pcre2_match_data_free(data); }
};

[[noreturn]] void fail(std::string_view doing, int code) {
  unsigned char message[120] = "";
  pcre2_get_error_message(code, message, sizeof message);
  precis::refuse({.what = std::string(doing) + " failed (" + reinterpret_cast<const char*>(message) + ")",
                  .where = "GPT-2 pre-tokenizer",
                  .expected = "PCRE2 with Unicode support"});
}

/// Compiled once and shared by threads; matching does not modify it.
[[nodiscard]] const pcre2_code* compiled() {
  static const std::unique_ptr<pcre2_code, release> code = [] {
    int fault = 0;
    PCRE2_SIZE at = 0;
    pcre2_code* c = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                                  &fault, &at, nullptr);
    if (c == nullptr) fail("compiling the pattern", fault);
    pcre2_jit_compile(c, PCRE2_JIT_COMPLETE);  // if it fails, matching is slower but the result is the same
    return std::unique_ptr<pcre2_code, release>(c);
  }();
  return code.get();
}

/// Splits a text that is valid UTF-8.
void split_valid(std::string_view text, pcre2_match_data* data, std::vector<std::string_view>& words) {
  const auto* const subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    const int found = pcre2_match(compiled(), subject, text.size(), at, PCRE2_NO_UTF_CHECK, data, nullptr);
    if (found < 0) fail("matching", found);  // the pattern matches at every character
    const std::size_t end = pcre2_get_ovector_pointer(data)[1];
    words.push_back(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace

std::vector<std::string_view> gpt2_words(std::string_view text) {
  const std::unique_ptr<pcre2_match_data, release> data(pcre2_match_data_create(1, nullptr));
  if (!data) std::abort();  // out of memory
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = at;
    while (end < text.size()) {
      const std::size_t length = utf8_length(text, end);
      if (length == 0) break;
      end += length;
    }
    split_valid(text.substr(at, end - at), data.get(), words);
    at = end;
    while (end < text.size() && utf8_length(text, end) == 0) ++end;
    if (end > at) words.push_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace engine
