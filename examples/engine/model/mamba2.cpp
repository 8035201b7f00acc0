#include <engine/model/mamba2.hpp>

#include <engine/model/math.hpp>
#include <engine/model/recurrence.hpp>
#include <engine/model/softplus.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

namespace engine {
namespace {

using precis::matrix_view;

/// One head at one token.
struct scan_step {
  const float *x, *b, *c;
  float decay, step;
  std::size_t head_width, state_width;

  void remember(float* memory) const noexcept {
    for (std::size_t n = 0; n < state_width; ++n) {
      float* const row = memory + n * head_width;
      const float by = step * b[n];
      for (std::size_t p = 0; p < head_width; ++p) row[p] = decay * row[p] + by * x[p];
    }
  }
  void read(const float* memory, float skip, float* y) const noexcept {
    for (std::size_t p = 0; p < head_width; ++p) y[p] = skip * x[p];
    for (std::size_t n = 0; n < state_width; ++n) {
      const float* const row = memory + n * head_width;
      for (std::size_t p = 0; p < head_width; ++p) y[p] += c[n] * row[p];
    }
  }
};

/// A sequence after the convolution: everything the recurrence reads.
struct scanned_sequence {
  mamba2_settings s;
  std::size_t tokens;
  std::vector<float> into;                  ///< [tokens x channels] the convolution's input, scaled
  std::vector<float> raw;                   ///< [tokens x channels] before SiLU
  std::vector<float> mixed;                 ///< [tokens x channels] x, b, c
  std::vector<float> gate;                  ///< [tokens x inner] z, scaled
  std::vector<double> before, step, decay;  ///< [tokens x heads] softplus's argument; the step; e^(-e^a_log step)

  scanned_sequence(const mamba2& m, const causal_conv& conv, matrix_view<const float> projected,
                   std::vector<float>& tail)
      : s(m.settings),
        tokens(projected.rows),
        into(tokens * s.channels()),
        raw(into.size()),
        mixed(into.size()),
        gate(tokens * s.inner()),
        before(tokens * s.heads),
        step(before.size()),
        decay(before.size()) {
    for (std::size_t t = 0; t < tokens; ++t) {
      const float* const row = projected.row(t).data();
      for (std::size_t i = 0; i < s.inner(); ++i) gate[t * s.inner() + i] = row[i] * s.scales[0];
      for (std::size_t i = 0; i < s.channels(); ++i) into[t * s.channels() + i] = row[s.inner() + i] * scale_of(i);
      for (std::size_t h = 0; h < s.heads; ++h) {
        const std::size_t at = t * s.heads + h;
        before[at] =
            static_cast<double>(row[s.inner() + s.channels() + h] * s.scales[4]) + static_cast<double>(m.dt_bias[h]);
        step[at] = std::clamp(softplus(before[at]), s.least_step, s.most_step);
        decay[at] = std::exp(-std::exp(static_cast<double>(m.a_log[h])) * step[at]);
      }
    }
    conv(matrix_view<const float>(into, tokens, s.channels()), tail, matrix_view<float>(raw, tokens, s.channels()));
    for_each_lane([]<class L>(L, auto v) { return silu::value<L>(v); }, raw.size(), mixed.data(), raw.data());
  }

