#pragma once

#include <cstddef>
#include <limits>

namespace precis {

/// The size of weights before and after compression, in exact bytes including everything that is stored.
///
/// Source   CPTQuant (Nanda, Balija, Sahoo), Eqs. 2-3, with M_O = original size and M_Q = packed size.
/// Differs  the paper prints both ratios inverted.
struct size_report {
  std::size_t weights = 0;
  std::size_t original_bytes = 0;  ///< M_O / 8
  std::size_t packed_bytes = 0;    ///< M_Q / 8: codes, scales, zero points, padding

  /// Compression ratio M_O / M_Q, larger = smaller model. Infinity if nothing is stored.
  [[nodiscard]] double compression_ratio() const noexcept {
    if (packed_bytes == 0) return std::numeric_limits<double>::infinity();
    return static_cast<double>(original_bytes) / static_cast<double>(packed_bytes);
  }
  /// Final percentage reduction 100 (1 - M_Q / M_O). Negative if the model grew.
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
