#include <engine/model/delta_net.hpp>

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

[[nodiscard]] double dot(const float* x, const float* y, std::size_t n) noexcept {
  return lane_sum(n, [x, y](std::size_t i) { return static_cast<double>(x[i]) * static_cast<double>(y[i]); });
}

/// The inverse length of a vector, as in Hugging Face's l2norm.
[[nodiscard]] float inverse_length(const float* x, std::size_t n) noexcept {
  return static_cast<float>(1 / std::sqrt(dot(x, x, n) + 1e-6));
}

[[nodiscard]] float query_scale(const delta_net_shape& s) noexcept {
  return static_cast<float>(1 / std::sqrt(static_cast<double>(s.key_width)));
}

/// One value head at one token.
struct head_step {
  const float *q, *k, *v;  ///< q and k of length 1, q also scaled
  float decay, share;
  std::size_t key_width, value_width;

  /// What is written for each value feature: share (v - decayed S^T k). Decays the memory.
  void write_of(float* memory, float* written) const noexcept {
    std::fill_n(written, value_width, 0.f);
    for (std::size_t i = 0; i < key_width; ++i) {
      float* const row = memory + i * value_width;
      const float key = k[i];
      for (std::size_t j = 0; j < value_width; ++j) {
        row[j] *= decay;
        written[j] += key * row[j];
      }
    }
    for (std::size_t j = 0; j < value_width; ++j) written[j] = share * (v[j] - written[j]);
  }
  void write(float* memory, const float* written) const noexcept {
    for (std::size_t i = 0; i < key_width; ++i) {
      float* const row = memory + i * value_width;
      const float key = k[i];
      for (std::size_t j = 0; j < value_width; ++j) row[j] += key * written[j];
    }
  }
  void read(const float* memory, float* out) const noexcept {
    std::fill_n(out, value_width, 0.f);
    for (std::size_t i = 0; i < key_width; ++i) {
      const float* const row = memory + i * value_width;
      const float query = q[i];
      for (std::size_t j = 0; j < value_width; ++j) out[j] += query * row[j];
    }
  }
};

/// The gradients at one head's inputs at one token.
struct head_gradient {
  float *dq, *dk, *dv;  ///< dq and dk are added to
  double decay = 0, share = 0;
};

/// Gradients of a step from those of its output and of the memory after it; `d_memory` becomes that of the memory before.
void step_back(const head_step& s, const float* before, const float* d_out, float* d_memory, std::span<float> scratch,
               head_gradient& g) {
  const std::size_t n = s.value_width;
  float* const memory = scratch.data();
  float* const written = memory + s.key_width * n;
  float* const d_written = written + n;
  std::copy_n(before, s.key_width * n, memory);
  s.write_of(memory, written);
  std::fill_n(d_written, n, 0.f);
  for (std::size_t i = 0; i < s.key_width; ++i) {
    const float* const row = memory + i * n;
    float* const d_row = d_memory + i * n;
    for (std::size_t j = 0; j < n; ++j) d_row[j] += s.q[i] * d_out[j];
    g.dq[i] += static_cast<float>(dot(row, d_out, n) + static_cast<double>(s.k[i]) * dot(written, d_out, n));
    g.dk[i] += static_cast<float>(dot(d_row, written, n));
    for (std::size_t j = 0; j < n; ++j) d_written[j] += s.k[i] * d_row[j];
  }
  const float inverse = s.share > 0 ? 1 / s.share : 0;  // written / share is what was missing from the memory
  g.share = static_cast<double>(inverse) * dot(d_written, written, n);
  for (std::size_t j = 0; j < n; ++j) g.dv[j] = s.share * d_written[j];
  g.decay = 0;
  for (std::size_t i = 0; i < s.key_width; ++i) {
    const float* const row = memory + i * n;
    float* const d_row = d_memory + i * n;
    g.dk[i] -= static_cast<float>(dot(row, g.dv, n));
    for (std::size_t j = 0; j < n; ++j) d_row[j] -= s.k[i] * g.dv[j];
    g.decay += dot(before + i * n, d_row, n);
    for (std::size_t j = 0; j < n; ++j) d_row[j] *= s.decay;
  }
}

