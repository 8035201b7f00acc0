#if !defined(PRECIS_KERNEL_CODEBOOK_FORMAT)
#define PRECIS_KERNEL_CODEBOOK_FORMAT

#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// One codebook format, as a value. A packed matrix consists of blocks of codes as in grid_format; the levels in
/// ascending order, one set for the matrix or one per row, as float32 or float16; and tails as in grid_format.
struct codebook_format {
  unsigned code_bits = 4;  ///< 2 ... 8
  bool per_row = false;    ///< one set of levels per row; else one set for the matrix
  scale_type levels = scale_type::float32;

  bool operator==(const codebook_format&) const = default;

  [[nodiscard]] constexpr std::size_t level_count() const noexcept { return std::size_t{1} << code_bits; }
  [[nodiscard]] constexpr std::size_t level_bytes() const noexcept { return levels == scale_type::float32 ? 4 : 2; }

  /// The positions of the parts: the levels start at `scales`.
  [[nodiscard]] constexpr grid_format::layout layout_of(std::size_t out, std::size_t in) const noexcept {
    const grid_format codes{.rule = grid_rule::symmetric,
                            .code_bits = code_bits,
                            .group = per_row ? kernel::per_row : per_tensor,
                            .scales = levels};
    grid_format::layout l = codes.layout_of(out, in);
    const std::size_t more = l.groups * level_bytes() * (level_count() - 1);  // the layout counts one scale per group
    l.offsets += more;
    l.tails += more;
    l.bytes += more;
    return l;
  }
};

/// A non-owning view of a packed matrix.
struct packed_codebook {
  codebook_format format;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

/// The segment of the activations that codebooks are multiplied by.
inline constexpr std::size_t codebook_segment = 128;

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_CODEBOOK_FORMAT
