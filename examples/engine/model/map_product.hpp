#pragma once

#include <engine/model/weights.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>

/// Products with linear maps whose weights are floats or stay as they are stored. Stored weights are decoded a panel of
/// rows at a time; because every element of a product is one chain of multiply-adds, the result has the same bits.
namespace engine {

/// A linear map W [out x in] without its biases, or adjacent outputs of one.
struct map_view {
  const matrix_values* values = nullptr;
  std::size_t out = 0, in = 0;
  bool in_major = false;
  std::size_t first_out = 0, all_out = 0;  ///< in `values`

  map_view() = default;
  map_view(const linear& map) noexcept  // NOLINT(google-explicit-constructor): all of its outputs
      : values(&map.values), out(map.out), in(map.in), in_major(map.in_major), all_out(map.out) {}
  /// A table [rows x cols], such as a head.
  map_view(const matrix_values& table, std::size_t rows, std::size_t cols) noexcept
      : values(&table), out(rows), in(cols), all_out(rows) {}

  [[nodiscard]] map_view outputs(std::size_t first, std::size_t count) const noexcept {
    map_view part = *this;
    part.first_out += first;
    part.out = count;
    return part;
  }
};

/// y = x W^T + bias, [rows x in] -> [rows x out]. The bias is [out] or empty. Cost: W is decoded once, if it is stored.
void apply(const map_view& map, std::span<const float> bias, precis::matrix_view<const float> x,
           precis::matrix_view<float> y, std::span<float> workspace);

/// dx = dy W, and dx = dx + dy W: [rows x out] -> [rows x in].
void apply_transposed(const map_view& map, precis::matrix_view<const float> dy, precis::matrix_view<float> dx,
                      std::span<float> workspace);
void add_transposed(const map_view& map, precis::matrix_view<const float> dy, precis::matrix_view<float> dx,
                    std::span<float> workspace);

/// Where the rows of a map are, for biases that depend on the position: positions `first` to `first + period - 1` again
/// and again. A period of 0: such biases are not added.
struct row_positions {
  std::size_t first = 0, period = 0;
};

/// y = x W^T with all biases of a map.
void apply(const linear& map, precis::matrix_view<const float> x, precis::matrix_view<float> y, row_positions positions,
           std::span<float> workspace);

}  // namespace engine
