#include <engine/model/causal_conv.hpp>

#include <algorithm>

namespace engine {
namespace {

/// The taps as rows [width x channels], so that loops over channels are contiguous.
std::vector<float> by_tap(const causal_conv& c) {
  std::vector<float> rows(c.kernel.size());
  for (std::size_t i = 0; i < c.channels; ++i)
    for (std::size_t j = 0; j < c.width; ++j) rows[j * c.channels + i] = c.kernel[i * c.width + j];
  return rows;
}

}  // namespace

void causal_conv::operator()(precis::matrix_view<const float> x, std::vector<float>& tail,
                             precis::matrix_view<float> y) const {
  const std::vector<float> taps = by_tap(*this);
  const std::size_t before = width - 1;
  tail.resize(before * channels, 0.f);
  const auto row = [&](std::size_t i) { return i < before ? tail.data() + i * channels : x.row(i - before).data(); };
  for (std::size_t t = 0; t < x.rows; ++t) {
    float* const out = y.row(t).data();
    if (bias.empty())
      std::fill_n(out, channels, 0.f);
    else
      std::copy_n(bias.data(), channels, out);
    for (std::size_t j = 0; j < width; ++j) {
      const float* const in = row(t + j);
      const float* const tap = taps.data() + j * channels;
      for (std::size_t i = 0; i < channels; ++i) out[i] += tap[i] * in[i];
    }
  }
  std::vector<float> last(tail.size());
  for (std::size_t i = 0; i < before; ++i) std::copy_n(row(x.rows + i), channels, last.data() + i * channels);
  tail = std::move(last);
}

void causal_conv::backward(precis::matrix_view<const float> x, precis::matrix_view<const float> dy,
                           precis::matrix_view<float> dx, std::span<float> d_kernel, std::span<float> d_bias) const {
  const std::vector<float> taps = by_tap(*this);
  std::vector<double> d_taps(d_kernel.empty() ? 0 : kernel.size(), 0.0), sum(d_bias.empty() ? 0 : channels, 0.0);
  for (std::size_t t = 0; t < x.rows; ++t) std::fill_n(dx.row(t).data(), channels, 0.f);
  for (std::size_t t = 0; t < x.rows; ++t) {
    const float* const d = dy.row(t).data();
    for (std::size_t j = 0; j < width; ++j) {
      if (t + j < width - 1) continue;  // zeros before the start
      const std::size_t from = t + j - (width - 1);
      const float* const tap = taps.data() + j * channels;
      float* const to = dx.row(from).data();
      for (std::size_t i = 0; i < channels; ++i) to[i] += tap[i] * d[i];
      if (d_taps.empty()) continue;
      const float* const in = x.row(from).data();
      double* const d_tap = d_taps.data() + j * channels;
      for (std::size_t i = 0; i < channels; ++i) d_tap[i] += static_cast<double>(d[i]) * static_cast<double>(in[i]);
    }
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(d[i]);
  }
  for (std::size_t i = 0; i < d_kernel.size(); ++i)
    d_kernel[i] += static_cast<float>(d_taps[i % width * channels + i / width]);
  for (std::size_t i = 0; i < d_bias.size(); ++i) d_bias[i] += static_cast<float>(sum[i]);
}

}  // namespace engine
