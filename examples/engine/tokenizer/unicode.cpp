#include <engine/tokenizer/unicode.hpp>

#include <algorithm>
#include <iterator>

namespace engine {
namespace {

using enum character_class;

struct class_range {
  char32_t first, last;
  character_class kind;
};
struct fold_one {
  char32_t from, to;
};
struct fold_several {
  char32_t from;
  char32_t to[4];
};

#include <engine/tokenizer/unicode_tables.inc>

/// The entry of `point` in a sorted table, or nullptr.
template<class Table>
[[nodiscard]] auto entry_of(const Table& table, char32_t point) noexcept {
  const auto at = std::ranges::lower_bound(table, point, {}, [](const auto& e) { return e.from; });
  return at != std::end(table) && at->from == point ? &*at : nullptr;
}

}  // namespace

character_class class_of(char32_t point) noexcept {
  if (point < 0x80) {
    if (point == ' ' || (point >= '\t' && point <= '\r' && point != '\v' && point != '\f')) return blank;
    if (point < ' ' || point == 0x7F) return control;
    const bool letter = (point | 0x20) >= 'a' && (point | 0x20) <= 'z';
    return letter || (point >= '0' && point <= '9') ? other : punctuation;
  }
  const auto at = std::ranges::lower_bound(classes, point, {}, &class_range::last);
  return at != std::end(classes) && at->first <= point ? at->kind : other;
}

bool is_ideograph(char32_t point) noexcept {
  constexpr char32_t ranges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
                                    {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF}, {0x2F800, 0x2FA1F}};
  return std::ranges::any_of(ranges, [point](const auto& r) { return r[0] <= point && point <= r[1]; });
}

folded fold(char32_t point) noexcept {
  if (point < 0x80) return {{point >= 'A' && point <= 'Z' ? point | 0x20 : point}, 1};
  if (point >= 0xAC00 && point <= 0xD7A3) {  // a Hangul syllable decomposes into its letters
    const char32_t syllable = point - 0xAC00, last = syllable % 28;
    return {{0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28, 0x11A7 + last}, last == 0 ? 2u : 3u};
  }
  if (class_of(point) == mark) return {};
  if (const fold_one* const found = entry_of(folded_to_one, point)) return {{found->to}, 1};
  if (const fold_several* const found = entry_of(folded_to_several, point)) {
    folded f;
    while (f.count < 4 && found->to[f.count] != 0) {
      f.points[f.count] = found->to[f.count];
      ++f.count;
    }
    return f;
  }
  return {{point}, 1};
}

}  // namespace engine
