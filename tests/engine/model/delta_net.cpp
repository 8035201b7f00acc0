#include <engine/model/delta_net.hpp>

#include "catch.hpp"
#include "engine/differences.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using engine::delta_net;
using engine::delta_net_rows;
using engine::delta_net_shape;
using engine::mixer_state;
using precis::matrix_view;

namespace {

/// The formulas in double, one value at a time.
struct numbers {
  delta_net_shape s;
  std::size_t tokens;
  double epsilon;
  std::vector<double> qkv, z, b, a, kernel, a_log, dt_bias, norm;

  [[nodiscard]] static double logistic(double x) { return 1 / (1 + std::exp(-x)); }

  [[nodiscard]] std::vector<double> convolved() const {
    const std::size_t channels = s.channels();
    std::vector<double> y(tokens * channels);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < channels; ++c) {
        double sum = 0;
        for (std::size_t j = 0; j < s.conv_width; ++j)
          if (t + j + 1 >= s.conv_width)
            sum += kernel[c * s.conv_width + j] * qkv[(t + j + 1 - s.conv_width) * channels + c];
        y[t * channels + c] = sum * logistic(sum);
      }
    return y;
  }

  [[nodiscard]] std::vector<double> mixed() const {
    const std::vector<double> m = convolved();
    std::vector<double> out(tokens * s.values());
    for (std::size_t h = 0; h < s.value_heads; ++h) {
      std::vector<std::vector<double>> memory(s.key_width, std::vector<double>(s.value_width, 0.0));
      const std::size_t served = h / (s.value_heads / s.key_heads);
      for (std::size_t t = 0; t < tokens; ++t) {
        const double* const row = m.data() + t * s.channels();
        const auto unit = [&](const double* x) {
          double square = 1e-6;
          for (std::size_t i = 0; i < s.key_width; ++i) square += x[i] * x[i];
          std::vector<double> u(x, x + s.key_width);
          for (double& v : u) v /= std::sqrt(square);
          return u;
        };
        const std::vector<double> q = unit(row + served * s.key_width), k = unit(row + s.keys() + served * s.key_width);
        const double* const v = row + 2 * s.keys() + h * s.value_width;
        const double step = std::log(1 + std::exp(a[t * s.value_heads + h] + dt_bias[h]));
        const double decay = std::exp(-std::exp(a_log[h]) * step), share = logistic(b[t * s.value_heads + h]);
        std::vector<double> o(s.value_width);
        double square = 0;
        for (std::size_t j = 0; j < s.value_width; ++j) {
          double held = 0;
          for (std::size_t i = 0; i < s.key_width; ++i) held += decay * memory[i][j] * k[i];
          for (std::size_t i = 0; i < s.key_width; ++i) {
            memory[i][j] = decay * memory[i][j] + k[i] * share * (v[j] - held);
            o[j] += memory[i][j] * q[i] / std::sqrt(static_cast<double>(s.key_width));
          }
          square += o[j] * o[j];
        }
        for (std::size_t j = 0; j < s.value_width; ++j) {
          const double gate = z[t * s.values() + h * s.value_width + j];
          out[t * s.values() + h * s.value_width + j] =
              o[j] / std::sqrt(square / static_cast<double>(s.value_width) + epsilon) * norm[j] * gate * logistic(gate);
        }
      }
    }
    return out;
  }
};

struct storage {
  std::vector<float> qkv, z, b, a;
  storage(const delta_net_shape& s, std::size_t tokens, double first)
      : qkv(support::waves(tokens * s.channels(), first, 2)),
        z(support::waves(tokens * s.values(), first + 1, 2)),
        b(support::waves(tokens * s.value_heads, first + 2, 2)),
        a(support::waves(tokens * s.value_heads, first + 3, 2)) {}

  template<class T, class Self>
  static delta_net_rows<T> rows(Self& self, const delta_net_shape& s, std::size_t tokens) {
    return {matrix_view<T>(self.qkv, tokens, s.channels()), matrix_view<T>(self.z, tokens, s.values()),
            matrix_view<T>(self.b, tokens, s.value_heads), matrix_view<T>(self.a, tokens, s.value_heads)};
  }
};

}  // namespace

