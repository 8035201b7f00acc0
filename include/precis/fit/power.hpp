#if !defined(PRECIS_FIT_POWER)
#define PRECIS_FIT_POWER

#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <array>

/// Approximate powers in vector lanes.
namespace precis::fit {
PRECIS_IEEE_BEGIN

/// The relative error of `power` is at most this times (p + 1).
inline constexpr double power_tolerance = 1e-6;

/// x^p with a relative error of at most power_tolerance (p + 1), for p > 0 and 0 <= x < 4 that is 0 or normal. Results
/// below 2^-100 have an absolute error of at most 2^-100.
///
///     x = 2^k m, 1 <= m < 2:  log2 m = 1/2 + 2 / ln 2 (t + t^3 / 3 + ... + t^9 / 9),  t = (m - sqrt 2) / (m + sqrt 2)
///     x^p = 2^n 2^r,  n = the integer nearest to p (k + log2 m),  2^r by its Taylor polynomial
///
/// Cost    about 30 operations, one of them a division.
/// @post   every lane type gives the same bits.
template<class L>
[[nodiscard]] inline typename L::vector power(typename L::vector x, float p) noexcept {
  using vector = typename L::vector;
  constexpr float root = 1.41421356f, two_by_ln2 = 2.88539008f;
  constexpr std::array<float, 8> exponential{1.52527338e-5f, 1.54035304e-4f, 1.33335581e-3f, 9.61812911e-3f,
                                             5.55041087e-2f, 2.40226507e-1f, 6.93147181e-1f, 1.f};  // ln(2)^i / i!
  const vector zero = L::zero(), by = L::all(p), shift = L::all(0x1.8p23f);  // adding it rounds to an integer
  const vector v = L::larger(x, L::all(0x1p-126f)), k = L::exponent(v);
  const vector m = L::times_power_of_two(v, L::subtract(zero, k));
  const vector t = L::divide(L::subtract(m, L::all(root)), L::add(m, L::all(root))), u = L::multiply(t, t);
  vector series = L::fma(u, L::all(1.f / 9), L::all(1.f / 7));
  series = L::fma(series, u, L::all(1.f / 5));
  series = L::fma(series, u, L::all(1.f / 3));
  series = L::fma(series, u, L::all(1.f));
  const vector f = L::fma(L::multiply(t, L::all(two_by_ln2)), series, L::all(0.5f));
  const vector whole = L::larger(L::fma(by, f, L::multiply(by, k)), L::all(-252.f));
  const vector n = L::subtract(L::add(whole, shift), shift);
  const vector r = L::larger(L::fma(by, f, L::fma(by, k, L::subtract(zero, n))), L::all(-1.f));
  vector e = L::all(exponential[0]);
  for (std::size_t i = 1; i < exponential.size(); ++i) e = L::fma(e, r, L::all(exponential[i]));
  // 0^p is 0: the minimum hides the power of the smallest normal number, which replaced x above.
  return L::smaller(L::multiply(x, L::all(0x1p126f)), L::times_power_of_two(e, n));
}

PRECIS_IEEE_END
}  // namespace precis::fit

#endif  // PRECIS_FIT_POWER
