#include <precis/fit/nearest.hpp>

#include "codec/encoded.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using codec::grid_format;
using codec::grid_rule;

TEST_CASE("nearest rounds to the grid that spans the group, by hand", "[fit][nearest][worked-example]") {
  // symmetric4 in groups of 4. The largest magnitudes 7 and 3.5 give scales 1 and 0.5; 2.5 is a tie, and -1.3 / 0.5 =
  // -2.6. A group of zeros keeps them.
  const std::vector<float> w{7, 2.5f, -3.2f, 0, 3.5f, -1.3f, 0.2f, 0, 0, 0};
  const grid_format f{.rule = grid_rule::symmetric, .code_bits = 4, .group = 4};
  std::vector<std::byte> packed(f.layout_of(1, 10).bytes);
  fit::nearest{}(f, {w, 1, 10}, packed);
  CHECK(encoded::codes(f, packed, 1, 10, -7) == std::vector<int>{7, 2, -3, 0, 7, -3, 0, 0, 0, 0});
  CHECK(encoded::decoded(f, packed, 1, 10).values == std::vector<float>{7, 2, -3, 0, 3.5f, -1.5f, 0, 0, 0, 0});
}

TEST_CASE("nearest: no other code of the grid is closer", "[fit][nearest][oracle]") {
  const float_matrix w = encoded::weights(17, 45);  // a tile and a row of the next; a block and a tail
  for (const grid_format& f : {grid_format{.rule = grid_rule::affine, .code_bits = 3, .group = 32},
                               grid_format{.rule = grid_rule::symmetric_full, .code_bits = 4},
                               grid_format{.rule = grid_rule::min_anchored, .code_bits = 2, .group = 8},
                               grid_format{.rule = grid_rule::symmetric, .code_bits = 5, .group = codec::per_tensor}}) {
    CAPTURE(to_string(f));
    std::vector<std::byte> packed(f.layout_of(17, 45).bytes);
    fit::nearest{}(f, w.view(), packed);
    const auto grids = codec::read_grids(f, packed, 17, 45);
    const float_matrix d = encoded::decoded(f, packed, 17, 45);
    for (std::size_t r = 0; r < 17; ++r)
      for (std::size_t c = 0; c < 45; ++c) {
        const codec::grid& g = grids[f.group == codec::per_tensor ? 0
                                     : f.group == codec::per_row  ? r
                                                                  : r * f.groups_per_row(45) + c / f.group];
        const auto scale = static_cast<double>(g.scale), x = static_cast<double>(w(r, c));
        double best = std::numeric_limits<double>::infinity();
        for (int code = 0; code <= f.top_code(); ++code)
          best = std::min(best, std::abs(scale * (code - g.zero_point) + static_cast<double>(g.minimum) - x));
        // The quotient and the decoded value are rounded to float once each. No weight here is 32 steps large, so each
        // rounding moves it by at most 32 * 2^-24 steps.
        REQUIRE(std::abs(static_cast<double>(d(r, c)) - x) <= best + scale * 2 * 32 * 0x1.0p-24);
      }
  }
}

TEST_CASE("nearest refuses weights that are not finite", "[fit][nearest][refusal]") {
  const std::vector<float> w{1, std::numeric_limits<float>::quiet_NaN()};
  const grid_format f{.rule = grid_rule::affine, .code_bits = 4};
  std::vector<std::byte> packed(f.layout_of(1, 2).bytes);
  const std::string message = refusal([&] { fit::nearest{}(f, {w, 1, 2}, packed); });
  CHECK_THAT(message, ContainsSubstring("codec affine4.row") && ContainsSubstring("row 0, column 1"));
}
