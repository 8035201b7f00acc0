// One program for every 64-bit x86 processor, built without -march: it multiplies with the widest instructions of the
// processor that it runs on.
//
// Prints a hash of the product of a 4-bit matrix and a vector, which is the same at every level; the levels that ran go to
// the standard error output.

#include <precis/kernel/dispatch.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace dispatch = precis::dispatch;
namespace kernel = precis::kernel;

namespace {

constexpr kernel::grid_format four_bits{.rule = kernel::grid_rule::symmetric, .code_bits = 4, .group = 32};
using formats = kernel::formats<four_bits>;  // the kernels of no other format are compiled

std::vector<float> product(const kernel::packed_matrix& m, const std::vector<float>& x) {
  std::vector<float> y(m.out), input(dispatch::input_workspace<std::int8_t>(1, m.in));
  std::vector<float> workspace(dispatch::multiply_workspace<std::int8_t>(m, 1));
  dispatch::input_vectors<std::int8_t> vectors({x.data(), 1, m.in, 0, 1}, input);
  dispatch::multiply<formats>(m, vectors, {y.data(), 1, m.out, 0, 1}, workspace);
  return y;
}

}  // namespace

int main() {
  constexpr std::size_t out = 100, in = 1000;
  const precis::random_stream random(1, precis::purpose("dispatch"));
  precis::float_matrix weights(out, in);
  std::vector<float> x(in);
  for (std::size_t i = 0; i < weights.values.size(); ++i) weights.values[i] = static_cast<float>(random.normal(i));
  for (std::size_t c = 0; c < in; ++c) x[c] = static_cast<float>(random.normal(out * in + c));
  std::vector<std::byte> packed(four_bits.layout_of(out, in).bytes);
  precis::codec::encode(four_bits, weights.view(), packed);
  const kernel::packed_matrix m{four_bits, packed.data(), out, in};

  std::uint64_t hash = 0;
  for (const float v : product(m, x)) hash = (hash ^ std::bit_cast<std::uint32_t>(v)) * 0x100'0000'01b3u;
  std::printf("%016llx\n", static_cast<unsigned long long>(hash));

  // An engine needs none of this: the widest level is used unless another one is set.
  using dispatch::level;
  const std::vector<float> expected = product(m, x);
  for (const level l : {level::baseline, level::sse4, level::avx2, level::avx_vnni, level::avx512, level::avx512_vnni,
                        level::dotprod}) {
    if (!dispatch::supports(l)) continue;
    dispatch::use(l);
    const bool same = product(m, x) == expected;
    std::fprintf(stderr, "level %d: %s\n", static_cast<int>(l), same ? "the same" : "another product");
    if (!same) return 1;
  }
  return 0;
}
