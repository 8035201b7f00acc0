#if !defined(PRECIS_CODEC_TILE_DECODE)
#define PRECIS_CODEC_TILE_DECODE

#include <precis/codec/grid/group.hpp>
#include <precis/codec/tile/layout.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>

namespace precis::codec::tile {
PRECIS_IEEE_BEGIN

/// Whether a matrix is written with non-temporal stores: it has at least 32 MiB, and every row is aligned to the size
/// of a vector. Cache lines are then not read before they are overwritten, which is up to twice as fast; for a matrix
/// that would have stayed in a cache it is half as fast.
template<class Code>
[[nodiscard]] bool use_streaming_stores(mutable_weight_view w) noexcept {
  constexpr std::size_t vector = Code::floats::width * sizeof(float), large = std::size_t{32} << 20;
  return w.size() * sizeof(float) >= large && reinterpret_cast<std::uintptr_t>(w.data) % vector == 0 &&
         static_cast<std::size_t>(w.row_stride) * sizeof(float) % vector == 0;
}

namespace detail {

/// Decodes one block of Code::rows rows: scale * (code - zero point), where shift = zero point + 2^23.
template<class Code, unsigned Bits, bool Streaming>
void decode_block(const std::byte* at, const float* scale, const float* shift, float* weights,
                  std::ptrdiff_t stride) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t width = lanes::width, block_vectors = block_columns / width, row_quads = width / 4;
  typename Code::words words[Bits], codes[block_vectors][row_quads];
  for_constants<Bits>([&](auto v) PRECIS_INLINE_LAMBDA { words[v] = Code::load(at + v * tile_rows * 4); });
  for_constants<block_vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
    for_constants<row_quads>(
        [&](auto i) PRECIS_INLINE_LAMBDA { codes[p][i] = codes_of<Code, Bits, p * row_quads + i>(words); });
    Code::turn_quads(codes[p]);
  });
  for_constants<width>([&](auto r) PRECIS_INLINE_LAMBDA {
    const vector s = lanes::all(scale[r]), z = lanes::all(shift[r]);
    float* const x = weights + static_cast<std::ptrdiff_t>(r) * stride;
    for_constants<block_vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
      const vector code = lanes::subtract(Code::template spread<r % 4>(codes[p][r / 4]), z);
      if constexpr (Streaming)
        Code::store_past_caches(x + p * width, lanes::multiply(s, code));
      else
        lanes::store(x + p * width, lanes::multiply(s, code));
    });
  });
}

}  // namespace detail

/// Decodes one tile.
///
/// Requires  weights: sixteen contiguous rows, `supports(f, weights.cols)`. `tensor_grid` is the grid of a per_tensor
///           format and unused otherwise. If Streaming, each row is aligned to the size of a vector.
template<class Code = kernel::native_code_lanes, bool Streaming = false>
void decode_rows(const grid_format& f, stored_parts<const std::byte> from, const grid& tensor_grid,
                 mutable_weight_view weights) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr float spread_offset = 0x1p23f;  // Code::spread adds it to every code
  const bool per_matrix = f.group == per_tensor;
  const std::size_t in = weights.cols, length = per_matrix || f.group >= in ? in : f.group;
  const auto zero = static_cast<float>(per_matrix ? tensor_grid.zero_point : f.fixed_zero_point());
  with_bits(f.code_bits, [&](auto bits) PRECIS_TARGET {
    const std::byte* at = from.blocks;
    for (std::size_t column = 0; column < in; column += length) {
      float scale[tile_rows], shift[tile_rows];
      for (std::size_t r = 0; r < tile_rows; r += Code::rows) {
        vector s = lanes::all(tensor_grid.scale), z = lanes::all(zero);
        if (!per_matrix) {
          const std::byte* const scales = from.scales + r * f.scale_bytes();
          s = f.scales == scale_type::float32 ? Code::load_floats(scales) : Code::load_halves(scales);
          if (f.rule == grid_rule::affine) z = Code::template zero_points<bits>(from.offsets, r);
        }
        lanes::store(scale + r, s);
        lanes::store(shift + r, lanes::add(z, lanes::all(spread_offset)));
      }
      from.scales += tile_rows * f.scale_bytes();
      from.offsets += 2 * bits;
      for (std::size_t c = column; c < std::min(column + length, in); c += block_columns, at += bits * tile_rows * 4)
        for (std::size_t r = 0; r < tile_rows; r += Code::rows)
          detail::decode_block<Code, bits, Streaming>(
              at + 4 * r, scale + r, shift + r, weights.data + static_cast<std::ptrdiff_t>(r) * weights.row_stride + c,
              weights.row_stride);
    }
  });
  if constexpr (Streaming) Code::finish_stores();
}

PRECIS_IEEE_END
}  // namespace precis::codec::tile

#endif  // PRECIS_CODEC_TILE_DECODE
