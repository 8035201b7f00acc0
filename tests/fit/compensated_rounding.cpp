#include <precis/fit/compensated_rounding.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/thread_pool.hpp>

#include "codec/encoded.hpp"
#include "fit/fixture_q.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;

namespace {

fit::level_table two_bits() {
  const codec::grid_format f{.rule = codec::grid_rule::affine, .code_bits = 2};
  std::vector<std::byte> packed(f.layout_of(2, 4).bytes);
  codec::encode(f, fixture_q::weights.view(), packed);
  return fit::levels_of(f, codec::read_grids(f, packed, 2, 4), 2, 4);
}

void check_close(const float_matrix& found, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(static_cast<double>(found.values[i]) == Approx(expected[i]).margin(1e-6));
}

}  // namespace

TEST_CASE("compensated rounding of fixture Q at 2 bits, by hand", "[fit][compensated_rounding][worked-example]") {
  const fit::level_table t = two_bits();
  const auto g = fixture_q::gram();
  const fit::compensation none{.order = {0, 1, 2, 3}};
  const fit::rounded_matrix nearest = fit::round_compensated(fixture_q::weights.view(), t, none);
  check_close(nearest.values, {1.133333, -0.566667, -0.566667, -0.566667, -1, -1, 0.5, -1});
  CHECK(fit::compensated_error(fixture_q::weights.view(), nearest.values.view(), g, 0.16) ==
        Approx(5.7579555556).epsilon(1e-6));
  CHECK(fit::compensated_error(fixture_q::weights.view(), nearest.values.view(), g, 0) ==
        Approx(5.7311111111).epsilon(1e-6));

  const fit::compensation c = fit::compensate(g, {.damping = 0.01, .by_magnitude = false});
  const fit::rounded_matrix rounded = fit::round_compensated(fixture_q::weights.view(), t, c);
  check_close(rounded.values, {1.133333, -0.566667, -0.566667, -0.566667, -1, -1, 0, -1});
  CHECK(rounded.error == Approx(3.4159555556).epsilon(1e-6));
  CHECK(fit::compensated_error(fixture_q::weights.view(), rounded.values.view(), g, c.ridge) ==
        Approx(3.4159555556).epsilon(1e-6));
  CHECK(fit::compensated_error(fixture_q::weights.view(), rounded.values.view(), g, 0) ==
        Approx(3.3811111111).epsilon(1e-6));

  const fit::rounded_matrix ordered =
      fit::round_compensated(fixture_q::weights.view(), t, fit::compensate(g, {.damping = 0.01}));
  CHECK(static_cast<double>(ordered.values(0, 0)) == Approx(0.566667).epsilon(1e-6));
  CHECK(ordered.error == Approx(3.0842666667).epsilon(1e-6));
}

namespace {

/// 300 inputs: two blocks and a part, correlated.
basic_matrix<double> correlated(std::size_t n) {
  const float_matrix noise = encoded::weights(2 * n, n);
  std::vector<float> x(noise.values);
  for (std::size_t t = 0; t < 2 * n; ++t)
    for (std::size_t i = 1; i < n; ++i) x[t * n + i] += 0.9f * x[t * n + i - 1];
  return measure::gram_of({std::span<const float>(x), 1, 2 * n, n}).sum;
}

}  // namespace

TEST_CASE("compensated rounding @post: its error is tr((T - V) H (T - V)'), and far below that of nearest",
          "[fit][compensated_rounding][property]") {
  const std::size_t out = 70, in = 300;
  const auto g = correlated(in);
  const float_matrix w = encoded::weights(out, in);
  const codec::grid_format f{.rule = codec::grid_rule::affine, .code_bits = 3, .group = 64};
  std::vector<std::byte> packed(f.layout_of(out, in).bytes);
  codec::encode(f, w.view(), packed);
  const auto grids = codec::read_grids(f, packed, out, in);
  const fit::level_table t = fit::levels_of(f, grids, out, in);
  const fit::compensation c = fit::compensate(g);
  const fit::rounded_matrix rounded = fit::round_compensated(w.view(), t, c);
  CHECK(rounded.error == Approx(fit::compensated_error(w.view(), rounded.values.view(), g, c.ridge)).epsilon(1e-3));
  const float_matrix nearest = encoded::decoded(f, packed, out, in);
  CHECK(rounded.error < 0.6 * fit::compensated_error(w.view(), nearest.view(), g, c.ridge));
  CHECK(fit::round_compensated(w.view(), t, c, thread_pool{2}).codes == rounded.codes);

  // What is on the grids is encoded on them without a change.
  codec::encode_on_grids(f, rounded.values.view(), packed, codec::choose_given{grids});
  const float_matrix stored = encoded::decoded(f, packed, out, in);
  double worst = 0;
  for (std::size_t i = 0; i < stored.values.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(stored.values[i] - rounded.values.values[i])));
  CHECK(worst < 1e-6);
}

TEST_CASE("compensated rounding @post: with a diagonal H, every weight goes to the nearest level",
          "[fit][compensated_rounding][property]") {
  basic_matrix<double> g(40, 40);
  for (std::size_t i = 0; i < 40; ++i) g(i, i) = 1 + static_cast<double>(i);
  const float_matrix w = encoded::weights(5, 40);
  const codec::grid_format f{.rule = codec::grid_rule::e2m1, .code_bits = 4, .group = 32};
  std::vector<std::byte> packed(f.layout_of(5, 40).bytes);
  codec::encode(f, w.view(), packed);
  const fit::level_table t = fit::levels_of(f, codec::read_grids(f, packed, 5, 40), 5, 40);
  const float_matrix values = fit::round_compensated(w.view(), t, fit::compensate(g)).values;
  const float_matrix nearest = encoded::decoded(f, packed, 5, 40);
  for (std::size_t i = 0; i < w.values.size(); ++i)
    CHECK(std::abs(values.values[i] - w.values[i]) <= std::abs(nearest.values[i] - w.values[i]) + 1e-6f);
}
