#include <engine/model_files/ggml_repack.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/kernel/blocks/small_blocks.hpp>
#include <precis/kernel/packed_format.hpp>

#include <cstdint>

namespace engine {
namespace {

namespace kernel = precis::kernel;
using precis::codec::grid;

[[nodiscard]] bool is_half(float x) noexcept { return kernel::half_to_float(kernel::float_to_half(x)) == x; }

/// One block of 32 codes of one group. False if the type does not hold its values.
template<class Block>
[[nodiscard]] bool put_block(const std::uint8_t* codes, const grid& g, std::byte* to) {
  constexpr kernel::ggml_layout layout = kernel::layout_of(Block::type);
  constexpr int top = (1 << layout.bits) - 1;
  if (!is_half(g.scale)) return false;
  std::uint8_t stored[32];
  kernel::put_word16(kernel::float_to_half(g.scale), to);
  if constexpr (layout.has_minimum) {
    // The minimum of a zero point is exact in float: few bits of code times the bits of a half.
    const float minimum = g.zero_point != 0 ? -static_cast<float>(g.zero_point) * g.scale : g.minimum;
    if (!is_half(minimum)) return false;
    kernel::put_word16(kernel::float_to_half(minimum), to + 2);
    for (std::size_t i = 0; i < 32; ++i) {
      if (codes[i] > top) return false;
      stored[i] = codes[i];
    }
  } else {
    if (g.minimum != 0) return false;
    for (std::size_t i = 0; i < 32; ++i) {
      const int value = static_cast<int>(codes[i]) - static_cast<int>(g.zero_point),
                code = value + (1 << (layout.bits - 1));
      if (code < 0 || code > top) return false;
      stored[i] = static_cast<std::uint8_t>(layout.bits == 8 ? value & 0xFF : code);
    }
  }
  Block::put_codes(stored, to);
  return true;
}

template<class Block>
[[nodiscard]] std::optional<ggml_matrix> repack(const kernel::grid_format& f, std::span<const std::byte> packed,
                                                std::span<const grid> grids, std::size_t out, std::size_t in) {
  ggml_matrix m{.type = Block::name, .bytes = std::vector<std::byte>(out * (in / 32) * Block::bytes)};
  const kernel::grid_format::layout l = f.layout_of(out, in);
  const std::size_t groups = f.groups_per_row(in);
  std::byte* to = m.bytes.data();
  for (std::size_t r = 0; r < out; ++r)
    for (std::size_t b = 0; b < in / 32; ++b, to += Block::bytes) {
      std::uint8_t codes[32];
      static_cast<void>(kernel::unpack_block_of(packed.data(), l, f.code_bits, out, in, r, b, codes));
      const std::size_t group = f.group == kernel::per_tensor ? 0 : r * groups + (groups == 1 ? 0 : b * 32 / f.group);
      if (!put_block<Block>(codes, grids[group], to)) return std::nullopt;
    }
  return m;
}

}  // namespace

std::optional<ggml_matrix> repack_as_ggml(std::string_view codec, std::span<const std::byte> packed, std::size_t out,
                                          std::size_t in) {
  const auto format = kernel::parse_format(codec);
  if (!format || format->codes != kernel::code_kind::grid || format->kept != kernel::kept_weights::all ||
      format->rank_percent != 0)
    return std::nullopt;
  const kernel::grid_format& f = format->grid;
  const bool whole_blocks = in % 32 == 0 && (f.group == kernel::per_tensor || f.group >= in || f.group % 32 == 0);
  if (f.is_float() || f.wide() || !whole_blocks) return std::nullopt;
  const std::vector<grid> grids = precis::codec::read_grids(f, packed, out, in);
  namespace blocks = kernel::blocks;
  if (auto m = repack<blocks::q4_0>(f, packed, grids, out, in)) return m;
  if (auto m = repack<blocks::q4_1>(f, packed, grids, out, in)) return m;
  if (auto m = repack<blocks::q5_0>(f, packed, grids, out, in)) return m;
  if (auto m = repack<blocks::q5_1>(f, packed, grids, out, in)) return m;
  return repack<blocks::q8_0>(f, packed, grids, out, in);
}

}  // namespace engine
