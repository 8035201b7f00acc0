#pragma once

/// Character properties that tokenizers use, from utf8proc's tables.
namespace engine {

[[nodiscard]] bool is_white_space(char32_t point) noexcept;  ///< White_Space
[[nodiscard]] bool is_number(char32_t point) noexcept;       ///< digits, letters and others that are numbers
[[nodiscard]] bool is_punctuation(char32_t point) noexcept;  ///< includes every ASCII symbol
[[nodiscard]] bool is_mark(char32_t point) noexcept;
[[nodiscard]] bool is_nonspacing_mark(char32_t point) noexcept;
[[nodiscard]] bool is_word_character(char32_t point) noexcept;  ///< letters, marks, digits, connectors and joiners
/// A control, format, private-use or surrogate character other than tab and line ends.
[[nodiscard]] bool is_control(char32_t point) noexcept;
/// Whether a character is a CJK ideograph, which is a word by itself to BERT.
[[nodiscard]] bool is_ideograph(char32_t point) noexcept;

/// A character in lower case, of one or two characters.
struct lower_case {
  char32_t first = 0;
  char32_t second = 0;  ///< 0: none
};
[[nodiscard]] lower_case lower(char32_t point) noexcept;

}  // namespace engine