/// A sequence after the convolution: everything the recurrence reads.
struct prepared_sequence {
  delta_net_shape shape;
  std::size_t tokens;
  std::vector<float> raw;            ///< [tokens x channels] before SiLU
  std::vector<float> mixed;          ///< [tokens x channels] q and k of length 1, q scaled, and v
  std::vector<float> inverse;        ///< [tokens x 2 key_heads] inverse lengths of q and k
  std::vector<double> decay, share;  ///< [tokens x value_heads]

  prepared_sequence(const delta_net& net, const causal_conv& conv, const delta_net_rows<const float>& in,
                    std::vector<float>& tail)
      : shape(net.shape),
        tokens(in.tokens()),
        raw(tokens * shape.channels()),
        mixed(raw.size()),
        inverse(tokens * 2 * shape.key_heads),
        decay(tokens * shape.value_heads),
        share(decay.size()) {
    conv(in.qkv, tail, matrix_view<float>(raw, tokens, shape.channels()));
    for_each_lane([]<class L>(L, auto v) { return silu::value<L>(v); }, raw.size(), mixed.data(), raw.data());
    const float scale = query_scale(shape);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t h = 0; h < 2 * shape.key_heads; ++h) {
        float* const x = mixed.data() + t * shape.channels() + h * shape.key_width;
        const float length = inverse[t * 2 * shape.key_heads + h] = inverse_length(x, shape.key_width);
        for (std::size_t i = 0; i < shape.key_width; ++i) x[i] *= h < shape.key_heads ? length * scale : length;
      }
      for (std::size_t h = 0; h < shape.value_heads; ++h) {
        const std::size_t at = t * shape.value_heads + h;
        const double rate = std::exp(static_cast<double>(net.a_log[h]));
        decay[at] = std::exp(-rate * softplus(static_cast<double>(in.a(t, h)) + static_cast<double>(net.dt_bias[h])));
        share[at] = 1 / (1 + std::exp(-static_cast<double>(in.b(t, h))));
      }
    }
  }

  [[nodiscard]] std::size_t query_of(std::size_t head) const noexcept {
    return head / (shape.value_heads / shape.key_heads) * shape.key_width;
  }
  [[nodiscard]] head_step step(std::size_t t, std::size_t head) const noexcept {
    const float* const row = mixed.data() + t * shape.channels();
    const std::size_t at = t * shape.value_heads + head;
    return {row + query_of(head),
            row + shape.keys() + query_of(head),
            row + 2 * shape.keys() + head * shape.value_width,
            static_cast<float>(decay[at]),
            static_cast<float>(share[at]),
            shape.key_width,
            shape.value_width};
  }
};

/// Runs the recurrence of all heads; `use` sees each output [value_width].
template<class Use>
void recur(const prepared_sequence& s, float* memory, Use&& use) {
  const std::size_t size = s.shape.key_width * s.shape.value_width;
  std::vector<float> written(s.shape.value_width), out(s.shape.value_width);
  for (std::size_t h = 0; h < s.shape.value_heads; ++h, memory += size)
    for (std::size_t t = 0; t < s.tokens; ++t) {
      const head_step step = s.step(t, h);
      step.write_of(memory, written.data());
      step.write(memory, written.data());
      step.read(memory, out.data());
      use(t, h, std::span<const float>(out));
    }
}

}  // namespace

void check(const delta_net_shape& s, std::string_view where) {
  const auto bad = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
  };
  const std::pair<const char*, std::size_t> sizes[] = {{"linear_num_key_heads", s.key_heads},
                                                       {"linear_num_value_heads", s.value_heads},
                                                       {"linear_key_head_dim", s.key_width},
                                                       {"linear_value_head_dim", s.value_width},
                                                       {"linear_conv_kernel_dim", s.conv_width}};
  for (const auto& [name, value] : sizes)
    if (value == 0 || value > (std::size_t{1} << 20))
      bad(std::string(name) + " = " + std::to_string(value), "1 to 2^20");
  if (s.value_heads % s.key_heads != 0)
    bad(std::to_string(s.value_heads) + " value heads with " + std::to_string(s.key_heads) + " key heads",
        "key heads that divide the value heads");
}

void delta_net::operator()(const delta_net_rows<const float>& projected, mixer_state& state,
                           matrix_view<float> out) const {
  const prepared_sequence s(*this, conv(), projected, state.tail);
  state.memory.resize(shape.value_heads * shape.key_width * shape.value_width, 0.f);
  recur(s, state.memory.data(), [&](std::size_t t, std::size_t h, std::span<const float> o) {
    std::ranges::copy(o, out.row(t).data() + h * shape.value_width);
  });
  for (std::size_t t = 0; t < s.tokens; ++t) end()(out.row(t), projected.z.row(t), out.row(t));
}

