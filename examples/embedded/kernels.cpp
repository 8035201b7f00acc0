// Only the kernels of a menu of two formats, to measure their size.

#include <precis/kernel/matvec.hpp>

namespace kernel = precis::kernel;

constexpr kernel::grid_format four_bits{.rule = kernel::grid_rule::affine, .code_bits = 4, .group = 32};
constexpr kernel::grid_format eight_bits{.rule = kernel::grid_rule::symmetric, .code_bits = 8};

void multiply(const kernel::packed_grid& m, std::span<const float> x, std::span<float> workspace, std::span<float> y) {
  kernel::matvec<four_bits, eight_bits>(m, kernel::as_floats(x, kernel::segment_of(m.format, m.in), workspace), y);
}