TEST_CASE("the delta net is its recurrence, in any number of calls, and its gradients are differences",
          "[engine][delta_net][oracle]") {
  for (const delta_net_shape& s :
       {delta_net_shape{2, 4, 3, 5, 4}, delta_net_shape{1, 1, 7, 2, 1}, delta_net_shape{3, 3, 2, 19, 3}})
    for (const std::size_t tokens : {1u, 2u, 10u}) {
      const storage in(s, tokens, 0.6);
      const std::vector<float> kernel = support::waves(s.channels() * s.conv_width, 1.2),
                               a_log = support::waves(s.value_heads, 2.1), dt_bias = support::waves(s.value_heads, 3.3),
                               norm = support::waves(s.value_width, 4.7);
      numbers n{s,
                tokens,
                0.001,
                support::doubles(in.qkv),
                support::doubles(in.z),
                support::doubles(in.b),
                support::doubles(in.a),
                support::doubles(kernel),
                support::doubles(a_log),
                support::doubles(dt_bias),
                support::doubles(norm)};
      const delta_net net{
          .shape = s, .kernel = kernel, .a_log = a_log, .dt_bias = dt_bias, .norm = norm, .epsilon = 0.001f};
      const delta_net_rows<const float> rows = storage::rows<const float>(in, s, tokens);
      std::vector<float> y(tokens * s.values());
      mixer_state state;
      net(rows, state, matrix_view<float>(y, tokens, s.values()));
      CHECK(support::distance(y, n.mixed()) < 1e-5);

      for (std::size_t first = 0; first <= tokens; ++first) {
        std::vector<float> parts(y.size(), 99.f);
        const matrix_view<float> out(parts, tokens, s.values());
        mixer_state left;
        net(rows.range(0, first), left, out.row_range(0, first));
        mixer_state copy = left;
        net(rows.range(first, tokens - first), copy, out.row_range(first, tokens - first));
        CHECK(parts == y);
        CHECK(copy.tail == state.tail);
        CHECK(copy.memory == state.memory);
      }

      const std::vector<float> dy = support::waves(y.size(), 5.5);
      storage d(s, tokens, 9);
      std::vector<float> d_kernel(kernel.size()), d_a_log(s.value_heads), d_dt_bias(s.value_heads),
          d_norm(s.value_width);
      net.backward(rows, matrix_view<const float>(dy, tokens, s.values()), storage::rows<float>(d, s, tokens),
                   {d_kernel, d_a_log, d_dt_bias, d_norm});
      const auto loss = [&] { return support::along(n.mixed(), dy); };
      CHECK(support::gradient_error(n.qkv, d.qkv, loss) < 2e-5);
      CHECK(support::gradient_error(n.z, d.z, loss) < 1e-5);
      CHECK(support::gradient_error(n.b, d.b, loss) < 1e-5);
      if (tokens > 1) {  // the first token finds an empty memory
        CHECK(support::gradient_error(n.a, d.a, loss) < 1e-5);
        CHECK(support::gradient_error(n.a_log, d_a_log, loss) < 1e-5);
        CHECK(support::gradient_error(n.dt_bias, d_dt_bias, loss) < 1e-5);
      }
      CHECK(support::gradient_error(n.kernel, d_kernel, loss) < 2e-5);
      CHECK(support::gradient_error(n.norm, d_norm, loss) < 1e-5);

      storage same(s, tokens, 7);  // parameter gradients are optional
      net.backward(rows, matrix_view<const float>(dy, tokens, s.values()), storage::rows<float>(same, s, tokens), {});
      CHECK(same.qkv == d.qkv);
      CHECK(same.a == d.a);
    }
}

TEST_CASE("sizes of a delta net are refused by name and value", "[engine][delta_net]") {
  const auto refused = [](const delta_net_shape& s) { return refusal([&] { engine::check(s, "config.json"); }); };
  CHECK(refused({2, 4, 3, 5, 4}) == "");
  CHECK_THAT(refused({2, 3, 3, 5, 4}), ContainsSubstring("config.json: 3 value heads with 2 key heads"));
  CHECK_THAT(refused({0, 4, 3, 5, 4}), ContainsSubstring("linear_num_key_heads = 0"));
  CHECK_THAT(refused({2, 4, 3, 5, 0}), ContainsSubstring("linear_conv_kernel_dim = 0"));
}
