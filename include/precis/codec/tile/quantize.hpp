#if !defined(PRECIS_CODEC_TILE_QUANTIZE)
#define PRECIS_CODEC_TILE_QUANTIZE

#include <precis/codec/tile/layout.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>

/// Codes, errors and decoded weights of the groups of a batch on given grids.
namespace precis::codec::tile {
PRECIS_IEEE_BEGIN

/// Whether `quantizer` gives the codes of a division for all weights of a batch: scales can be stored, and no quotient
/// overflows or underflows in a way that could change a code.
template<class = void>
[[nodiscard]] inline bool reciprocal_is_exact(const grid_format& f, const group_batch& g,
                                              const grid_batch& grids) noexcept {
  const float largest = f.scales == scale_type::float16 ? 65504.f : 0x1p100f;
  int inexact = 0;  // no branches, so that the loop vectorizes
  for (std::size_t i = 0; i < g.count * tile_rows; ++i) {
    const float scale = grids.scale[i], magnitude = -g.lo[i] > g.hi[i] ? -g.lo[i] : g.hi[i];
    inexact |= static_cast<int>(!(scale >= 0x1p-100f)) | static_cast<int>(!(scale <= largest)) |
               static_cast<int>(!(magnitude <= 0x1p22f * scale));
  }
  return inexact == 0;
}

/// Quantizes on the grids of a batch, multiplying by reciprocals: q = x * (1 / scale), corrected once by its remainder.
///
/// Requires  reciprocal_is_exact for these grids and the weights that are quantized.
/// @post     codes are those of the division x / scale.
/// Source    Markstein 1990, IBM Journal of Research and Development 34(1).
/// Differs   Markstein requires a first quotient within one unit in the last place; this one may be off by two. The
///           result was checked by enumeration over all 2^23 significands of a scale and the floats around all
///           quotients k + 1/2, k < 256, the only ones that could round differently: even the quotients are equal.
class quantizer {
 public:
  /// The first `count` grids.
  quantizer(const grid_format& f, const grid_batch& grids, std::size_t count) noexcept
      : top_(f.top_code()), zero_step_(f.rule == grid_rule::affine ? 4 : 0) {
    const auto top = static_cast<float>(top_);
    for (std::size_t i = 0; i < count; ++i) {
      reciprocal_[i] = 1.f / grids.scale[i];
      minus_scale_[i] = -grids.scale[i];
      lo_[i] = -grids.zero_point[i];
      hi_[i] = top - grids.zero_point[i];
    }
    for (std::size_t i = 0; i < (zero_step_ == 0 ? 4 : count); ++i)
      for (std::size_t j = 0; j < 4; ++j) zeros_[4 * i + j] = static_cast<std::int16_t>(grids.zero_point[i]);
  }

