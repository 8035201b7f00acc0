#include <precis/codec/affine.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;
using namespace encoded;

TEMPLATE_TEST_CASE_SIG("affine codes of five weights, by hand", "[codec][affine][worked-example]", ((unsigned B), B), 2,
                       4, 8) {
  struct row {
    unsigned bits;
    double scale;
    int zero_point;
    std::vector<int> codes;
    std::vector<double> decoded;
  };
  const std::vector<row> table{
      {2, 0.7333333, 1, {0, 1, 1, 2, 3}, {-0.733333, 0, 0, 0.733333, 1.466667}},
      {4, 0.1466667, 7, {0, 5, 7, 10, 15}, {-1.026667, -0.293333, 0, 0.44, 1.173333}},
      {8, 0.0086275, 116, {0, 81, 116, 162, 255}, {-1.000784, -0.301961, 0, 0.396863, 1.199216}},
  };
  for (const row& expected : table) {
    if (expected.bits != B) continue;
    using format = codec::affine<B>;
    const auto packed = bytes_of(format::format, {example_weights, 1, 5});
    const auto grids = codec::read_grids(format::format, packed, 1, 5);
    CHECK(static_cast<double>(grids[0].scale) == Approx(expected.scale).margin(5e-8));
    CHECK(grids[0].zero_point == expected.zero_point);
    CHECK(codes(format::format, packed, 1, 5) == expected.codes);
    const float_matrix d = decoded(format::format, packed, 1, 5);
    for (std::size_t i = 0; i < 5; ++i) CHECK(static_cast<double>(d(0, i)) == Approx(expected.decoded[i]).margin(5e-7));
  }
}

TEST_CASE("the affine range includes zero even if no weight has the other sign", "[codec][affine][property]") {
  const std::vector<float> high{3.f, 4.f, 5.f}, low{-3.f, -4.f, -5.f};
  const auto above = codec::spanning_grid(codec::affine<4>::format, codec::extent_of({high, 1, 3}));
  const auto below = codec::spanning_grid(codec::affine<4>::format, codec::extent_of({low, 1, 3}));
  CHECK(above.zero_point == 0);
  CHECK(below.zero_point == 15);
  CHECK(above.scale == 5.f / 15.f);
  CHECK(below.scale == 5.f / 15.f);
}
