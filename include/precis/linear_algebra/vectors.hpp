#pragma once

#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>

/// Products and sums of vectors of doubles, with a fixed order of addition.
namespace precis::linear_algebra {
PRECIS_IEEE_BEGIN

using lanes = kernel::native_double_lanes;

namespace detail {

/// Dot products have eight partial sums, whatever the vector width, which are added as a tree at the end.
inline constexpr std::size_t sums = 8;
inline constexpr std::size_t vectors = sums / lanes::width;
static_assert(sums % lanes::width == 0);

struct running_sums {
  lanes::vector of[vectors];

  template<class = void>
  running_sums() noexcept {
    for (lanes::vector& v : of) v = lanes::zero();
  }
  template<class = void>
  [[nodiscard]] double total() const noexcept {
    double s[sums];
    for (std::size_t v = 0; v < vectors; ++v) lanes::store(s + v * lanes::width, of[v]);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
  }
};

/// Loads at most n elements; the other lanes are 0.
template<class = void>
[[nodiscard]] inline lanes::vector load_up_to(const double* p, std::size_t n) noexcept {
  return n >= lanes::width ? lanes::load(p) : n == 0 ? lanes::zero() : lanes::load_part(p, n);
}
template<class = void>
inline void store_up_to(double* p, lanes::vector x, std::size_t n) noexcept {
  if (n >= lanes::width)
    lanes::store(p, x);
  else if (n != 0)
    lanes::store_part(p, x, n);
}

}  // namespace detail

/// The sum of a[i] b[i].
template<class = void>
[[nodiscard]] inline double dot(const double* a, const double* b, std::size_t n) noexcept {
  detail::running_sums s;
  for (std::size_t i = 0; i < n; i += detail::sums)
    for (std::size_t v = 0; v < detail::vectors; ++v) {
      const std::size_t at = i + v * lanes::width, left = at < n ? n - at : 0;
      s.of[v] = lanes::fma(detail::load_up_to(a + at, left), detail::load_up_to(b + at, left), s.of[v]);
    }
  return s.total();
}

/// y += factor x.
template<class = void>
inline void add(double factor, const double* x, double* y, std::size_t n) noexcept {
  const lanes::vector f = lanes::broadcast(&factor);
  const std::size_t whole = n - n % lanes::width;
  for (std::size_t i = 0; i < whole; i += lanes::width)
    lanes::store(y + i, lanes::fma(f, lanes::load(x + i), lanes::load(y + i)));
  for (std::size_t i = whole; i < n; ++i) y[i] = math::fma(factor, x[i], y[i]);
}

PRECIS_IEEE_END
}  // namespace precis::linear_algebra
