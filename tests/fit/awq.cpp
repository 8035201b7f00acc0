#include <precis/fit/awq.hpp>

#include <precis/codec/grid/matrix.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

const float_matrix weights{2, 4, {.6f, -.2f, .1f, .9f, -.7f, .35f, -.15f, .25f}};
const std::vector<float> inputs{.1f, 4, .2f, .3f, -.2f, -6, .1f, .4f, .1f, 5, -.3f, .2f};
const std::vector<double> mean_absolute{.4 / 3, 5, .2, .3};

measure::gram gram() { return measure::gram_of({std::span<const float>(inputs), 1, 3, 4}); }

/// 3 bits, asymmetric, one grid per row.
void round_rows(weight_view from, mutable_weight_view to) {
  const codec::grid_format f{.rule = codec::grid_rule::affine, .code_bits = 3};
  std::vector<std::byte> packed(f.layout_of(from.rows, from.cols).bytes);
  codec::encode(f, from, packed);
  codec::decode(f, packed, to);
}

}  // namespace

TEST_CASE("awq: two outputs and four inputs, by hand", "[fit][awq][worked-example]") {
  const fit::channel_scales found = fit::awq{}(weights.view(), mean_absolute, gram(), round_rows);
  CHECK(found.error_without == Approx(0.0575929422).epsilon(1e-5));
  CHECK(found.exponent == Approx(0.45));
  CHECK(found.error == Approx(0.0016110899).epsilon(1e-4));
  const double expected[] = {0.442428, 2.260253, 0.530987, 0.637272};
  for (std::size_t j = 0; j < 4; ++j) CHECK(found.scale[j] == Approx(expected[j]).epsilon(1e-5));
}

TEST_CASE("awq @post: error <= error_without, and exponent 0 is nearest rounding", "[fit][awq][property]") {
  const fit::channel_scales one = fit::awq{.steps = 1}(weights.view(), mean_absolute, gram(), round_rows);
  CHECK(one.scale == std::vector<double>(4, 1.0));
  CHECK(one.error == one.error_without);
  float_matrix nearest(2, 4);
  round_rows(weights.view(), nearest.view());
  CHECK(one.error == Approx(measure::squared_output_error(weights.view(), nearest.view(), gram().sum) / 6));
  for (const std::size_t steps : {2u, 5u, 40u}) {
    const fit::channel_scales found = fit::awq{.steps = steps}(weights.view(), mean_absolute, gram(), round_rows);
    CHECK(found.error <= found.error_without);
  }
}

TEST_CASE("awq: the product of the largest and the smallest scale is 1; a dead input has the floor", "[fit][awq]") {
  const std::vector<double> means{0, 1, 16};
  const std::vector<double> s = fit::awq{}.scales(means, 0.5);
  CHECK(s[0] * s[2] == Approx(1));
  CHECK(s[1] / s[0] == Approx(1e4));
  CHECK(s[2] / s[1] == Approx(4));
}

TEST_CASE("awq refuses", "[fit][awq][refusal]") {
  const auto message = [](const std::vector<double>& means, const measure::gram& g, std::size_t steps) {
    return refusal([&] { static_cast<void>(fit::awq{.steps = steps}(weights.view(), means, g, round_rows)); });
  };
  CHECK(message(mean_absolute, gram(), 0).find("0 steps") != std::string::npos);
  CHECK(message({1, 2}, gram(), 20).find("statistics of 2 inputs") != std::string::npos);
  CHECK(message({1, 2, -3, 4}, gram(), 20).find("mean absolute input") != std::string::npos);
  CHECK(message({1, 2, std::numeric_limits<double>::infinity(), 4}, gram(), 20).find("mean absolute") !=
        std::string::npos);
  measure::gram none = gram();
  none.tokens = 0;
  CHECK(message(mean_absolute, none, 20).find("no tokens") != std::string::npos);
}
