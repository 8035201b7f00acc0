#pragma once

#include <precis/codec/code_stream.hpp>
#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/keep_of_format.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Matrices of which only some weights are stored: where those are, then their values in any other format.
namespace precis::codec {

namespace detail {

template<class Values>
inline constexpr bool holds_zero = requires { requires Values::keeps_zero; };

/// Positions of the `keep` weights of x that stay, rising: the largest |w|, of equal ones the later; where fewer are not zero,
/// the first zeros besides.
inline void positions_kept(std::span<const float> x, std::size_t keep, std::vector<std::size_t>& order) {
  order.resize(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) order[i] = i;
  const auto before = [&](std::size_t a, std::size_t b) {
    const float u = std::abs(x[a]), v = std::abs(x[b]);
    if (u != v) return u > v;
    return u == 0 ? a < b : a > b;
  };
  if (keep < x.size())
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(keep), order.end(), before);
  order.resize(keep);
  std::ranges::sort(order);
}

inline void check_size(const std::string& name, std::size_t have, std::size_t need, weight_view w) {
  if (have != need) refuse_size(name, have, need, w);
}

}  // namespace detail

/// At most Keep of every Group consecutive weights along `in`; a shorter last group of n keeps ceil(Keep n / Group).
///
///     the largest |w| of a group stay; of equal ones the later. Fewer that are not zero: the first zeros of the group too.
///
/// Values    any codec that keeps zero, for the matrix [out x weights kept of a row]: float16, affine<4, 32>, ...
/// Name      "keep2of4.float16".
/// Layout    the positions kept inside their groups, rising, as codes of ceil(log2 Group) bits in the layout of grid_format, blocks and
///           tails; then the values, as their codec lays them out. kernel::packed_keep_of multiplies it.
/// Errors    weights that are not finite, and those of Values.
/// Cost      one read; a copy of the weights kept.
/// @post     weights that are not kept decode to exactly 0; those kept, to what Values makes of them.
/// @post     a matrix that is so sparse already comes back as Values alone would give it.
/// Source    methods D9.
template<std::size_t Keep, std::size_t Group, matrix_codec Values>
struct keep_of {
  static_assert(Keep > 0 && Keep < Group && Group >= 3 && Group <= 256,
                "precis: keep_of keeps some, not all, of 3 to 256 weights");
  static_assert(detail::holds_zero<Values>,
                "precis: values of a sparse format must keep zero, as affine and float16 do");
  static constexpr bool keeps_zero = true;
  static constexpr kernel::keep_of_format columns{.keep = Keep, .group = Group};

  [[nodiscard]] static std::string name() {
    return "keep" + std::to_string(Keep) + "of" + std::to_string(Group) + "." + Values::name();
  }
  /// Weights kept of a row.
  [[nodiscard]] static constexpr std::size_t kept(std::size_t in) noexcept { return columns.count(in); }
  /// Bytes of the places, which come first.
  [[nodiscard]] static constexpr std::size_t place_bytes(std::size_t out, std::size_t in) noexcept {
    return columns.layout_of_places(out, in).bytes;
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return place_bytes(out, in) + Values::bytes(out, kept(in));
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    detail::check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    check_finite(weights, "codec " + name());
    const with_contiguous_rows contiguous(weights);
    const weight_view w = contiguous.view();
    const std::size_t count = kept(w.cols);
    const grid_format::layout l = columns.layout_of_places(w.rows, w.cols);
    float_matrix values(w.rows, count);
    std::vector<std::uint8_t> places(count);
    std::vector<std::size_t> order;
    for (std::size_t r = 0; r < w.rows; ++r) {
      std::size_t at = 0;
      for (std::size_t first = 0; first < w.cols; first += Group) {
        const auto group = w.row(r).subspan(first, std::min(Group, w.cols - first));
        detail::positions_kept(group, (Keep * group.size() + Group - 1) / Group, order);
        for (const std::size_t i : order) {
          places[at] = static_cast<std::uint8_t>(i);
          values(r, at++) = group[i];
        }
      }
      detail::put_row<std::uint8_t>(l, columns.place_bits(), w.rows, r, places, packed);
    }
    Values::encode(values.view(), packed.subspan(l.bytes));
  }

