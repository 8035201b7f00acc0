// The same product through the view of every format, with one format listed.

#include <precis/kernel/multiply.hpp>

#include <span>

using namespace precis::kernel;

constexpr packed_format four_bits =
    grid_format{.rule = grid_rule::affine, .code_bits = 4, .group = 32, .scales = scale_type::float32};

void product(const packed_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace);
void product(const packed_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace) {
  multiply<formats<four_bits>>(m, x, y, workspace);
}
