#include <precis/fit/coordinate_descent.hpp>

#include <precis/fit/block_levels.hpp>

#include "codec/encoded.hpp"
#include "fit/encoded_matrix.hpp"
#include "fit/fixture_q.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

using namespace precis;
using encoded::encoded_matrix;

namespace {

/// Whether changing one code lowers tr((V - W) H (V - W)').
bool can_improve(weight_view w, const fit::level_table& t, const basic_matrix<double>& gram, double ridge,
                 const fit::rounded_matrix& m) {
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      for (float code = 0; code <= t.top; ++code) {
        float_matrix v = m.values;
        const std::size_t at = t.at(c / t.length, r);
        v(r, c) = t.step[at] * code + t.offset[at];
        if (fit::compensated_error(w, v.view(), gram, ridge) < m.error * (1 - 1e-6)) return true;
      }
  return false;
}

}  // namespace

TEST_CASE("coordinate descent of fixture Q ends where no single code can be better",
          "[fit][coordinate_descent][oracle]") {
  const codec::grid_format f{.rule = codec::grid_rule::affine, .code_bits = 2};
  std::vector<std::byte> packed(f.layout_of(2, 4).bytes);
  codec::encode(f, fixture_q::weights.view(), packed);
  const fit::level_table t = fit::levels_of(f, codec::read_grids(f, packed, 2, 4), 2, 4);
  const auto g = fixture_q::gram();
  const weight_view w = fixture_q::weights.view();
  for (const bool compensated : {false, true}) {
    CAPTURE(compensated);
    const fit::compensation none{.order = {0, 1, 2, 3}}, by = fit::compensate(g, {.damping = 0.01});
    fit::rounded_matrix m = fit::round_compensated(w, t, compensated ? by : none);
    const double before = fit::compensated_error(w, m.values.view(), g, 0.16);
    const std::size_t changed = fit::coordinate_descent{.sweeps = 100}(w, t, g, 0.16, m);
    CHECK(m.error <= before * (1 + 1e-12));
    CHECK(m.error == Approx(fit::compensated_error(w, m.values.view(), g, 0.16)));
    CHECK((changed == 0) == (m.error == Approx(before)));
    CHECK_FALSE(can_improve(w, t, g, 0.16, m));
  }
}

TEST_CASE("coordinate descent @post: error never rises, inside ggml's blocks, too",
          "[fit][coordinate_descent][property]") {
  const float_matrix w = encoded::weights(6, 256);
  std::vector<float> x(encoded::weights(512, 256).values);
  for (std::size_t i = 1; i < x.size(); ++i) x[i] += 0.9f * x[i - 1];
  const measure::gram g = measure::gram_of({std::span<const float>(x), 1, 512, 256});
  const fit::compensation by = fit::compensate(g.sum);
  for (const char* const name : {"q2_k", "q3_k", "q4_k", "iq4_xs", "mxfp4"}) {
    CAPTURE(name);
    const encoded_matrix m(name, w);
    REQUIRE(fit::with_level_block(m.format, [&](auto block) {
      const fit::level_table t = fit::levels_of(block, m.packed, w.rows, w.cols);
      fit::rounded_matrix rounded = fit::round_compensated(w.view(), t, by);
      double last = rounded.error;
      for (int sweep = 0; sweep < 3; ++sweep) {
        fit::coordinate_descent{.sweeps = 1}(w.view(), t, g.sum, by.ridge, rounded);
        CHECK(rounded.error <= last * (1 + 1e-4));  // the first one is a sum of float errors
        last = rounded.error;
      }
      CHECK(last == Approx(fit::compensated_error(w.view(), rounded.values.view(), g.sum, by.ridge)).epsilon(1e-6));
    }));
  }
}

TEST_CASE("coordinate descent refuses the statistics of another matrix", "[fit][coordinate_descent][refusal]") {
  const float_matrix w = encoded::weights(2, 256);
  const encoded_matrix m("q4_k", w);
  const fit::level_table t = fit::levels_of(kernel::blocks::q4_k{}, m.packed, 2, 256);
  fit::rounded_matrix rounded{.rows = 2, .cols = 256, .codes = std::vector<std::uint8_t>(512), .values = m.decoded};
  CHECK(refusal([&] {
          fit::coordinate_descent{}(w.view(), t, fixture_q::gram(), 0, rounded);
        }).find("statistics of 4 inputs for rows of 256") != std::string::npos);
}
