#include <precis/codec/log2.hpp>

#include <precis/core/menu.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace precis;
using namespace encoded;

namespace {

/// Weights like attention probabilities: most are small, none is negative.
float_matrix probabilities(std::size_t rows, std::size_t cols) {
  float_matrix w = weights(rows, cols);
  for (float& x : w.values) x = std::exp(4.f * x);
  return w;
}

const std::vector<codec::grid_format> formats{codec::log2<4>::format, codec::log2<3, 32>::format,
                                              codec::log_sqrt2<4, 16, codec::scale_type::float16>::format,
                                              codec::log_sqrt2<3, codec::per_tensor>::format};

}  // namespace

TEST_CASE("log2 and log_sqrt2 of eight weights, by hand", "[codec][log2][worked-example]") {
  const std::vector<float> x{1.f, .7f, .5f, .3f, .1f, .02f, .004f, 0.f};
  const auto check = [&](const codec::grid_format& f, const std::vector<int>& expected, double mse) {
    const auto packed = bytes_of(f, {x, 1, 8});
    CHECK(codes(f, packed, 1, 8) == expected);
    const auto d = decoded(f, packed, 1, 8).values;
    double error = 0;
    for (std::size_t i = 0; i < 8; ++i) error += std::pow(static_cast<double>(d[i]) - static_cast<double>(x[i]), 2) / 8;
    CHECK(error == Approx(mse).epsilon(1e-6));
    CHECK(d[7] == 0.f);
  };
  check(codec::log2<4>::format, {0, 1, 1, 2, 3, 6, 8, 15}, 0.0053930187);
  check(codec::log_sqrt2<4>::format, {0, 1, 2, 3, 7, 11, 15, 15}, 0.0003842125);
}

TEST_CASE("falling powers are nearest in the logarithm, and every code encodes to itself", "[codec][log2][oracle]") {
  const auto check = [](auto power, int per_octave) {
    using kind = decltype(power);
    for (std::uint8_t c = 0; c < kind::zero; ++c) {
      CHECK(static_cast<double>(kind::decode(c)) ==
            Approx(std::exp2(-static_cast<double>(c) / per_octave)).epsilon(1e-7));
      CHECK(kind::encode(kind::decode(c)) == c);
    }
    CHECK(kind::decode(kind::zero) == 0.f);
    CHECK(kind::encode(0.f) == kind::zero);
    CHECK(kind::encode(1e-40f) == kind::zero);
    CHECK(kind::encode(3.f) == 0);
    // The adjacent floats on either side of every boundary 2^-((k + 1/2) / per_octave), and random numbers.
    for (int k = 0; k <= kind::zero; ++k) {
      const auto boundary = std::exp2(-(static_cast<long double>(k) + 0.5L) / per_octave);
      auto x = static_cast<float>(boundary);
      for (float at : {std::nextafter(x, 0.f), x, std::nextafter(x, 1.f)}) {
        const int exact = static_cast<long double>(at) > boundary ? k : k + 1;
        CHECK(kind::encode(at) == std::min<int>(exact, kind::zero));
      }
    }
  };
  check(kernel::falling_power<3, 1>{}, 1);
  check(kernel::falling_power<4, 1>{}, 1);
  check(kernel::falling_power<3, 2>{}, 2);
  check(kernel::falling_power<4, 2>{}, 2);
}

TEST_CASE("log2 @post: encoding decoded weights again on the same grids gives the same bytes",
          "[codec][log2][property]") {
  const float_matrix w = probabilities(19, 75);
  for (const auto& f : formats) {
    const auto packed = bytes_of(f, w.view());
    const float_matrix d = decoded(f, packed, 19, 75);
    std::vector<std::byte> again(packed.size());
    codec::encode_on_grids(f, d.view(), again, codec::choose_given{codec::read_grids(f, packed, 19, 75)});
    CHECK(again == packed);
    CHECK(std::ranges::none_of(d.values, [](float v) { return v < 0; }));
  }
}

TEST_CASE("log2 @post: 0 decodes to exactly 0; the largest weight of a group is exact", "[codec][log2][property]") {
  float_matrix w = probabilities(5, 64);
  w(2, 7) = 0;
  for (std::size_t c = 32; c < 64; ++c) w(3, c) = 0;  // a group of zeros
  const auto d = decoded(codec::log2<4, 32>::format, bytes_of(codec::log2<4, 32>::format, w.view()), 5, 64);
  CHECK(d.view()(2, 7) == 0.f);
  for (std::size_t c = 32; c < 64; ++c) CHECK(d.view()(3, c) == 0.f);
  const auto largest = [](const float_matrix& m) { return *std::ranges::max_element(m.view().row(4).first(32)); };
  CHECK(largest(d) == largest(w));
}

TEST_CASE("log2: names, sizes and refusals", "[codec][log2][refusal]") {
  CHECK(codec::log2<4, 32>::name() == "log2_4.g32");
  CHECK(codec::log_sqrt2<3, codec::per_row, codec::scale_type::float16>::name() == "log_sqrt2_3.row.h");
  static_assert(codec::log2<4, 32, codec::scale_type::float16>::bytes(3, 64) == 3 * 32 + 3 * 2 * 2);
  static_assert(matrix_codec<codec::log2<4, 32>> && matrix_codec<codec::log_sqrt2<3>>);
  float_matrix w = probabilities(3, 40);
  w(1, 33) = -0.25f;
  std::vector<std::byte> packed(codec::log2<4, 32>::bytes(3, 40));
  CHECK_THROWS_WITH((codec::log2<4, 32>::encode(w.view(), packed)), ContainsSubstring("-0.25") &&
                                                                        ContainsSubstring("row 1, column 33") &&
                                                                        ContainsSubstring("log2_4.g32"));
}
