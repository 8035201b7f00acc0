#include <engine/model/short_conv.hpp>

#include <cstddef>
#include <vector>

namespace engine {
namespace {

using precis::matrix_view;

/// b * u of every row: the input of the convolution.
void gate_inputs(matrix_view<const float> projected, matrix_view<float> gated) {
  const std::size_t n = gated.cols;
  for (std::size_t t = 0; t < gated.rows; ++t) {
    const float* const b = projected.row(t).data();
    float* const z = gated.row(t).data();
    for (std::size_t i = 0; i < n; ++i) z[i] = b[i] * b[2 * n + i];
  }
}

}  // namespace

void short_conv::operator()(matrix_view<const float> projected, mixer_state& state, matrix_view<float> out) const {
  const std::size_t n = conv.channels;
  std::vector<float> values(projected.rows * n);
  const matrix_view<float> gated(values, projected.rows, n);
  gate_inputs(projected, gated);
  conv(gated, state.tail, out);
  for (std::size_t t = 0; t < out.rows; ++t) {
    const float* const c = projected.row(t).data() + n;
    float* const y = out.row(t).data();
    for (std::size_t i = 0; i < n; ++i) y[i] *= c[i];
  }
}

void short_conv::backward(matrix_view<const float> projected, matrix_view<const float> d_out,
                          matrix_view<float> d_projected, std::span<float> d_kernel, std::span<float> d_bias) const {
  const std::size_t n = conv.channels, rows = projected.rows;
  std::vector<float> memory(4 * rows * n);
  const auto part = [&](std::size_t i) {
    return matrix_view<float>(std::span(memory).subspan(i * rows * n, rows * n), rows, n);
  };
  const matrix_view<float> gated = part(0), made = part(1), d_made = part(2), d_gated = part(3);
  gate_inputs(projected, gated);
  std::vector<float> tail;
  conv(gated, tail, made);
  for (std::size_t t = 0; t < rows; ++t)
    for (std::size_t i = 0; i < n; ++i) {
      d_made(t, i) = d_out(t, i) * projected(t, n + i);
      d_projected(t, n + i) = d_out(t, i) * made(t, i);
    }
  conv.backward(gated, d_made, d_gated, d_kernel, d_bias);
  for (std::size_t t = 0; t < rows; ++t)
    for (std::size_t i = 0; i < n; ++i) {
      d_projected(t, i) = d_gated(t, i) * projected(t, 2 * n + i);
      d_projected(t, 2 * n + i) = d_gated(t, i) * projected(t, i);
    }
}

}  // namespace engine
