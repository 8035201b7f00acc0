#include <precis/codec/symmetric.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;
using namespace encoded;

namespace {
template<class Codec>
void check(double scale, int shift, const std::vector<int>& expected_codes, const std::vector<double>& expected) {
  const auto packed = bytes_of(Codec::format, {example_weights, 1, 5});
  CHECK(static_cast<double>(codec::read_grids(Codec::format, packed, 1, 5)[0].scale) == Approx(scale).margin(5e-8));
  CHECK(codes(Codec::format, packed, 1, 5, shift) == expected_codes);
  const float_matrix d = decoded(Codec::format, packed, 1, 5);
  for (std::size_t i = 0; i < 5; ++i) CHECK(static_cast<double>(d(0, i)) == Approx(expected[i]).margin(5e-7));
}
}  // namespace

TEST_CASE("symmetric codes of five weights, by hand", "[codec][symmetric][worked-example]") {
  check<codec::symmetric<2>>(1.2, -1, {-1, 0, 0, 0, 1}, {-1.2, 0, 0, 0, 1.2});
  check<codec::symmetric<4>>(0.1714286, -7, {-6, -2, 0, 2, 7}, {-1.028571, -0.342857, 0, 0.342857, 1.2});
  check<codec::symmetric<8>>(0.0094488, -127, {-106, -32, 0, 42, 127}, {-1.001575, -0.302362, 0, 0.396850, 1.2});
  check<codec::symmetric_full<4>>(0.16, -8, {-6, -2, 0, 2, 7}, {-0.96, -0.32, 0, 0.32, 1.12});
}

TEST_CASE("symmetric @post: decoded(-x) == -decoded(x)", "[codec][symmetric][property]") {
  const float_matrix w = weights(3, 50);
  float_matrix negative = w;
  for (float& x : negative.values) x = -x;
  for (const codec::grid_format& f : every_format()) {
    if (f.rule != codec::grid_rule::symmetric) continue;
    const float_matrix a = decoded(f, bytes_of(f, w.view()), 3, 50);
    const float_matrix b = decoded(f, bytes_of(f, negative.view()), 3, 50);
    for (std::size_t i = 0; i < a.values.size(); ++i) REQUIRE(a.values[i] == -b.values[i]);
  }
}
