#include <engine/model/mamba2.hpp>

#include "catch.hpp"
#include "engine/differences.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using engine::gate_order;
using engine::mamba2;
using engine::mamba2_settings;
using engine::mixer_state;
using precis::matrix_view;

namespace {

/// The formulas in double, one value at a time.
struct numbers {
  mamba2_settings s;
  std::size_t tokens;
  std::vector<double> projected, kernel, conv_bias, a_log, d, dt_bias, norm;

  [[nodiscard]] static double silu(double x) { return x / (1 + std::exp(-x)); }

  /// The in-projection's outputs times their scales.
  [[nodiscard]] double scaled(std::size_t t, std::size_t i) const {
    const std::size_t inner = s.inner(), shared = s.groups * s.state_width;
    const std::size_t part = i < inner                  ? 0
                             : i < 2 * inner            ? 1
                             : i < 2 * inner + shared   ? 2
                             : i < inner + s.channels() ? 3
                                                        : 4;
    return projected[t * s.projected() + i] * static_cast<double>(s.scales[part]);
  }

  [[nodiscard]] std::vector<double> mixed() const {
    const std::size_t inner = s.inner(), width = s.head_width;
    std::vector<double> conv(tokens * s.channels());
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < s.channels(); ++c) {
        double sum = conv_bias.empty() ? 0 : conv_bias[c];
        for (std::size_t j = 0; j < s.conv_width; ++j)
          if (t + j + 1 >= s.conv_width)
            sum += kernel[c * s.conv_width + j] * scaled(t + j + 1 - s.conv_width, inner + c);
        conv[t * s.channels() + c] = silu(sum);
      }
    std::vector<double> y(tokens * inner);
    for (std::size_t h = 0; h < s.heads; ++h) {
      const std::size_t group = h / (s.heads / s.groups);
      std::vector<double> memory(width * s.state_width, 0.0);
      for (std::size_t t = 0; t < tokens; ++t) {
        const double* const row = conv.data() + t * s.channels();
        const double* const b = row + inner + group * s.state_width;
        const double* const c = b + s.groups * s.state_width;
        const double free = std::log(1 + std::exp(scaled(t, inner + s.channels() + h) + dt_bias[h]));
        const double step = std::min(std::max(free, s.least_step), s.most_step);
        for (std::size_t p = 0; p < width; ++p) {
          double sum = d[h] * row[h * width + p];
          for (std::size_t n = 0; n < s.state_width; ++n) {
            double& m = memory[p * s.state_width + n];
            m = std::exp(-std::exp(a_log[h]) * step) * m + step * row[h * width + p] * b[n];
            sum += m * c[n];
          }
          y[t * inner + h * width + p] = sum;
        }
      }
    }
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t g = 0; g < s.norm_groups; ++g) {
        const std::size_t count = inner / s.norm_groups;
        double* const row = y.data() + t * inner + g * count;
        double square = 0;
        for (std::size_t i = 0; i < count; ++i) {
          if (s.order != gate_order::norm_then_gate) row[i] *= silu(scaled(t, g * count + i));
          square += row[i] * row[i];
        }
        const double inverse = 1 / std::sqrt(square / static_cast<double>(count) + static_cast<double>(s.epsilon));
        for (std::size_t i = 0; i < count; ++i) {
          if (s.order != gate_order::gate_alone) row[i] *= inverse * norm[g * count + i];
          if (s.order == gate_order::norm_then_gate) row[i] *= silu(scaled(t, g * count + i));
        }
      }
    return y;
  }
};

std::vector<mamba2_settings> all_settings() {
  return {
      {.heads = 4, .head_width = 3, .state_width = 5, .groups = 2, .conv_width = 4, .norm_groups = 2, .epsilon = 0.01f},
      {.heads = 3,
       .head_width = 2,
       .state_width = 7,
       .conv_width = 3,
       .order = gate_order::gate_alone,
       .scales = {0.5f, 1.5f, -2, 0.75f, 1.25f}},
      {.heads = 2,
       .head_width = 17,
       .state_width = 1,
       .groups = 2,
       .conv_width = 1,
       .least_step = 0.5,
       .most_step = 1.5,
       .order = gate_order::norm_then_gate,
       .norm_groups = 17,
       .epsilon = 0.01f},
      {.heads = 1, .head_width = 5, .state_width = 3, .conv_width = 2, .epsilon = 0.01f}};
}

}  // namespace