  /// Errors: a wrong number of bytes; a position outside its group.
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    detail::check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    const std::size_t count = kept(weights.cols);
    const grid_format::layout l = columns.layout_of_places(weights.rows, weights.cols);
    float_matrix values(weights.rows, count);
    Values::decode(packed.subspan(l.bytes), values.view());
    std::vector<std::uint8_t> places(count);
    for (std::size_t r = 0; r < weights.rows; ++r) {
      detail::get_row<std::uint8_t>(l, columns.place_bits(), weights.rows, r, packed, places);
      std::size_t at = 0;
      for (std::size_t first = 0; first < weights.cols; first += Group) {
        const std::size_t size = std::min(Group, weights.cols - first), keep = (Keep * size + Group - 1) / Group;
        for (std::size_t c = 0; c < size; ++c) weights(r, first + c) = 0;
        for (std::size_t i = 0; i < keep; ++i, ++at) {
          if (places[at] >= size)
            refuse({.what = "position " + std::to_string(places[at]) + " in a group of " + std::to_string(size) +
                            ", row " + std::to_string(r),
                    .where = "codec " + name(),
                    .expected = "bytes that this codec wrote"});
          weights(r, first + places[at]) = values(r, at);
        }
      }
    }
  }
};

/// Kept_percent of all weights of a matrix, wherever they are: one bit a weight says which.
///
///     kept = ceil(out in Kept_percent / 100); the largest |w| stay, as in keep_of
///
/// Values    any codec that keeps zero, for a matrix of one row with all weights kept, in row order.
/// Name      "bitmap50.float16".
/// Layout    row by row, bit c of a row (bit c mod 8 of its byte c / 8): is weight c kept? Rows padded with zeros to a byte. Then
///           the values, as their codec lays them out.
/// Errors, Cost, @post    as keep_of.
/// Source    methods D9.
template<unsigned Kept_percent, matrix_codec Values>
struct bitmap {
  static_assert(Kept_percent > 0 && Kept_percent < 100, "precis: a bitmap keeps 1 to 99 percent");
  static_assert(detail::holds_zero<Values>,
                "precis: values of a sparse format must keep zero, as affine and float16 do");
  static constexpr bool keeps_zero = true;

  [[nodiscard]] static std::string name() { return "bitmap" + std::to_string(Kept_percent) + "." + Values::name(); }
  [[nodiscard]] static constexpr std::size_t kept(std::size_t out, std::size_t in) noexcept {
    const std::size_t n = out * in;
    return n / 100 * Kept_percent + (n % 100 * Kept_percent + 99) / 100;
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return out * packed_bytes(in, 1) + Values::bytes(1, kept(out, in));
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    detail::check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    check_finite(weights, "codec " + name());
    float_matrix all(weights.rows, weights.cols);
    copy_values(weights, all.view());
    std::vector<std::size_t> order;
    detail::positions_kept(all.values, kept(weights.rows, weights.cols), order);
    const std::size_t row_bytes = packed_bytes(weights.cols, 1);
    std::fill_n(packed.data(), weights.rows * row_bytes, std::byte{0});
    float_matrix values(1, order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::size_t r = order[i] / weights.cols, c = order[i] % weights.cols;
      packed[r * row_bytes + c / 8] |= std::byte{1} << (c % 8);
      values.values[i] = all.values[order[i]];
    }
    Values::encode(values.view(), packed.subspan(weights.rows * row_bytes));
  }

  /// Errors: a wrong number of bytes; more or fewer bits than weights kept.
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    detail::check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    const std::size_t row_bytes = packed_bytes(weights.cols, 1), bits = weights.rows * row_bytes;
    float_matrix values(1, kept(weights.rows, weights.cols));
    std::size_t set = 0, at = 0;
    for (const std::byte b : packed.first(bits))
      set += static_cast<std::size_t>(std::popcount(static_cast<unsigned>(b)));
    if (set != values.values.size())
      refuse({.what = std::to_string(set) + " weights kept",
              .where = "codec " + name(),
              .expected = std::to_string(values.values.size()) + ", as this codec writes"});
    Values::decode(packed.subspan(bits), values.view());
    for (std::size_t r = 0; r < weights.rows; ++r)
      for (std::size_t c = 0; c < weights.cols; ++c) {
        const bool here = (packed[r * row_bytes + c / 8] >> (c % 8) & std::byte{1}) != std::byte{0};
        weights(r, c) = here && at < set ? values.values[at++] : 0.f;
      }
  }
};

}  // namespace precis::codec