  /// The codes of one block of Code::rows rows, which use the grids from `first_grid` on: quads[i] holds, for each row
  /// in its lane, the codes of columns 4 i ... 4 i + 3.
  template<class Code>
  void block_codes(const float* weights, std::ptrdiff_t stride, std::size_t first_grid,
                   typename Code::words (&quads)[8]) const noexcept {
    using lanes = typename Code::floats;
    constexpr std::size_t width = lanes::width, block_vectors = block_columns / width, row_quads = width / 4;
    const auto top = Code::all(static_cast<std::int32_t>(static_cast<std::uint32_t>(top_) * 0x0101'0101u));
    typename Code::words bytes[block_vectors][row_quads];
    for (std::size_t quad = 0; quad < row_quads; ++quad) {
      typename Code::words codes[block_vectors][4];
      for_constants<4>([&](auto k) PRECIS_INLINE_LAMBDA {
        const std::size_t r = first_grid + 4 * quad + k;
        const float* const x = weights + static_cast<std::ptrdiff_t>(4 * quad + k) * stride;
        const auto of_row = broadcast<lanes>(r);
        for_constants<block_vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
          codes[p][k] = Code::rounded(of_row.quotient(lanes::held(lanes::load(x + p * width))));
        });
      });
      const std::int16_t* const zeros = zeros_ + (first_grid + 4 * quad) * zero_step_;
      for_constants<block_vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
        bytes[p][quad] = Code::bytes_of(codes[p][0], codes[p][1], codes[p][2], codes[p][3], zeros, top);
      });
    }
    for_constants<block_vectors>([&](auto p) PRECIS_INLINE_LAMBDA {
      Code::turn_quads(bytes[p]);
      for_constants<row_quads>([&](auto i) PRECIS_INLINE_LAMBDA { quads[p * row_quads + i] = bytes[p][i]; });
    });
  }

  /// Quantization errors, decoded - weight, of `columns` weights of one row on grid `i`. Calls consume(pointer to
  /// sixteen errors) for every sixteen columns, in order.
  template<class Lanes, class Consume>
  PRECIS_INLINE void errors(std::size_t i, const float* weights, std::size_t columns,
                            const Consume& consume) const noexcept {
    const auto of_row = broadcast<Lanes>(i);
    for (std::size_t c = 0; c < columns; c += 16) {
      alignas(64) float error[16];
      for_constants<16 / Lanes::width>([&](auto p) PRECIS_INLINE_LAMBDA {
        const auto v = Lanes::held(Lanes::load(weights + c + p * Lanes::width));
        Lanes::store(error + p * Lanes::width, Lanes::subtract(of_row.decoded(v), v));
      });
      consume(error);
    }
  }

  /// Quantized and decoded weights of sixteen rows on the first sixteen grids. Both arrays are transposed
  /// (`transpose_rows`).
  template<class Lanes>
  void round_trip(const float* transposed, std::size_t columns, float* decoded) const noexcept {
    for (std::size_t r = 0; r < tile_rows; r += Lanes::width) {
      const grid_lanes<Lanes> of_rows{Lanes::load(reciprocal_ + r), Lanes::load(minus_scale_ + r), Lanes::load(lo_ + r),
                                      Lanes::load(hi_ + r)};
      for (std::size_t at = r; at < columns * tile_rows; at += tile_rows)
        Lanes::store(decoded + at, of_rows.decoded(Lanes::held(Lanes::load(transposed + at))));
    }
  }

 private:
  /// One grid in all lanes, or one grid per lane.
  template<class Lanes>
  struct grid_lanes {
    typename Lanes::vector reciprocal, minus_scale, lo, hi;

    [[nodiscard]] typename Lanes::vector quotient(typename Lanes::vector x) const noexcept {
      const typename Lanes::vector q = Lanes::multiply(x, reciprocal);
      return Lanes::fma(Lanes::fma(q, minus_scale, x), reciprocal, q);
    }
    [[nodiscard]] typename Lanes::vector decoded(typename Lanes::vector x) const noexcept {
      const typename Lanes::vector magic =
          Lanes::all(0x1.8p23f);  // adding it rounds to the nearest integer, ties to even
      const typename Lanes::vector q = Lanes::smaller(Lanes::larger(quotient(x), lo), hi);
      const typename Lanes::vector code = Lanes::subtract(Lanes::add(q, magic), magic);
      return Lanes::multiply(Lanes::subtract(Lanes::zero(), minus_scale), code);
    }
  };

  template<class Lanes>
  [[nodiscard]] grid_lanes<Lanes> broadcast(std::size_t i) const noexcept {
    return {Lanes::all(reciprocal_[i]), Lanes::all(minus_scale_[i]), Lanes::all(lo_[i]), Lanes::all(hi_[i])};
  }

  alignas(64) float reciprocal_[max_grids];
  alignas(64) float minus_scale_[max_grids];
  alignas(64) float lo_[max_grids];
  alignas(64) float hi_[max_grids];
  alignas(64)
      std::int16_t zeros_[4 * max_grids];  // each row's zero point four times; symmetric: the same for every four rows
  std::int32_t top_;
  std::size_t zero_step_;
};

PRECIS_IEEE_END
}  // namespace precis::codec::tile

#endif  // PRECIS_CODEC_TILE_QUANTIZE
