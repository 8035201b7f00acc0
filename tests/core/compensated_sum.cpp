#include <precis/core/compensated_sum.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using namespace precis;

TEST_CASE("a compensated sum keeps what rounding would drop", "[core][compensated_sum][worked-example]") {
  compensated_sum sum;
  CHECK(sum.value() == 0);
  sum.add(1);
  for (int i = 0; i < 1000; ++i) sum.add(0x1p-60);  // each is lost in a plain sum
  CHECK(sum.value() == 1 + 1000 * 0x1p-60);
  sum.add(-1);
  CHECK(sum.value() == 1000 * 0x1p-60);
}

TEST_CASE("a compensated sum of large and small numbers that cancel", "[core][compensated_sum][worked-example]") {
  compensated_sum sum;
  for (const double x : {1.0, 1e17, 1.0, -1e17}) sum.add(x);
  CHECK(sum.value() == 2);
}

TEST_CASE("compensated_sum @post: within u |sum| + (n u)^2 sum |addends| of the exact sum, in any order",
          "[core][compensated_sum][oracle]") {
  constexpr std::size_t n = 1000;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const random_stream draw(seed, purpose("compensated sum"));
    std::vector<double> addends;
    long long exact = 0;  // in units of 2^-20: integers below 2^53, whose sum is below 2^63
    double magnitudes = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const auto bits = 1 + draw.below(3 * i, 52);
      auto x = static_cast<long long>(draw.below(3 * i + 1, std::uint64_t{1} << bits));
      if (draw.below(3 * i + 2, 2) == 1) x = -x;
      exact += x;
      addends.push_back(std::ldexp(static_cast<double>(x), -20));
      magnitudes += std::abs(addends.back());
    }
    compensated_sum forward, backward;
    for (std::size_t i = 0; i < n; ++i) forward.add(addends[i]);
    for (std::size_t i = n; i-- > 0;) backward.add(addends[i]);
    const double u = 0x1p-53, nu = static_cast<double>(n) * u;
    // Converting the exact sum to double adds another u |sum|.
    const double expected = std::ldexp(static_cast<double>(exact), -20);
    const double bound = 2 * u * std::abs(expected) + nu * nu * magnitudes;
    CHECK(std::abs(forward.value() - expected) <= bound);
    CHECK(std::abs(backward.value() - expected) <= bound);
  }
}
