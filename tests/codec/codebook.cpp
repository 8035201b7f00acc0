#include <precis/codec/codebook.hpp>

#include <precis/codec/affine.hpp>
#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

using namespace precis;
using namespace encoded;

namespace {

template<class Codec>
float_matrix round_trip(weight_view w) {
  std::vector<std::byte> packed(Codec::bytes(w.rows, w.cols));
  Codec::encode(w, packed);
  float_matrix d(w.rows, w.cols, -9.f);
  Codec::decode(packed, d.view());
  return d;
}
double squared_error(weight_view a, weight_view b) {
  double sum = 0;
  for (std::size_t r = 0; r < a.rows; ++r)
    for (std::size_t c = 0; c < a.cols; ++c)
      sum += std::pow(static_cast<double>(a(r, c)) - static_cast<double>(b(r, c)), 2);
  return sum;
}

/// The smallest squared error over all splits of sorted values into `count` runs, by exhaustive search.
double best_of_all(const std::vector<double>& x, std::size_t first, std::size_t count) {
  const auto spread = [&](std::size_t last) {
    double mean = 0, sum = 0;
    for (std::size_t i = first; i < last; ++i) mean += x[i] / static_cast<double>(last - first);
    for (std::size_t i = first; i < last; ++i) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
  };
  if (count == 1) return spread(x.size());
  double best = std::numeric_limits<double>::infinity();
  for (std::size_t last = first + 1; last + count - 1 <= x.size(); ++last)
    best = std::min(best, spread(last) + best_of_all(x, last, count - 1));
  return best;
}

}  // namespace

TEST_CASE("a codebook of twelve weights, by hand", "[codec][codebook][worked-example]") {
  const std::vector<float> x{-1, -.95f, -.4f, -.38f, -.35f, .02f, .05f, 0, .6f, .65f, .7f, .62f};
  const float_matrix d = round_trip<codec::codebook<2>>({x, 1, 12});
  const std::vector<float> levels{-.975f,    -.975f,    -.3766667f, -.3766667f, -.3766667f, .0233333f,
                                  .0233333f, .0233333f, .6425f,     .6425f,     .6425f,     .6425f};
  for (std::size_t i = 0; i < 12; ++i) CHECK(d.values[i] == Approx(levels[i]).epsilon(1e-5));
  CHECK(squared_error(d.view(), {x, 1, 12}) == Approx(0.0094583333).epsilon(1e-5));
  const float_matrix z = round_trip<codec::codebook_with_zero<2>>({x, 1, 12});
  CHECK(z.values[7] == 0);
  CHECK(z.values[5] == 0);
  CHECK(z.values[0] == Approx(-.975));
}

TEST_CASE("codebook @post: no matrix with that many levels has a smaller squared error", "[codec][codebook][oracle]") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    const float_matrix w = weights(1, 14, seed);
    std::vector<double> sorted(w.values.begin(), w.values.end());
    std::ranges::sort(sorted);
    const double best = best_of_all(sorted, 0, 4);
    // Levels are rounded to float, which changes each squared error by about 2 |error| |level| 2^-24.
    CHECK(squared_error(round_trip<codec::codebook<2>>(w.view()).view(), w.view()) ==
          Approx(best).epsilon(1e-5).margin(1e-12));
  }
}

TEST_CASE("a codebook is never worse than affine with the same number of levels, also above 4096 distinct weights",
          "[codec][codebook][property]") {
  for (const std::size_t out : {3u, 130u}) {
    const float_matrix w = weights(out, 70);
    CHECK(squared_error(round_trip<codec::codebook<4>>(w.view()).view(), w.view()) <=
          squared_error(round_trip<codec::affine<4, codec::per_tensor>>(w.view()).view(), w.view()));
    CHECK(squared_error(round_trip<codec::codebook<3, codec::per_row>>(w.view()).view(), w.view()) <=
          squared_error(round_trip<codec::affine<3>>(w.view()).view(), w.view()));
  }
}

TEST_CASE("with as many levels as distinct weights nothing changes, and codebook_with_zero keeps zeros",
          "[codec][codebook][property]") {
  float_matrix w(5, 37);
  for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(i % 7) - 2.5f;
  CHECK(round_trip<codec::codebook<3>>(w.view()).values == w.values);
  CHECK(round_trip<codec::codebook<8, codec::per_row, codec::scale_type::float16>>(w.view()).values == w.values);
  const float_matrix some = weights(4, 90);
  const float_matrix d = round_trip<codec::codebook_with_zero<2, codec::per_row>>(some.view());
  std::set<float> seen;
  for (std::size_t i = 0; i < d.values.size(); ++i) {
    if (some.values[i] == 0) CHECK(d.values[i] == 0);
    if (i < 90) seen.insert(d.values[i]);
  }
  CHECK(seen.size() == 4);
  const float_matrix nothing(2, 40);
  CHECK(round_trip<codec::codebook<2>>(nothing.view()).values == nothing.values);
}

TEST_CASE("codebooks: exact sizes, strides, names, refusals", "[codec][codebook][worked-example]") {
  static_assert(codec::codebook<4>::bytes(3, 35) == 3 * 16 + 16 * 4 + 3 * 2);  // blocks, levels, tails of 3 codes
  static_assert(codec::codebook<2, codec::per_row, codec::scale_type::float16>::bytes(3, 32) == 3 * 8 + 3 * 4 * 2);
  static_assert(codec::codebook<2>::bytes(0, 32) == 0);
  static_assert(matrix_codec<codec::codebook<4>> && matrix_codec<codec::codebook_with_zero<4>>);
  CHECK(codec::codebook<4>::name() == "codebook4.tensor");
  CHECK(codec::codebook_with_zero<3, codec::per_row, codec::scale_type::float16>::name() ==
        "codebook_with_zero3.row.h");
  const float_matrix w = weights(9, 40);
  float_matrix turned(40, 9);
  codec::copy_values(w.view().transposed(), turned.view());
  CHECK(round_trip<codec::codebook<3>>(turned.view().transposed()).values ==
        round_trip<codec::codebook<3>>(w.view()).values);
  float_matrix bad = w;
  bad(3, 5) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(round_trip<codec::codebook<3>>(bad.view()), ContainsSubstring("row 3, column 5"));
  bad(3, 5) = 1e6f;
  CHECK_THROWS_WITH((round_trip<codec::codebook<3, codec::per_tensor, codec::scale_type::float16>>(bad.view())),
                    ContainsSubstring("65504"));
  std::vector<std::byte> odd(5);
  CHECK_THROWS_WITH(codec::codebook<3>::encode(w.view(), odd), ContainsSubstring("5 bytes"));
}
