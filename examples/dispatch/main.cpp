// One program for every 64-bit x86 processor: it multiplies with the widest instructions of the processor that it runs
// on.
//
//     example_dispatch                                               with the instructions of this processor
//     ld-linux-x86-64.so.2 --glibc-hwcaps-mask x86-64-v3 ...         with fewer: examples/dispatch/check.cmake
//
// The first line names the kernels that ran, the second is a hash of the product of a 4-bit matrix and a vector: the
// same for all.

#include "kernels.hpp"

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  constexpr std::size_t out = 100, in = 1000;
  const precis::random_stream random(1, precis::purpose("dispatch"));
  precis::float_matrix weights(out, in);
  std::vector<float> x(in), y(out);
  for (std::size_t i = 0; i < weights.values.size(); ++i) weights.values[i] = static_cast<float>(random.normal(i));
  for (std::size_t c = 0; c < in; ++c) x[c] = static_cast<float>(random.normal(out * in + c));

  constexpr precis::codec::grid_format format{.rule = precis::codec::grid_rule::symmetric, .code_bits = 4, .group = 32};
  std::vector<std::byte> packed(format.layout_of(out, in).bytes);
  precis::codec::encode(format, weights.view(), packed);
  const precis::kernel::packed_grid m{format, packed.data(), out, in};
  std::vector<float> workspace(kernels::workspace_of(m));
  kernels::multiply(m, x, y, workspace);

  std::uint64_t bits = 0;
  for (const float v : y) bits = (bits ^ std::bit_cast<std::uint32_t>(v)) * 0x100'0000'01b3u;
  std::printf("%s\n%016llx\n", kernels::lanes(), static_cast<unsigned long long>(bits));
  return 0;
}
