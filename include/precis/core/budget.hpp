#pragma once

#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace precis {
PRECIS_IEEE_BEGIN

/// What a budget bounds.
enum class resource { bytes, nanoseconds };

/// An upper bound on size (bits per weight, bytes, or a percentage of the original bytes) or on time: the nanoseconds
/// that the products of all units with one vector take, that is, per token.
///
/// Text form: 4.5bpw, 1200000B, 40% (of the original size), or 2.5ms, 870us, 870000ns.
struct budget {
  enum class measure { bits_per_weight, bytes, percent_of_original, nanoseconds };
  measure unit = measure::bits_per_weight;
  double value = 0;  ///< positive and finite: allocators refuse another

  [[nodiscard]] resource bounds() const noexcept {
    return unit == measure::nanoseconds ? resource::nanoseconds : resource::bytes;
  }
  /// The largest number of bytes allowed for `weights` weights that originally take `original_bytes`; without a limit
  /// if the budget is a time.
  [[nodiscard]] std::size_t bytes(std::size_t weights, std::size_t original_bytes) const {
    double limit = value;
    if (unit == measure::bits_per_weight) limit = value * static_cast<double>(weights) / 8.0;
    if (unit == measure::percent_of_original) limit = value * static_cast<double>(original_bytes) / 100.0;
    return unit == measure::nanoseconds ? no_limit : whole(limit);
  }
  /// The largest number of nanoseconds allowed; without a limit if the budget is a size.
  [[nodiscard]] std::size_t nanoseconds() const { return unit == measure::nanoseconds ? whole(value) : no_limit; }
  bool operator==(const budget&) const = default;

 private:
  static constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
  [[nodiscard]] static std::size_t whole(double limit) {
    if (!(limit > 0)) return 0;
    return limit < 0x1.0p63 ? static_cast<std::size_t>(math::floor(limit)) : no_limit;  // larger than any model
  }
};

[[nodiscard]] inline budget bits_per_weight(double bits) { return {budget::measure::bits_per_weight, bits}; }
[[nodiscard]] inline budget at_most_bytes(std::size_t bytes) {
  return {budget::measure::bytes, static_cast<double>(bytes)};
}
[[nodiscard]] inline budget percent_of_original(double percent) {
  return {budget::measure::percent_of_original, percent};
}
[[nodiscard]] inline budget at_most_nanoseconds(double nanoseconds) {
  return {budget::measure::nanoseconds, nanoseconds};
}

template<class = void>
[[nodiscard]] inline std::string to_string(const budget& b) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, b.value).ptr;
  const std::string number(digits, end);
  switch (b.unit) {
    case budget::measure::bits_per_weight: return number + "bpw";
    case budget::measure::bytes: return number + "B";
    case budget::measure::nanoseconds: {
      if (!(b.value >= 0 && b.value < 0x1.0p53) || b.value != math::floor(b.value)) return number + "ns";
      return std::to_string(static_cast<std::size_t>(b.value)) + "ns";  // 100000, not 1e+05
    }
    case budget::measure::percent_of_original: break;
  }
  return number + "%";
}

/// Parses the text form. Errors: an unknown suffix, or a number that is not positive and finite.
template<class = void>
[[nodiscard]] inline budget parse_budget(std::string_view text) {
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view suffix = text.substr(static_cast<std::size_t>(end - text.data()));
  if (fault == std::errc{} && kernel::is_finite(value) && value > 0) {
    if (suffix == "bpw") return {budget::measure::bits_per_weight, value};
    if (suffix == "B" && value == math::floor(value) && value < 0x1.0p53) return {budget::measure::bytes, value};
    if (suffix == "%") return {budget::measure::percent_of_original, value};
    if (suffix == "ns") return at_most_nanoseconds(value);
    if (suffix == "us") return at_most_nanoseconds(value * 1e3);
    if (suffix == "ms") return at_most_nanoseconds(value * 1e6);
  }
  refuse({.what = "'" + shown(text) + "' is not a budget",
          .where = "budget",
          .expected = "a positive number with a unit: 4.5bpw (bits per weight), 1200000B (bytes) or 40% (of the "
                      "original size); or "
                      "a time per token: 2.5ms, 870us or 870000ns"});
}

PRECIS_IEEE_END
}  // namespace precis
