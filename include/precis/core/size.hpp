#pragma once

#include <cstddef>
#include <limits>

namespace precis {

/// What compression did to the size of some weights: exact bytes, everything stored counted.
///
/// Source   methods A4: M_O = original, M_Q = packed. (CPTQuant prints both ratios upside down.)
struct size_report {
  std::size_t weights = 0;
  std::size_t original_bytes = 0;  ///< M_O / 8
  std::size_t packed_bytes = 0;    ///< M_Q / 8: codes, scales, zero points, padding

  /// M_O / M_Q: how many times smaller. Infinity for nothing.
  [[nodiscard]] double compression_ratio() const noexcept {
    if (packed_bytes == 0) return std::numeric_limits<double>::infinity();
    return static_cast<double>(original_bytes) / static_cast<double>(packed_bytes);
  }
  /// FPR = 100 (1 - M_Q / M_O): how many percent are gone.
  [[nodiscard]] double percent_reduction() const noexcept {
    if (original_bytes == 0) return 0;
    return 100.0 * (1.0 - static_cast<double>(packed_bytes) / static_cast<double>(original_bytes));
  }
  /// Effective bits per weight, M_Q / weights.
  [[nodiscard]] double bits_per_weight() const noexcept {
    return weights == 0 ? 0.0 : 8.0 * static_cast<double>(packed_bytes) / static_cast<double>(weights);
  }
  size_report& operator+=(const size_report& other) noexcept {
    weights += other.weights;
    original_bytes += other.original_bytes;
    packed_bytes += other.packed_bytes;
    return *this;
  }
  bool operator==(const size_report&) const = default;
};

}  // namespace precis
