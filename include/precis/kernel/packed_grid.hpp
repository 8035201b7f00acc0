#if !defined(PRECIS_KERNEL_PACKED_GRID)
#define PRECIS_KERNEL_PACKED_GRID

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A non-owning view of a packed matrix. Blocks are read fastest if the buffer starts at a cache line.
struct packed_grid {
  grid_format format;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

/// A range of rows, for example one per thread: `first` is a multiple of 16; `last` is a multiple of 16 or the number
/// of rows.
struct row_range {
  std::size_t first = 0;
  std::size_t last = static_cast<std::size_t>(-1);  ///< larger than the number of rows: up to the last row

  [[nodiscard]] constexpr std::size_t end(std::size_t out) const noexcept { return last < out ? last : out; }
};

/// Piece i of `pieces` nearly equal ranges of rows, as threads take them; may be empty.
[[nodiscard]] constexpr row_range piece_of(std::size_t out, std::size_t i, std::size_t pieces) noexcept {
  const std::size_t tiles = out / tile_rows + (out % tile_rows != 0);
  const auto row = [&](std::size_t k) {
    const std::size_t first = (tiles / pieces * k + tiles % pieces * k / pieces) * tile_rows;
    return first < out ? first : out;
  };
  return {row(i), row(i + 1)};
}

/// A stored scale, minimum or level as a float.
[[nodiscard]] inline float stored_float(const std::byte* at, scale_type type) noexcept {
  return type == scale_type::float32 ? kernel::bit_cast<float>(get_word32(at)) : half_to_float(get_word16(at));
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_PACKED_GRID
