#include "other_flags.hpp"

#include <precis/kernel/dispatch.hpp>

#include <vector>

namespace other_flags {

namespace {

using namespace precis;
constexpr kernel::grid_format four_bits{.rule = kernel::grid_rule::symmetric, .code_bits = 4, .group = 32};

template<class Value>
void multiply_as(const kernel::packed_matrix& m, std::span<const float> x, std::span<float> y) {
  std::vector<float> input(dispatch::input_workspace<Value>(1, m.in));
  std::vector<float> workspace(dispatch::multiply_workspace<Value>(m, 1));
  dispatch::input_vectors<Value> vectors({x.data(), 1, m.in, 0, 1}, input);
  dispatch::multiply<kernel::formats<four_bits>>(m, vectors, {y.data(), 1, m.out, 0, 1}, workspace);
}

}  // namespace

void multiply(const std::byte* packed, std::size_t out, std::size_t in, std::span<const float> x, std::span<float> y,
              bool bytes) {
  const kernel::packed_matrix m{four_bits, packed, out, in};
  bytes ? multiply_as<std::int8_t>(m, x, y) : multiply_as<float>(m, x, y);
}

}  // namespace other_flags
