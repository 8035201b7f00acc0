#pragma once

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/codec/codebook.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/codec/sparse.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis::codec {

/// The menu that the command line program offers, with the static members of a `menu`:
///
///     {affine, symmetric, symmetric_full, min_anchored, min_anchored_floor} x {2 ... 8, 16, 24 bits}
///       x {.tensor, .row, .g32, .g64, .g128} x {float32 scales, half scales .h},
///     {e4m3, e5m2, e2m1} x the same granularities and scales; float16, bfloat16, float32; ggml's q4_0, q4_1, q5_0,
///     q5_1, q8_0, and its other blocks, q2_k to q2_0 (docs/methods/ggml.md); codebooks of 2, 3 and 4 bits (.tensor; 3 and 4 also .row); keep2of4 and bitmap50 of {float16,
///     symmetric4.g32, symmetric8.g32}.
///
/// The 480 integer and small-float formats are run-time values, so they compile as fast as one codec. A program that
/// knows its codecs at compile time writes menu<affine<4, 32>, ...> and instantiates nothing else. log2, low_rank and
/// other parameters of codebook, keep_of and bitmap are not in this menu.
template<class = void>  // so that a program that does not use it does not check the codecs
struct basic_standard {
  static constexpr std::array rules{grid_rule::affine, grid_rule::symmetric, grid_rule::symmetric_full,
                                    grid_rule::min_anchored, grid_rule::min_anchored_floor};
  static constexpr std::array<unsigned, 9> widths{2, 3, 4, 5, 6, 7, 8, 16, 24};
  static constexpr std::array<std::size_t, 5> granularities{per_tensor, per_row, 32, 64, 128};
  static constexpr std::array scales{scale_type::float32, scale_type::float16};
  static constexpr std::array floats{grid_rule::e4m3, grid_rule::e5m2, grid_rule::e2m1};
  static constexpr std::size_t integers = rules.size() * widths.size() * granularities.size() * scales.size();
  static constexpr std::size_t grids = integers + floats.size() * granularities.size() * scales.size();
  using others = menu<float16, bfloat16, float32, q4_0, q4_1, q5_0, q5_1, q8_0, codebook<2>, codebook<3>, codebook<4>,
                      codebook<3, per_row>, codebook<4, per_row>, keep_of<2, 4, float16>,
                      keep_of<2, 4, symmetric<4, 32>>, keep_of<2, 4, symmetric<8, 32>>, bitmap<50, float16>,
                      bitmap<50, symmetric<4, 32>>, bitmap<50, symmetric<8, 32>>, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl,
                      iq4_xs, iq3_s, iq3_xxs, iq2_s, iq2_xs, iq2_xxs, iq1_s, iq1_m, mxfp4, nvfp4, tq1_0, tq2_0, q1_0,
                      q2_0>;  ///< the entries after the grids
  static constexpr std::size_t size = grids + others::size;

  /// The integer or small-float format of entry `index`; nullopt for the other entries.
  [[nodiscard]] static constexpr std::optional<grid_format> format(std::size_t index) noexcept {
    if (index >= grids) return std::nullopt;
    grid_format f;
    if (index >= integers) {
      index -= integers;
      f.rule = floats[index % floats.size()];
      f.code_bits = f.rule == grid_rule::e2m1 ? 4 : 8;
      index /= floats.size();
      f.group = granularities[index % granularities.size()];
      f.scales = scales[index / granularities.size()];
      return f;
    }
    f.code_bits = widths[index % widths.size()];
    index /= widths.size();
    f.group = granularities[index % granularities.size()];
    index /= granularities.size();
    f.rule = rules[index % rules.size()];
    f.scales = scales[index / rules.size()];
    return f;
  }

  /// The format by which entry `index` is multiplied.
  template<class = void>
  [[nodiscard]] static std::optional<kernel::packed_format> packed_format(std::size_t index) noexcept {
    if (const auto f = format(index)) return *f;
    return format_of(others{}, index - grids);
  }

  template<class = void>
  [[nodiscard]] static std::string name(std::size_t index) {
    if (const auto f = format(index)) return to_string(*f);
    return others::names()[index - grids];
  }
  template<class = void>
  [[nodiscard]] static std::vector<std::string> names() {
    std::vector<std::string> all;
    for (std::size_t i = 0; i < size; ++i) all.push_back(name(i));
    return all;
  }

  /// The exact size of an `out x in` matrix in entry `index`. Requires index < size.
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t index, std::size_t out, std::size_t in) noexcept {
    PRECIS_EXPECTS(index < size, "no such menu entry");
    if (const auto f = format(index)) return f->layout_of(out, in).bytes;
    return others::bytes(index - grids, out, in);
  }
  [[nodiscard]] static constexpr bool keeps_zero(std::size_t index) noexcept {
    if (const auto f = format(index)) return f->keeps_zero();
    return zero_of(others{}, index - grids);
  }
  template<class = void>
  static void encode(std::size_t index, weight_view weights, std::span<std::byte> packed) {
    PRECIS_EXPECTS(index < size, "no such menu entry");
    if (const auto f = format(index)) return codec::encode(*f, weights, packed);
    others::encode(index - grids, weights, packed);
  }
  /// With one importance per column, which the integer and small-float formats ignore.
  template<class = void>
  static void encode(std::size_t index, weight_view weights, std::span<const float> importance,
                     std::span<std::byte> packed) {
    PRECIS_EXPECTS(index < size, "no such menu entry");
    if (const auto f = format(index)) return codec::encode(*f, weights, packed);
    others::encode(index - grids, weights, importance, packed);
  }
  template<class = void>
  static void decode(std::size_t index, std::span<const std::byte> packed, mutable_weight_view weights) {
    PRECIS_EXPECTS(index < size, "no such menu entry");
    if (const auto f = format(index)) return codec::decode(*f, packed, weights);
    others::decode(index - grids, packed, weights);
  }

  template<class = void>
  [[nodiscard]] static bool contains(std::string_view wanted) {
    return position(wanted) < size;
  }

  /// The index of the entry called `wanted`. Errors: there is no such entry; the message lists the grammar of names.
  template<class = void>
  [[nodiscard]] static std::size_t index_of(std::string_view wanted) {
    const std::size_t at = position(wanted);
    if (at == size)
      refuse(
          {.what = "no codec called '" + std::string(wanted) + "'",
           .where = "codec::standard",
           .expected =
               "float16, bfloat16, float32, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, iq1_s, iq1_m, "
               "iq2_xxs, iq2_xs, iq2_s, iq3_xxs, iq3_s, iq4_nl, iq4_xs, mxfp4, nvfp4, tq1_0, tq2_0, q1_0, q2_0, "
               "codebook2.tensor, codebook3 or codebook4 "
               "with .tensor or .row, keep2of4 or bitmap50 with .float16, .symmetric4.g32 or .symmetric8.g32, "
               "or affine, symmetric, symmetric_full, min_anchored or min_anchored_floor with 2 to 8, 16 or 24 bits "
               "and .tensor, .row, .g32, .g64 or .g128 "
               "(then .h for half scales), as in affine4.g32; e4m3, e5m2 or e2m1 likewise, as in e4m3.g32"});
    return at;
  }

 private:
  template<class... Codecs>
  [[nodiscard]] static constexpr std::optional<kernel::packed_format> format_of(menu<Codecs...>,
                                                                                std::size_t entry) noexcept {
    constexpr std::array<std::optional<kernel::packed_format>, sizeof...(Codecs)> all{packed_format_of<Codecs>()...};
    return all[entry];
  }
  template<class... Codecs>
  [[nodiscard]] static constexpr bool zero_of(menu<Codecs...>, std::size_t entry) noexcept {
    constexpr std::array<bool, sizeof...(Codecs)> all{Codecs::keeps_zero...};
    return all[entry];
  }
  template<class = void>
  [[nodiscard]] static std::size_t position(std::string_view wanted) {
    std::size_t i = 0;
    while (i < size && name(i) != wanted) ++i;
    return i;
  }
};
using standard = basic_standard<>;

}  // namespace precis::codec
