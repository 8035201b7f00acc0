// One product of a packed matrix in one format: what an engine compiles.

#include <precis/kernel/matvec.hpp>

#include <span>

using namespace precis::kernel;

constexpr grid_format four_bits{.rule = grid_rule::affine, .code_bits = 4, .group = 32, .scales = scale_type::float32};

void product(const packed_grid& m, const float_activations& x, std::span<float> y);
void product(const packed_grid& m, const float_activations& x, std::span<float> y) { matvec<four_bits>(m, x, y); }
