#include <engine/model/causal_conv.hpp>

#include "catch.hpp"
#include "engine/differences.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <vector>

using engine::causal_conv;
using precis::matrix_view;

namespace {

struct numbers {
  std::size_t tokens, channels, width;
  std::vector<double> x, kernel, bias;

  numbers(std::size_t t, std::size_t c, std::size_t k, bool biased)
      : tokens(t),
        channels(c),
        width(k),
        x(support::doubles(support::waves(t * c, 0.4))),
        kernel(support::doubles(support::waves(c * k, 1.9))),
        bias(biased ? support::doubles(support::waves(c, 3.1)) : std::vector<double>()) {}

  [[nodiscard]] std::vector<double> convolved() const {
    std::vector<double> y(tokens * channels);
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t c = 0; c < channels; ++c) {
        double sum = bias.empty() ? 0 : bias[c];
        for (std::size_t j = 0; j < width; ++j)
          if (t + j + 1 >= width) sum += kernel[c * width + j] * x[(t + j + 1 - width) * channels + c];
        y[t * channels + c] = sum;
      }
    return y;
  }
};

}  // namespace

TEST_CASE("each channel is convolved with its own kernel", "[engine][causal_conv][oracle]") {
  for (const auto& [tokens, channels, width] :
       {std::array<std::size_t, 3>{9, 5, 4}, {1, 3, 3}, {2, 17, 4}, {6, 1, 1}, {3, 4, 7}})
    for (const bool biased : {false, true}) {
      numbers n(tokens, channels, width, biased);
      const std::vector<float> x(n.x.begin(), n.x.end()), kernel(n.kernel.begin(), n.kernel.end()),
          bias(n.bias.begin(), n.bias.end());
      const causal_conv conv{.channels = channels, .width = width, .kernel = kernel, .bias = bias};
      const matrix_view<const float> rows(x, tokens, channels);
      std::vector<float> y(tokens * channels), tail;
      conv(rows, tail, matrix_view<float>(y, tokens, channels));
      CHECK(support::distance(y, n.convolved()) < 1e-6);
      CHECK(tail.size() == (width - 1) * channels);

      // Any division into calls: the same bits, also of the tail.
      for (std::size_t first = 0; first <= tokens; ++first) {
        std::vector<float> parts(tokens * channels, 99.f), left;
        const matrix_view<float> out(parts, tokens, channels);
        conv(rows.row_range(0, first), left, out.row_range(0, first));
        conv(rows.row_range(first, tokens - first), left, out.row_range(first, tokens - first));
        CHECK(parts == y);
        CHECK(left == tail);
      }
      std::vector<float> one(tokens * channels), left;
      for (std::size_t t = 0; t < tokens; ++t)
        conv(rows.row_range(t, 1), left, matrix_view<float>(one, tokens, channels).row_range(t, 1));
      CHECK(one == y);
      CHECK(left == tail);

      const std::vector<float> dy = support::waves(tokens * channels, 5.5);
      std::vector<float> dx(x.size(), 99.f), d_kernel(kernel.size()), d_bias(bias.size());
      conv.backward(rows, matrix_view<const float>(dy, tokens, channels), matrix_view<float>(dx, tokens, channels),
                    d_kernel, d_bias);
      const auto loss = [&] { return support::along(n.convolved(), dy); };
      CHECK(support::gradient_error(n.x, dx, loss) < 1e-6);
      CHECK(support::gradient_error(n.kernel, d_kernel, loss) < 1e-6);
      if (biased) CHECK(support::gradient_error(n.bias, d_bias, loss) < 1e-6);

      // Parameter gradients are optional, and added to.
      std::vector<float> same(x.size());
      conv.backward(rows, matrix_view<const float>(dy, tokens, channels), matrix_view<float>(same, tokens, channels),
                    {}, {});
      CHECK(same == dx);
      std::vector<float> twice = d_kernel;
      conv.backward(rows, matrix_view<const float>(dy, tokens, channels), matrix_view<float>(same, tokens, channels),
                    twice, {});
      for (std::size_t i = 0; i < twice.size(); ++i) CHECK(twice[i] == 2 * d_kernel[i]);
    }
}
