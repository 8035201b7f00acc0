#include "kernels.hpp"

namespace kernels {

using namespace precis::kernel;

const char* lanes() noexcept {
  return native_code_lanes::rows == 16 ? "AVX-512" : native_code_lanes::rows == 8 ? "AVX2" : "scalar";
}

std::size_t workspace_of(const packed_grid& m) noexcept {
  return byte_activation_workspace(m.in, segment_of(m.format, m.in));
}

void multiply(const packed_grid& m, std::span<const float> x, std::span<float> y, std::span<float> workspace) noexcept {
  matvec(m, as_bytes(x, segment_of(m.format, m.in), workspace), y);
}

}  // namespace kernels
