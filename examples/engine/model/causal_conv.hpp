#pragma once

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace engine {

/// A causal convolution of each channel with its own kernel: y_t = bias + sum over j < width of kernel_j x_(t - width + 1 + j).
struct causal_conv {
  std::size_t channels = 0;
  std::size_t width = 0;               ///< taps of a kernel
  std::span<const float> kernel = {};  ///< [channels x width], as in files
  std::span<const float> bias = {};    ///< [channels], or empty

  /// Convolves rows x [tokens x channels] into y. `tail` is the last width - 1 rows before x, the oldest first: empty at
  /// the start of a sequence, where zeros precede. It becomes the last width - 1 rows up to the end of x.
  ///
  /// @post a row depends only on earlier rows and itself, with the same bits for any division into calls.
  void operator()(precis::matrix_view<const float> x, std::vector<float>& tail, precis::matrix_view<float> y) const;

  /// Gradients of a sequence from its start: overwrites dx, and adds to d_kernel and d_bias unless they are empty.
  /// x, dy and dx are [tokens x channels] and do not overlap.
  void backward(precis::matrix_view<const float> x, precis::matrix_view<const float> dy, precis::matrix_view<float> dx,
                std::span<float> d_kernel, std::span<float> d_bias) const;
};

}  // namespace engine
