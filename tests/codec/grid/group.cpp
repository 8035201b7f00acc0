#include <precis/codec/grid/group.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

using namespace precis;
using codec::grid_format;
using codec::grid_rule;

TEST_CASE("extent_of finds the smallest and largest weight of rows of any length", "[codec][grid][property]") {
  for (const std::size_t in : {1u, 31u, 32u, 33u, 511u, 512u, 513u, 1056u, 1100u}) {
    CAPTURE(in);
    float_matrix w(3, in);
    for (std::size_t at = 0; at < w.values.size(); at += at < 40 ? 1 : 37) {
      for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(i % 7) - 3.f;
      w.values[at] = -9;
      CHECK(codec::extent_of(w.view()).lo == -9);
      w.values[at] = 8;
      CHECK(codec::extent_of(w.view()).hi == 8);
      CHECK(codec::extent_of(w.view()).finite);
      w.values[at] = std::numeric_limits<float>::quiet_NaN();
      CHECK_FALSE(codec::extent_of(w.view()).finite);
      w.values[at] = -std::numeric_limits<float>::infinity();
      CHECK_FALSE(codec::extent_of(w.view()).finite);
    }
  }
}

TEST_CASE("fake_quantize of a group gives the bits that it decodes to in a matrix", "[codec][grid][property]") {
  for (const grid_format& f : encoded::every_format()) {
    CAPTURE(to_string(f));
    const bool any_length = f.group == codec::per_row || f.group == codec::per_tensor;
    const std::size_t in = any_length ? 300 : f.group;  // 300 is more than fake_quantize processes at a time
    float_matrix w = encoded::weights(1, in, 7);
    if (f.is_power())
      for (float& x : w.values) x = std::abs(x);
    std::vector<float> alone(in);
    codec::fake_quantize(f, codec::spanning_grid(f, codec::extent_of(w.view())), w.row(0), alone);
    const float_matrix back = encoded::decoded(f, encoded::bytes_of(f, w.view()), 1, in);
    CHECK(std::memcmp(alone.data(), back.values.data(), in * sizeof(float)) == 0);
  }
}

TEST_CASE("ties are rounded to the even code", "[codec][grid][worked-example]") {
  const std::vector<float> x{-2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f};
  std::vector<float> back(x.size());
  const grid_format symmetric{.rule = grid_rule::symmetric, .code_bits = 4};
  codec::fake_quantize(symmetric, {.scale = 1, .zero_point = symmetric.fixed_zero_point()}, x, back);
  CHECK(back == std::vector<float>{-2, -2, 0, 0, 2, 2});
  const grid_format affine{.rule = grid_rule::affine, .code_bits = 4};
  codec::fake_quantize(affine, {.scale = 1, .zero_point = 1}, x, back);  // the lowest code is -1
  CHECK(back == std::vector<float>{-1, -1, 0, 0, 2, 2});
}

TEST_CASE("quantization_errors @post: the errors are those of fake_quantize", "[codec][grid][property]") {
  for (const grid_format& f : encoded::every_format()) {
    CAPTURE(to_string(f));
    float_matrix w = encoded::weights(1, 300, 11);
    if (f.is_power())
      for (float& x : w.values) x = std::abs(x);
    const codec::grid g = codec::spanning_grid(f, codec::extent_of(w.view()));
    std::vector<float> decoded(300), errors(300);
    codec::fake_quantize(f, g, w.row(0), decoded);
    codec::quantization_errors(f, g, w.row(0), errors);
    for (std::size_t i = 0; i < 300; ++i) CHECK(errors[i] == decoded[i] - w.values[i]);
  }
}
