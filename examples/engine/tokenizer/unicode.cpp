#include <engine/tokenizer/unicode.hpp>

#include <utf8proc.h>

#include <algorithm>

namespace engine {
namespace {

[[nodiscard]] utf8proc_category_t category(char32_t point) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

struct character_range {
  char32_t first, last;
};
template<class Ranges>
[[nodiscard]] bool in_ranges(const Ranges& ranges, char32_t point) noexcept {
  return std::ranges::any_of(ranges, [point](character_range r) { return r.first <= point && point <= r.last; });
}

}  // namespace

bool is_white_space(char32_t point) noexcept {
  constexpr character_range blanks[] = {{0x9, 0xD},       {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
                                        {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
                                        {0x205F, 0x205F}, {0x3000, 0x3000}};
  return in_ranges(blanks, point);
}

bool is_number(char32_t point) noexcept {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO;
}

bool is_punctuation(char32_t point) noexcept {
  if (point < 0x80) {
    const bool letter = (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
    return point > ' ' && point != 0x7F && !letter && !(point >= '0' && point <= '9');
  }
  const auto c = category(point);
  return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

bool is_mark(char32_t point) noexcept {
  const auto c = category(point);
  return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

bool is_nonspacing_mark(char32_t point) noexcept { return category(point) == UTF8PROC_CATEGORY_MN; }

bool is_word_character(char32_t point) noexcept {
  constexpr character_range others[] = {{0x200C, 0x200D},
                                        {0x24B6, 0x24E9},
                                        {0x1F130, 0x1F149},  // joiners; letters in circles
                                        {0x1F150, 0x1F169},
                                        {0x1F170, 0x1F189}};  // and squares
  const auto c = category(point);
  return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC ||
         in_ranges(others, point);
}

bool is_control(char32_t point) noexcept {
  if (point == '\t' || point == '\n' || point == '\r') return false;
  const auto c = category(point);
  return c >= UTF8PROC_CATEGORY_CC;
}

bool is_ideograph(char32_t point) noexcept {  // as Hugging Face's library has them: without 2B820 to 2B91F
  constexpr character_range ideographs[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                            {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                            {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return in_ranges(ideographs, point);
}

lower_case lower(char32_t point) noexcept {
  if (point == 0x130) return {'i', 0x307};  // the only character that becomes two
  return {static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))), 0};
}

}  // namespace engine
