#include <engine/model/map_product.hpp>

#include <engine/model/product.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/shared_forward.hpp>

#include <algorithm>

namespace engine {
namespace {

using precis::matrix_view;
using strided = precis::kernel::strided<const float>;

/// Values of a stored map that are decoded at a time, about: two megabytes of floats.
constexpr std::size_t panel_values = std::size_t{1} << 19;

/// The number of rows of `cols` values per panel: as many as `product` packs at once, or fewer if they are long.
[[nodiscard]] std::size_t panel_rows(std::size_t cols) noexcept {
  const std::size_t fit = panel_values / std::max<std::size_t>(cols, 1) / 64 * 64;
  return std::clamp<std::size_t>(fit, 64, precis::kernel::product_panel_columns);
}

/// Calls use(first, rows) for consecutive rows of the values of a map, as floats: rows of W, or columns if it is
/// in_major.
template<class Use>
void for_each_panel(const map_view& m, Use&& use) {
  const std::size_t rows = m.in_major ? m.in : m.out, cols = m.in_major ? m.all_out : m.in;
  const std::size_t first_row = m.in_major ? 0 : m.first_out, first_col = m.in_major ? m.first_out : 0;
  const auto panel = [&](const float* p, std::size_t n) {
    return matrix_view<const float>(p, n, m.in_major ? m.out : m.in, static_cast<std::ptrdiff_t>(cols), 1);
  };
  if (!m.values->are_stored()) return use(std::size_t{0}, panel(m.values->data() + first_row * cols + first_col, rows));
  scratch_arena memory;
  const std::size_t most = std::min(rows, panel_rows(cols));
  float* const floats = memory.take(most * cols);
  for (std::size_t r = 0; r < rows; r += most) {
    const std::size_t n = std::min(most, rows - r);
    m.values->read(first_row + r, n, cols, floats);
    use(r, panel(floats + first_col, n));
  }
}

/// dx = dy W, starting from zero or from dx itself.
void transposed_product(const map_view& map, matrix_view<const float> dy, matrix_view<float> dx, bool add,
                        std::span<float> workspace) {
  for_each_panel(map, [&](std::size_t first, matrix_view<const float> w) {
    if (map.in_major) {
      const matrix_view<float> part = dx.col_range(first, w.rows);
      precis::kernel::product_onto(add ? strided(part) : strided(), dy, w.transposed(), part, workspace);
    } else {
      precis::kernel::product_onto(add || first > 0 ? strided(dx) : strided(), dy.col_range(first, w.rows), w, dx,
                                   workspace);
    }
  });
}

/// Outputs that one thread computes together: whole tiles of the product.
constexpr std::size_t piece_outputs = 64;

void apply_alone(const map_view& map, std::span<const float> bias, matrix_view<const float> x, matrix_view<float> y,
                 std::span<float> workspace) {
  const auto start = [&](std::size_t first, std::size_t count) {
    return bias.empty() ? strided() : strided(bias.data() + first, y.rows, count, 0, 1);
  };
  for_each_panel(map, [&](std::size_t first, matrix_view<const float> w) {
    if (map.in_major)
      precis::kernel::product_onto(first == 0 ? start(0, y.cols) : strided(y), x.col_range(first, w.rows), w, y,
                                   workspace);
    else
      precis::kernel::product_onto(start(first, w.rows), x, w.transposed(), y.col_range(first, w.rows), workspace);
  });
}

}  // namespace

void apply(const map_view& map, std::span<const float> bias, matrix_view<const float> x, matrix_view<float> y,
           std::span<float> workspace) {
  const std::size_t units = (map.out + piece_outputs - 1) / piece_outputs;
  const std::size_t pieces = worthwhile_pieces(
      static_cast<double>(x.rows) * static_cast<double>(map.out) * static_cast<double>(map.in), units);
  if (pieces == 1) return apply_alone(map, bias, x, y, workspace);
  run_pieces(pieces, [&](std::size_t i) {
    const std::size_t first = units * i / pieces * piece_outputs,
                      end = std::min(map.out, units * (i + 1) / pieces * piece_outputs), count = end - first;
    scratch_arena memory;
    const std::span<float> own(memory.take(precis::kernel::product_workspace), precis::kernel::product_workspace);
    apply_alone(map.outputs(first, count), bias.empty() ? bias : bias.subspan(first, count), x,
                y.col_range(first, count), own);
  });
}

void apply_transposed(const map_view& map, matrix_view<const float> dy, matrix_view<float> dx,
                      std::span<float> workspace) {
  transposed_product(map, dy, dx, false, workspace);
}
void add_transposed(const map_view& map, matrix_view<const float> dy, matrix_view<float> dx,
                    std::span<float> workspace) {
  transposed_product(map, dy, dx, true, workspace);
}

void apply(const linear& map, matrix_view<const float> x, matrix_view<float> y, row_positions positions,
           std::span<float> workspace) {
  apply(map_view(map), map.bias, x, y, workspace);
  if (positions.period != 0) map.add_position_bias(y, 0, positions.first, positions.period);
}

}  // namespace engine