  /// What multiplies a channel of the convolution's input.
  [[nodiscard]] float scale_of(std::size_t channel) const noexcept {
    if (channel < s.inner()) return s.scales[1];
    return s.scales[channel < s.inner() + s.groups * s.state_width ? 2 : 3];
  }
  [[nodiscard]] std::size_t b_of(std::size_t head) const noexcept {
    return s.inner() + head / (s.heads / s.groups) * s.state_width;
  }
  [[nodiscard]] std::size_t c_of(std::size_t head) const noexcept { return b_of(head) + s.groups * s.state_width; }
  [[nodiscard]] scan_step at(std::size_t t, std::size_t head) const noexcept {
    const float* const row = mixed.data() + t * s.channels();
    const std::size_t i = t * s.heads + head;
    return {row + head * s.head_width,   row + b_of(head), row + c_of(head), static_cast<float>(decay[i]),
            static_cast<float>(step[i]), s.head_width,     s.state_width};
  }
};

/// The recurrence of all heads; out [tokens x inner] before the norm.
void scan(const scanned_sequence& q, std::span<const float> skip, float* memory, matrix_view<float> out) {
  for (std::size_t h = 0; h < q.s.heads; ++h, memory += q.s.state_width * q.s.head_width)
    for (std::size_t t = 0; t < q.tokens; ++t) {
      const scan_step step = q.at(t, h);
      step.remember(memory);
      step.read(memory, skip[h], out.row(t).data() + h * q.s.head_width);
    }
}

/// The gradients of one head at one token.
struct scan_gradient {
  float *dx, *db, *dc;  ///< [head_width], [state_width], [state_width], added to
  double decay = 0, step = 0, skip = 0;
};

/// Gradients of a step from those of its output and of the memory after it; `d_memory` becomes that of the memory before.
void scan_back(const scan_step& s, const float* before, const float* d_y, float skip, float* d_memory,
               std::span<float> scratch, scan_gradient& g) {
  const std::size_t width = s.head_width;
  const auto product = [width](const float* u, const float* v) {
    return lane_sum(width, [u, v](std::size_t i) { return static_cast<double>(u[i]) * static_cast<double>(v[i]); });
  };
  float* const after = scratch.data();
  float* const d_x = after + width;  // at x, from what is remembered, before the step multiplies it
  std::fill_n(d_x, width, 0.f);
  g.decay = 0;
  for (std::size_t n = 0; n < s.state_width; ++n) {
    const float* const row = before + n * width;
    float* const d_row = d_memory + n * width;
    const float by = s.step * s.b[n];
    for (std::size_t p = 0; p < width; ++p) after[p] = s.decay * row[p] + by * s.x[p];
    g.dc[n] += static_cast<float>(product(after, d_y));
    for (std::size_t p = 0; p < width; ++p) d_row[p] += s.c[n] * d_y[p];
    g.db[n] += s.step * static_cast<float>(product(d_row, s.x));
    g.decay += product(row, d_row);
    for (std::size_t p = 0; p < width; ++p) {
      d_x[p] += s.b[n] * d_row[p];
      d_row[p] *= s.decay;
    }
  }
  g.step = product(d_x, s.x);
  g.skip = product(d_y, s.x);
  for (std::size_t p = 0; p < width; ++p) g.dx[p] += s.step * d_x[p] + skip * d_y[p];
}

}  // namespace

void check(const mamba2_settings& s, std::string_view where) {
  const auto bad = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
  };
  const std::pair<const char*, std::size_t> sizes[] = {{"mamba_n_heads", s.heads},
                                                       {"mamba_d_head", s.head_width},
                                                       {"mamba_d_state", s.state_width},
                                                       {"mamba_n_groups", s.groups},
                                                       {"mamba_d_conv", s.conv_width}};
  for (const auto& [name, value] : sizes)
    if (value == 0 || value > (std::size_t{1} << 20))
      bad(std::string(name) + " = " + std::to_string(value), "1 to 2^20");
  if (s.heads % s.groups != 0)
    bad("mamba_n_groups = " + std::to_string(s.groups),
        "a number that divides the " + std::to_string(s.heads) + " heads");
  if (s.norm_groups == 0 || s.inner() % s.norm_groups != 0)
    bad("a gated norm in " + std::to_string(s.norm_groups) + " groups",
        "a number that divides the inner width of " + std::to_string(s.inner()));
  if (!(s.least_step >= 0) || !(s.most_step > s.least_step))
    bad("time_step_limit = " + std::to_string(s.least_step) + ", " + std::to_string(s.most_step),
        "two numbers from 0 on, the smaller first");
  if (!(s.epsilon > 0) || !std::isfinite(s.epsilon))
    bad("a norm epsilon of " + std::to_string(s.epsilon), "a small positive number");
  for (const float scale : s.scales)
    if (!std::isfinite(scale)) bad("ssm_multipliers with " + std::to_string(scale), "finite numbers");
}

