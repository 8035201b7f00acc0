#include <precis/core/random.hpp>

#include "catch.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

using namespace precis;

TEST_CASE("mix64 is splitmix64", "[core][random][oracle]") {
  // The published first and second output of splitmix64 seeded with 1234567.
  CHECK(mix64(1234567) == 6457827717110365317ull);
  CHECK(mix64(1234567 + 0x9E3779B97F4A7C15ull) == 3203168211198807973ull);
}

TEST_CASE("a purpose is its FNV-1a hash", "[core][random][oracle]") {
  CHECK(purpose("") == 0xCBF29CE484222325ull);
  CHECK(purpose("a") == 0xAF63DC4C8601EC8Cull);
  CHECK(purpose("foobar") == 0x85944171F73967E8ull);
}

TEST_CASE("the stream of a seed and a purpose never changes", "[core][random][oracle]") {
  // Computed with exact integers outside this project. Files made with one version must be reproducible with the next.
  constexpr random_stream noise(7, purpose("noise"));
  STATIC_REQUIRE(noise.at(0) == 0x12FBDB65D5E0BEDFull);
  STATIC_REQUIRE(noise.at(1) == 0x8F32D39A6DAD39A2ull);
  STATIC_REQUIRE(noise.at(2) == 0x1AF7501E10F5A3CCull);
  STATIC_REQUIRE(noise.at(3) == 0x2977903DCD499077ull);
  CHECK(noise.normal(0) == Approx(-0.365556556436332).epsilon(1e-14));
  CHECK(noise.normal(1) == Approx(-0.1430609860606897).epsilon(1e-14));
}

TEST_CASE("draws do not depend on their order", "[core][random][property]") {
  const random_stream s(3, purpose("order"));
  std::vector<double> forward, backward;
  for (std::uint64_t i = 0; i < 100; ++i) forward.push_back(s.normal(i));
  for (std::uint64_t i = 100; i-- > 0;) backward.insert(backward.begin(), s.normal(i));
  CHECK(forward == backward);
}

TEST_CASE("uniform draws fill [0, 1) evenly", "[core][random][property]") {
  const random_stream s(GENERATE(0ull, 1ull, 0xFFFFFFFFFFFFFFFFull), purpose("uniform"));
  constexpr std::size_t bins = 64, draws = 64000;
  std::array<double, bins> count{};
  for (std::uint64_t i = 0; i < draws; ++i) {
    const double u = s.uniform(i);
    REQUIRE((u >= 0.0 && u < 1.0));
    ++count[static_cast<std::size_t>(u * bins)];
  }
  double chi_squared = 0;
  for (const double c : count) chi_squared += (c - 1000.0) * (c - 1000.0) / 1000.0;
  CHECK(chi_squared < 63 + 5 * std::sqrt(2.0 * 63));  // mean 63, deviation sqrt(126): within five deviations
  CHECK(chi_squared > 63 - 5 * std::sqrt(2.0 * 63));  // neither too even
}

TEST_CASE("normal draws have the moments of a standard normal", "[core][random][property]") {
  const random_stream s(GENERATE(1ull, 99ull), purpose("normal"));
  constexpr std::size_t n = 200000;
  double m1 = 0, m2 = 0, m3 = 0, m4 = 0, neighbours = 0, last = s.normal(n);
  for (std::uint64_t i = 0; i < n; ++i) {
    const double z = s.normal(i);
    REQUIRE(std::isfinite(z));
    m1 += z / n;
    m2 += z * z / n;
    m3 += z * z * z / n;
    m4 += z * z * z * z / n;
    neighbours += z * last / n;
    last = z;
  }
  const double five = 5 / std::sqrt(static_cast<double>(n));  // five standard errors
  CHECK(std::abs(m1) < five);
  CHECK(std::abs(m2 - 1) < five * std::sqrt(2.0));
  CHECK(std::abs(m3) < five * std::sqrt(15.0));
  CHECK(std::abs(m4 - 3) < five * std::sqrt(96.0));
  CHECK(std::abs(neighbours) < five);
}

TEST_CASE("streams of different seeds or purposes are uncorrelated", "[core][random][property]") {
  const random_stream first(1, purpose("noise"));
  const random_stream other = GENERATE(random_stream(2, purpose("noise")), random_stream(1, purpose("mask")));
  constexpr std::size_t n = 100000;
  double correlation = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    REQUIRE(first.at(i) != other.at(i));
    correlation += first.normal(i) * other.normal(i) / n;
  }
  CHECK(std::abs(correlation) < 5 / std::sqrt(static_cast<double>(n)));
}

TEST_CASE("below(n) is the high word of a 128-bit product", "[core][random][oracle]") {
  __extension__ using wide = unsigned __int128;
  const random_stream s(5, purpose("below"));
  for (const std::uint64_t n : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{10}, std::uint64_t{0xFFFFFFFF},
                                std::uint64_t{0x100000001}, ~std::uint64_t{0}})
    for (std::uint64_t i = 0; i < 1000; ++i) {
      REQUIRE(s.below(i, n) < n);
      REQUIRE(s.below(i, n) == static_cast<std::uint64_t>((static_cast<wide>(s.at(i)) * n) >> 64));
    }
}

TEST_CASE("mersenne_twister @post: equal to std::mt19937 draw for draw", "[core][random][property]") {
  const std::uint32_t seed = GENERATE(0u, 1u, 5489u, 0xFFFFFFFFu);
  mersenne_twister ours(seed);
  std::mt19937 theirs(seed);
  bool equal = true;
  for (int i = 0; i < 2000; ++i) equal = equal && ours() == theirs();  // three states
  CHECK(equal);
}

TEST_CASE("legacy_gaussian equals NumPy's RandomState(seed).randn", "[core][random][oracle]") {
  legacy_gaussian first(1);  // numpy.random.RandomState(1).randn, with all digits
  for (const double expected : {1.6243453636632417, -0.6117564136500754, -0.5281717522634557, -1.0729686221561705,
                                0.8654076293246785, -2.3015386968802827})
    CHECK(first() == Approx(expected).epsilon(1e-15));

  legacy_gaussian later(12345);  // many draws: includes rejected pairs, and an odd count
  for (int i = 0; i < 999; ++i) (void)later();
  CHECK(later() == Approx(1.3738904696665981).epsilon(1e-15));
  CHECK(later() == Approx(-0.9835047173983663).epsilon(1e-15));
}

TEST_CASE("legacy_uniform equals NumPy's RandomState(seed).rand", "[core][random][oracle]") {
  std::mt19937 engine(1);
  CHECK(std::mt19937(1)() == 1791095845u);
  for (const double expected : {0.417022004702574, 0.7203244934421581, 0.00011437481734488664})
    CHECK(legacy_uniform(engine) == expected);
}