TEST_CASE("the Mamba-2 mixer is its recurrence, in any number of calls, and its gradients are differences",
          "[engine][mamba2][oracle]") {
  bool biased = false;
  for (const mamba2_settings& s : all_settings())
    for (const std::size_t tokens : {1u, 2u, 10u}) {
      biased = !biased;
      const std::vector<float> projected = support::waves(tokens * s.projected(), 0.6, 2),
                               kernel = support::waves(s.channels() * s.conv_width, 1.2),
                               conv_bias = support::waves(biased ? s.channels() : 0, 2.2),
                               a_log = support::waves(s.heads, 2.1), skip = support::waves(s.heads, 2.7),
                               dt_bias = support::waves(s.heads, 3.3), norm = support::waves(s.inner(), 4.7);
      numbers n{s,
                tokens,
                support::doubles(projected),
                support::doubles(kernel),
                support::doubles(conv_bias),
                support::doubles(a_log),
                support::doubles(skip),
                support::doubles(dt_bias),
                support::doubles(norm)};
      const mamba2 mixer{.settings = s,
                         .kernel = kernel,
                         .conv_bias = conv_bias,
                         .a_log = a_log,
                         .d = skip,
                         .dt_bias = dt_bias,
                         .norm = norm};
      const matrix_view<const float> rows(projected, tokens, s.projected());
      std::vector<float> y(tokens * s.inner());
      mixer_state state;
      mixer(rows, state, matrix_view<float>(y, tokens, s.inner()));
      CHECK(support::distance(y, n.mixed()) < 2e-5);

      for (std::size_t first = 0; first <= tokens; ++first) {
        std::vector<float> parts(y.size(), 99.f);
        const matrix_view<float> out(parts, tokens, s.inner());
        mixer_state left;
        mixer(rows.row_range(0, first), left, out.row_range(0, first));
        mixer_state copy = left;
        mixer(rows.row_range(first, tokens - first), copy, out.row_range(first, tokens - first));
        CHECK(parts == y);
        CHECK(copy.tail == state.tail);
        CHECK(copy.memory == state.memory);
      }

      const std::vector<float> dy = support::waves(y.size(), 5.5);
      std::vector<float> d_projected(projected.size(), 99.f), d_kernel(kernel.size()), d_conv_bias(conv_bias.size()),
          d_a_log(s.heads), d_skip(s.heads), d_dt_bias(s.heads), d_norm(norm.size());
      mixer.backward(rows, matrix_view<const float>(dy, tokens, s.inner()),
                     matrix_view<float>(d_projected, tokens, s.projected()),
                     {d_kernel, d_conv_bias, d_a_log, d_skip, d_dt_bias, d_norm});
      const auto loss = [&] { return support::along(n.mixed(), dy); };
      CHECK(support::gradient_error(n.projected, d_projected, loss) < 2e-5);
      CHECK(support::gradient_error(n.kernel, d_kernel, loss) < 2e-5);
      if (biased) CHECK(support::gradient_error(n.conv_bias, d_conv_bias, loss) < 2e-5);
      if (tokens > 1) CHECK(support::gradient_error(n.a_log, d_a_log, loss) < 2e-5);  // the first token forgets nothing
      if (tokens > 2)
        CHECK(support::gradient_error(n.dt_bias, d_dt_bias, loss) < 2e-5);  // fewer steps may all be limited
      CHECK(support::gradient_error(n.d, d_skip, loss) < 2e-5);
      if (s.order != gate_order::gate_alone) CHECK(support::gradient_error(n.norm, d_norm, loss) < 2e-5);

      std::vector<float> same(projected.size());  // parameter gradients are optional
      mixer.backward(rows, matrix_view<const float>(dy, tokens, s.inner()),
                     matrix_view<float>(same, tokens, s.projected()), {});
      CHECK(same == d_projected);
    }
}

TEST_CASE("settings of a Mamba-2 mixer are refused by name and value", "[engine][mamba2]") {
  const auto refused = [](auto change) {
    mamba2_settings s = all_settings()[0];
    change(s);
    return refusal([&] { engine::check(s, "config.json"); });
  };
  for (const mamba2_settings& s : all_settings()) CHECK(refusal([&] { engine::check(s); }) == "");
  CHECK_THAT(refused([](auto& s) { s.heads = 0; }), ContainsSubstring("config.json: mamba_n_heads = 0"));
  CHECK_THAT(refused([](auto& s) { s.groups = 3; }), ContainsSubstring("mamba_n_groups = 3"));
  CHECK_THAT(refused([](auto& s) { s.norm_groups = 5; }), ContainsSubstring("a gated norm in 5 groups"));
  CHECK_THAT(refused([](auto& s) { s.least_step = 2, s.most_step = 1; }), ContainsSubstring("time_step_limit = 2"));
  CHECK_THAT(refused([](auto& s) { s.epsilon = 0; }), ContainsSubstring("epsilon of 0"));
  CHECK_THAT(refused([](auto& s) { s.scales[3] = std::numeric_limits<float>::infinity(); }),
             ContainsSubstring("ssm_multipliers with inf"));
}
