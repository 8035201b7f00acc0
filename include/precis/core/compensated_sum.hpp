#pragma once

#include <precis/kernel/ieee.hpp>

namespace precis {
PRECIS_IEEE_BEGIN

/// A running sum that also carries the rounding error of every addition, so the order of the addends hardly matters.
///
/// Errors   none: noexcept. Requires finite addends and no overflow.
/// Cost     seven additions per addend.
/// Source   Ogita, Rump and Oishi, "Accurate Sum and Dot Product" (2005), algorithm 4.4 (Sum2).
/// @post    |value - exact sum| <= u |exact sum| + (n u)^2 sum |addends| for n addends, u = 2^-53.
class compensated_sum {
 public:
  void add(double x) noexcept {
    const double sum = high_ + x, rounded = sum - high_;
    low_ += (high_ - (sum - rounded)) + (x - rounded);
    high_ = sum;
  }
  [[nodiscard]] double value() const noexcept { return high_ + low_; }

 private:
  double high_ = 0;
  double low_ = 0;
};

PRECIS_IEEE_END
}  // namespace precis
