// The products of an engine that knows its one format.
#include <precis/kernel/grouped_product.hpp>
#include <precis/kernel/matvec.hpp>

#include <cstddef>
#include <vector>

int main() {
  constexpr precis::kernel::grid_format format{.rule = precis::kernel::grid_rule::affine, .code_bits = 4, .group = 32};
  const std::vector<std::byte> packed(format.layout_of(16, 64).bytes);
  const std::vector<float> x(64);
  std::vector<float> y(16), workspace(precis::kernel::float_activation_workspace(64, 32));
  const precis::kernel::packed_grid m{format, packed.data(), 16, 64};
  precis::kernel::matvec<format>(m, precis::kernel::as_floats(x, 32, workspace), y);
  precis::kernel::matvec<format>(m, precis::kernel::as_bytes(x, 32, workspace), y);
  precis::kernel::matvec<format, precis::kernel::grid_format{.code_bits = 8}>(
      m, precis::kernel::as_floats(x, 32, workspace), y);
  precis::kernel::grouped_product(m, x, y);
  return y[0] == 0.f ? 0 : 1;
}
