#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace engine {

/// A literal text, or a regular expression as tokenizer.json has them (Oniguruma's syntax), run by PCRE2.
///
/// `\s` is Unicode's White_Space and `\w` letters, marks, digits and connectors, as in Oniguruma. Matching sees
/// a text as if it ended at bytes that are not valid UTF-8.
///
/// Errors   a syntax that means something else in PCRE2 (`\b`, `\h`, sets inside sets, ...), by name; an expression that
///          PCRE2 refuses. While matching: an expression that backtracks too much.
class pattern {
 public:
  enum class kind { literal, expression };
  pattern(kind k, std::string_view text, std::string_view where);

  /// Calls use(begin, end, matched) for the matches and for the text between them, in order.
  void find_all(std::string_view text, const std::function<void(std::size_t, std::size_t, bool)>& use) const;

 private:
  struct compiled;
  std::string literal_;
  std::shared_ptr<const compiled> code_;  // null: literal
};

/// GPT-2's pattern.
[[nodiscard]] const pattern& gpt2_pattern();

}  // namespace engine
