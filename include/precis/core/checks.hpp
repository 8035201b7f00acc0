#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Refusals that many stages need, in one wording. `where` is the stage or file that checks, as in `problem::where`.
namespace precis {
PRECIS_IEEE_BEGIN

/// Refuses an empty set of elements: "no units; expected at least one".
template<class = void>
inline void check_not_empty(std::size_t count, std::string_view elements, std::string_view where) {
  if (count == 0)
    refuse({.what = "no " + std::string(elements), .where = std::string(where), .expected = "at least one"});
}

/// Refuses two counts that differ: "3 values for 4 units; expected as many values as units".
template<class = void>
inline void check_same_count(std::size_t count, std::string_view elements, std::size_t other_count,
                             std::string_view others, std::string_view where) {
  if (count == other_count) return;
  const std::string a(elements), b(others);
  refuse({.what = std::to_string(count) + " " + a + " for " + std::to_string(other_count) + " " + b,
          .where = std::string(where),
          .expected = "as many " + a + " as " + b});
}

/// Refuses NaN and infinity: "the score of unit block.1 is nan; expected finite scores".
template<class = void>
inline void check_finite_value(double value, std::string_view name, std::string_view where,
                               std::string_view expected = "a finite number") {
  if (kernel::is_finite(value)) return;
  refuse({.what = std::string(name) + " is " + text::number(value),
          .where = std::string(where),
          .expected = std::string(expected)});
}

/// Refuses a value outside [low, high], and NaN: "a sparsity of 1.5; expected 0 to 1". `name` includes its article.
template<class = void>
inline void check_range(double value, double low, double high, std::string_view name, std::string_view where) {
  if (value >= low && value <= high) return;
  refuse({.what = std::string(name) + " of " + text::number(value),
          .where = std::string(where),
          .expected = text::number(low) + " to " + text::number(high)});
}

/// Refuses a name that occurs more than once: "unit block.0 appears twice; expected unique unit names".
///
/// Cost     O(names log names).
template<class = void>
inline void check_unique(std::vector<std::string_view> names, std::string_view kind, std::string_view where) {
  std::sort(names.begin(), names.end());
  const auto repeated = std::adjacent_find(names.begin(), names.end());
  if (repeated == names.end()) return;
  refuse({.what = std::string(kind) + " " + shown(*repeated) + " appears twice",
          .where = std::string(where),
          .expected = "unique " + std::string(kind) + " names"});
}

/// Refuses a unit name that a text file could not hold: several words, or a keyword of the file formats.
template<class = void>
inline void check_unit_name(std::string_view name, std::string_view where) {
  if (text::is_word(name) && !text::is_keyword(name)) return;
  refuse({.what = "the unit name '" + shown(name) + "'",
          .where = std::string(where),
          .expected = "one word that is not a keyword of the file format"});
}

/// Refuses a model fingerprint that is not one word. An empty one means unknown and is accepted.
template<class = void>
inline void check_model_name(std::string_view name, std::string_view where) {
  if (name.empty() || text::is_word(name)) return;
  refuse({.what = "the model name '" + shown(name) + "'", .where = std::string(where), .expected = "one word"});
}

/// Refuses an unknown name and lists the known ones: "no codec called 'q4'; expected one of affine4.row, float16".
template<class = void>
[[noreturn]] inline void refuse_unknown(std::string_view kind, std::string_view name,
                                        std::span<const std::string_view> known, std::string_view where) {
  std::string list;
  for (const std::string_view each : known) list += (list.empty() ? "" : ", ") + std::string(each);
  refuse({.what = "no " + std::string(kind) + " called '" + shown(name) + "'",
          .where = std::string(where),
          .expected = "one of " + list});
}

/// Refuses a weight that is NaN or infinite: "the weight of h.0.mlp in row 3, column 17 is nan; expected finite
/// weights".
template<class = void>
[[noreturn]] inline void refuse_weight(float value, std::string_view matrix, std::size_t row, std::size_t column,
                                       std::string_view where) {
  refuse({.what = "the weight of " + std::string(matrix) + " in row " + std::to_string(row) + ", column " +
                  std::to_string(column) + " is " + text::number(static_cast<double>(value)),
          .where = std::string(where),
          .expected = "finite weights"});
}

PRECIS_IEEE_END
}  // namespace precis