void delta_net::backward(const delta_net_rows<const float>& projected, matrix_view<const float> d_out,
                         const delta_net_rows<float>& d_projected, const delta_net_gradient& gradient) const {
  std::vector<float> tail;
  const prepared_sequence s(*this, conv(), projected, tail);
  const std::size_t tokens = s.tokens, values = shape.values(), channels = shape.channels();
  const std::size_t size = shape.key_width * shape.value_width;
  std::vector<float> memory(shape.value_heads * size, 0.f), made(tokens * values), d_made(tokens * values);
  recur(s, memory.data(), [&](std::size_t t, std::size_t h, std::span<const float> o) {
    std::ranges::copy(o, made.data() + t * values + h * shape.value_width);
  });
  std::vector<double> d_norm(gradient.norm.size(), 0.0);
  for (std::size_t t = 0; t < tokens; ++t)
    end().backward({made.data() + t * values, values}, projected.z.row(t), d_out.row(t),
                   {d_made.data() + t * values, values}, d_projected.z.row(t), d_norm);
  for (std::size_t i = 0; i < d_norm.size(); ++i) gradient.norm[i] += static_cast<float>(d_norm[i]);

  std::vector<float> d_mixed(tokens * channels, 0.f), d_memory(size), scratch(size + 2 * shape.value_width);
  for (std::size_t h = 0; h < shape.value_heads; ++h) {
    const auto rate = std::exp(static_cast<double>(a_log[h]));
    double d_log = 0, d_bias = 0;
    std::ranges::fill(d_memory, 0.f);
    const auto advance = [&](std::size_t t, float* state) {
      const head_step step = s.step(t, h);
      step.write_of(state, scratch.data());
      step.write(state, scratch.data());
    };
    walk_back(tokens, size, advance, [&](std::size_t t, const float* before) {
      float* const d_row = d_mixed.data() + t * channels;
      head_gradient g{d_row + s.query_of(h), d_row + shape.keys() + s.query_of(h),
                      d_row + 2 * shape.keys() + h * shape.value_width};
      step_back(s.step(t, h), before, d_made.data() + t * values + h * shape.value_width, d_memory.data(), scratch, g);
      const std::size_t at = t * shape.value_heads + h;
      const double x = static_cast<double>(projected.a(t, h)) + static_cast<double>(dt_bias[h]);
      const double d_exponent = g.decay * s.decay[at];  // of -rate softplus(x)
      const double d_x = -d_exponent * rate * softplus_slope(x);
      d_log -= d_exponent * rate * softplus(x);
      d_bias += d_x;
      d_projected.a(t, h) = static_cast<float>(d_x);
      d_projected.b(t, h) = static_cast<float>(g.share * s.share[at] * (1 - s.share[at]));
    });
    if (!gradient.a_log.empty()) gradient.a_log[h] += static_cast<float>(d_log);
    if (!gradient.dt_bias.empty()) gradient.dt_bias[h] += static_cast<float>(d_bias);
  }

  const float scale = query_scale(shape);
  for (std::size_t t = 0; t < tokens; ++t)
    for (std::size_t h = 0; h < 2 * shape.key_heads; ++h) {  // through the length: unit u = x / length
      float* const d = d_mixed.data() + t * channels + h * shape.key_width;
      const float* const u = s.mixed.data() + t * channels + h * shape.key_width;
      const float by = h < shape.key_heads ? scale : 1.f, inverse = s.inverse[t * 2 * shape.key_heads + h];
      const auto radial = static_cast<float>(dot(d, u, shape.key_width)) / by;
      for (std::size_t i = 0; i < shape.key_width; ++i) d[i] = inverse * (by * d[i] - u[i] * radial);
    }
  for_each_lane([]<class L>(L, auto d, auto x) { return L::multiply(d, silu::slope<L>(x)); }, d_mixed.size(),
                d_mixed.data(), d_mixed.data(), s.raw.data());
  conv().backward(projected.qkv, matrix_view<const float>(d_mixed, tokens, channels), d_projected.qkv, gradient.kernel,
                  {});
}

}  // namespace engine