void mamba2::operator()(matrix_view<const float> projected, mixer_state& state, matrix_view<float> out) const {
  const scanned_sequence q(*this, conv(), projected, state.tail);
  state.memory.resize(settings.heads * settings.state_width * settings.head_width, 0.f);
  scan(q, d, state.memory.data(), out);
  for (std::size_t t = 0; t < q.tokens; ++t)
    end()(out.row(t), std::span(q.gate).subspan(t * settings.inner(), settings.inner()), out.row(t));
}

void mamba2::backward(matrix_view<const float> projected, matrix_view<const float> d_out,
                      matrix_view<float> d_projected, const mamba2_gradient& gradient) const {
  std::vector<float> tail;
  const scanned_sequence q(*this, conv(), projected, tail);
  const std::size_t tokens = q.tokens, inner = settings.inner(), channels = settings.channels();
  const std::size_t width = settings.head_width, size = settings.state_width * width;
  std::vector<float> memory(settings.heads * size, 0.f), made(tokens * inner), d_made(tokens * inner);
  scan(q, d, memory.data(), matrix_view<float>(made, tokens, inner));
  std::vector<double> d_norm(gradient.norm.size(), 0.0);
  for (std::size_t t = 0; t < tokens; ++t) {
    const std::span<float> d_gate = d_projected.row(t).first(inner);
    end().backward({made.data() + t * inner, inner}, {q.gate.data() + t * inner, inner}, d_out.row(t),
                   {d_made.data() + t * inner, inner}, d_gate, d_norm);
    for (float& v : d_gate) v *= settings.scales[0];
  }
  for (std::size_t i = 0; i < d_norm.size(); ++i) gradient.norm[i] += static_cast<float>(d_norm[i]);

  std::vector<float> d_mixed(tokens * channels, 0.f), d_memory(size), scratch(2 * width);
  for (std::size_t h = 0; h < settings.heads; ++h) {
    const double rate = std::exp(static_cast<double>(a_log[h]));
    double d_log = 0, d_bias = 0, d_skip = 0;
    std::ranges::fill(d_memory, 0.f);
    walk_back(
        tokens, size, [&](std::size_t t, float* state) { q.at(t, h).remember(state); },
        [&](std::size_t t, const float* before) {
          float* const d_row = d_mixed.data() + t * channels;
          scan_gradient g{d_row + h * width, d_row + q.b_of(h), d_row + q.c_of(h)};
          scan_back(q.at(t, h), before, d_made.data() + t * inner + h * width, d[h], d_memory.data(), scratch, g);
          const std::size_t at = t * settings.heads + h;
          const double d_exponent = g.decay * q.decay[at];  // of -rate * step
          const double made_step = softplus(q.before[at]);
          const bool free = made_step >= settings.least_step && made_step <= settings.most_step;
          const double d_x = free ? (g.step - d_exponent * rate) * softplus_slope(q.before[at]) : 0;
          d_log -= d_exponent * rate * q.step[at];
          d_bias += d_x;
          d_skip += g.skip;
          d_projected(t, inner + channels + h) = static_cast<float>(d_x) * settings.scales[4];
        });
    if (!gradient.a_log.empty()) gradient.a_log[h] += static_cast<float>(d_log);
    if (!gradient.dt_bias.empty()) gradient.dt_bias[h] += static_cast<float>(d_bias);
    if (!gradient.d.empty()) gradient.d[h] += static_cast<float>(d_skip);
  }
  for_each_lane([]<class L>(L, auto v, auto x) { return L::multiply(v, silu::slope<L>(x)); }, d_mixed.size(),
                d_mixed.data(), d_mixed.data(), q.raw.data());
  const matrix_view<float> d_into = d_projected.col_range(inner, channels);
  conv().backward(matrix_view<const float>(q.into, tokens, channels),
                  matrix_view<const float>(d_mixed, tokens, channels), d_into, gradient.kernel, gradient.conv_bias);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t i = 0; i < channels; ++i) d_into(t, i) *= q.scale_of(i);
}

}  // namespace engine
