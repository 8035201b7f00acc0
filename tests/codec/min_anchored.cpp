#include <precis/codec/min_anchored.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace precis;
using namespace encoded;

namespace {
template<class Codec>
double sse(std::size_t count) {
  const float_matrix d = decoded(Codec::format, bytes_of(Codec::format, {example_weights, 1, 5}), 1, 5);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i)
    sum += std::pow(static_cast<double>(d(0, i)) - static_cast<double>(example_weights[i]), 2.0);
  return sum;
}
template<class Codec>
std::vector<int> signed_codes() {
  return codes(Codec::format, bytes_of(Codec::format, {example_weights, 1, 5}), 1, 5,
               -(1 << (Codec::format.code_bits - 1)));
}
}  // namespace

TEST_CASE("min_anchored codes of five weights, by hand", "[codec][min_anchored][worked-example]") {
  CHECK(signed_codes<codec::min_anchored<2>>() == std::vector<int>{-2, -1, -1, 0, 1});
  CHECK(signed_codes<codec::min_anchored<4>>() == std::vector<int>{-8, -3, -1, 2, 7});
  CHECK(signed_codes<codec::min_anchored<8>>() == std::vector<int>{-128, -47, -12, 34, 127});
  CHECK(sse<codec::min_anchored<4>>(5) == Approx(0.0062666667).epsilon(1e-5));
  CHECK(sse<codec::min_anchored<8>>(5) == Approx(7.5356e-6).epsilon(1e-5));

  const std::vector<double> two{-1, -0.266667, -0.266667, 0.466667, 1.2}, four{-1, -0.266667, 0.026667, 0.466667, 1.2};
  const float_matrix d2 =
      decoded(codec::min_anchored<2>::format, bytes_of(codec::min_anchored<2>::format, {example_weights, 1, 5}), 1, 5);
  const float_matrix d4 =
      decoded(codec::min_anchored<4>::format, bytes_of(codec::min_anchored<4>::format, {example_weights, 1, 5}), 1, 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(static_cast<double>(d2(0, i)) == Approx(two[i]).margin(6e-7));
    CHECK(static_cast<double>(d4(0, i)) == Approx(four[i]).margin(6e-7));
  }
}

TEST_CASE("min_anchored_floor codes of five weights, by hand", "[codec][min_anchored][worked-example]") {
  // The quotient of the largest weight is 2^b - 1 or just below it, and then the floor drops it by one code; the last
  // bit of the scale decides. With double weights and scales, as in the hand calculation, it is kept at 4 bits (7) and
  // lost at 8 bits (126); with stored float32 scales it is the other way round. So the first four codes are checked
  // exactly, and the fifth for being one of the two; the sums of squares omit the fifth weight.
  const auto four = signed_codes<codec::min_anchored_floor<4>>();
  CHECK(std::vector<int>(four.begin(), four.end() - 1) == std::vector<int>{-8, -4, -2, 1});
  CHECK((four[4] == 7 || four[4] == 6));
  const auto eight = signed_codes<codec::min_anchored_floor<8>>();
  CHECK(std::vector<int>(eight.begin(), eight.end() - 1) == std::vector<int>{-128, -47, -13, 34});
  CHECK((eight[4] == 127 || eight[4] == 126));
  CHECK(sse<codec::min_anchored_floor<4>>(4) == Approx(0.0336444444).epsilon(1e-5));
  const double lost = 2.2 / 255;  // the fifth weight of the hand calculation
  CHECK(sse<codec::min_anchored_floor<8>>(4) == Approx(1.42868e-4 - lost * lost).epsilon(1e-4));
}

TEST_CASE("the minimum of min_anchored is exact, the maximum up to the last bit of the scale",
          "[codec][min_anchored][property]") {
  const float_matrix w = weights(1, 77);
  const auto range = codec::extent_of(w.view());
  for (const codec::grid_format& f : every_format()) {
    if (f.rule != codec::grid_rule::min_anchored || f.scales == codec::scale_type::float16 || f.group != codec::per_row)
      continue;
    const auto d = codec::extent_of(decoded(f, bytes_of(f, w.view()), 1, 77).view());
    CHECK(d.lo == range.lo);
    CHECK(std::abs(d.hi - range.hi) <= (range.hi - range.lo) * 0x1.0p-23);
  }
}
