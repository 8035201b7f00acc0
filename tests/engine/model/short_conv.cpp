#include <engine/model/short_conv.hpp>

#include "catch.hpp"
#include "engine/differences.hpp"

#include <cstddef>
#include <vector>

using engine::mixer_state;
using engine::short_conv;
using precis::matrix_view;

namespace {

struct numbers {
  std::size_t tokens, channels, width;
  std::vector<double> projected, kernel, bias;

  /// y_t = c_t (bias + sum of kernel_j b_s u_s), s = t - width + 1 + j
  [[nodiscard]] std::vector<double> mixed() const {
    std::vector<double> y(tokens * channels);
    const auto at = [&](std::size_t t, std::size_t part, std::size_t c) {
      return projected[t * 3 * channels + part * channels + c];
    };
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < channels; ++c) {
        double sum = bias.empty() ? 0 : bias[c];
        for (std::size_t j = 0; j < width; ++j)
          if (t + j + 1 >= width) {
            const std::size_t s = t + j + 1 - width;
            sum += kernel[c * width + j] * at(s, 0, c) * at(s, 2, c);
          }
        y[t * channels + c] = at(t, 1, c) * sum;
      }
    return y;
  }
};

}  // namespace

TEST_CASE("the short convolution is its formula, in any number of calls", "[engine][short_conv][oracle]") {
  for (const bool biased : {false, true})
    for (const std::size_t tokens : {1u, 2u, 11u}) {
      const std::size_t channels = 7, width = biased ? 4 : 3;
      const std::vector<float> projected = support::waves(tokens * 3 * channels, 0.2),
                               kernel = support::waves(channels * width, 1.1),
                               bias = support::waves(biased ? channels : 0, 2.3);
      numbers n{tokens, channels, width, support::doubles(projected), support::doubles(kernel), support::doubles(bias)};
      const short_conv mixer{{.channels = channels, .width = width, .kernel = kernel, .bias = bias}};
      const matrix_view<const float> rows(projected, tokens, 3 * channels);
      std::vector<float> y(tokens * channels);
      mixer_state state;
      mixer(rows, state, matrix_view<float>(y, tokens, channels));
      CHECK(support::distance(y, n.mixed()) < 1e-6);

      for (std::size_t first = 0; first <= tokens; ++first) {
        std::vector<float> parts(y.size(), 99.f);
        const matrix_view<float> out(parts, tokens, channels);
        mixer_state left;
        mixer(rows.row_range(0, first), left, out.row_range(0, first));
        const mixer_state saved = left;  // a copy continues as the original would
        left = saved;
        mixer(rows.row_range(first, tokens - first), left, out.row_range(first, tokens - first));
        CHECK(parts == y);
        CHECK(left.tail == state.tail);
      }

      const std::vector<float> dy = support::waves(y.size(), 4.4);
      std::vector<float> dx(projected.size(), 99.f), d_kernel(kernel.size()), d_bias(bias.size());
      mixer.backward(rows, matrix_view<const float>(dy, tokens, channels), matrix_view<float>(dx, tokens, 3 * channels),
                     d_kernel, d_bias);
      const auto loss = [&] { return support::along(n.mixed(), dy); };
      CHECK(support::gradient_error(n.projected, dx, loss) < 1e-6);
      CHECK(support::gradient_error(n.kernel, d_kernel, loss) < 1e-6);
      if (biased) CHECK(support::gradient_error(n.bias, d_bias, loss) < 1e-6);
    }
}
