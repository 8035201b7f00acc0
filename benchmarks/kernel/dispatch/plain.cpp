// The part of bench_kernel_dispatch that is compiled without -march=native.

#include <precis/kernel/dispatch.hpp>

#include "subjects.hpp"

namespace subjects {

namespace {

namespace kernel = precis::kernel;
namespace dispatch = precis::dispatch;

using formats = kernel::formats<format_of(2), format_of(3), format_of(4), format_of(8), format_of(32)>;

[[nodiscard]] kernel::packed_matrix matrix_of(const product& p) { return {format_of(p.bits), p.packed, p.out, p.in}; }

template<class Value>
void dispatched(const product& p) {
  const kernel::packed_matrix m = matrix_of(p);
  const std::size_t input = dispatch::input_workspace<Value>(1, p.in);
  dispatch::input_vectors<Value> x({p.x.data(), 1, p.in, 0, 1}, p.workspace.first(input));
  dispatch::multiply<formats>(m, x, {p.y.data(), 1, p.out, 0, 1}, p.workspace.subspan(input));
}
template<class Value>
void plain(const product& p) {
  const kernel::packed_matrix m = matrix_of(p);
  const std::size_t input = kernel::input_workspace<Value>(1, p.in);
  kernel::input_vectors<Value> x({p.x.data(), 1, p.in, 0, 1}, p.workspace.first(input));
  kernel::multiply<formats>(m, x, {p.y.data(), 1, p.out, 0, 1}, p.workspace.subspan(input));
}

}  // namespace

void by_dispatch(const product& p) { p.bytes ? dispatched<std::int8_t>(p) : dispatched<float>(p); }
void by_baseline(const product& p) { p.bytes ? plain<std::int8_t>(p) : plain<float>(p); }

void by_float_loop(const product& p) {
  const auto* w = reinterpret_cast<const float*>(p.packed);
  for (std::size_t r = 0; r < p.out; ++r, w += p.in) {
    float sum = 0;
    for (std::size_t c = 0; c < p.in; ++c) sum += w[c] * p.x[c];
    p.y[r] = sum;
  }
}

const char* level_name() {
  constexpr const char* names[] = {"baseline", "SSE4", "AVX2", "AVX-VNNI", "AVX-512", "AVX-512 VNNI"};
  return names[static_cast<std::size_t>(dispatch::current())];
}

}  // namespace subjects
