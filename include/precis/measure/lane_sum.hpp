#pragma once

#include <precis/kernel/ieee.hpp>

#include <cstddef>

namespace precis::measure {
PRECIS_IEEE_BEGIN

/// A sum with a fixed order of addition that a compiler can vectorise: addend i goes to lane i mod 16, and the lanes
/// are added as a tree.
class lane_sum {
 public:
  static constexpr std::size_t lanes = 16;

  /// Adds addend(0) to addend(count - 1).
  template<class Addend>
  void add(std::size_t count, const Addend& addend) noexcept {
    double sum[lanes] = {};
    const std::size_t whole = count / lanes * lanes;
    for (std::size_t i = 0; i < whole; i += lanes)
      for (std::size_t l = 0; l < lanes; ++l) sum[l] += addend(i + l);
    for (std::size_t i = whole; i < count; ++i) sum[i - whole] += addend(i);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t l = 0; l < half; ++l) sum[l] += sum[l + half];
    value_ += sum[0];
  }
  [[nodiscard]] double value() const noexcept { return value_; }

 private:
  double value_ = 0;
};

PRECIS_IEEE_END
}  // namespace precis::measure
