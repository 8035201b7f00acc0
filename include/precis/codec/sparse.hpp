#pragma once

#include <precis/codec/code_stream.hpp>
#include <precis/codec/dense_copy.hpp>
#include <precis/codec/grid/storage.hpp>
#include <precis/codec/packed_format_of.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/keep_of_format.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// Sparse codecs, which store only some of the weights: first the positions of the kept weights, then their values in
/// another codec.
namespace precis::codec {
PRECIS_IEEE_BEGIN

namespace detail {

template<class Values>
inline constexpr bool values_keep_zero = requires { requires Values::keeps_zero; };

/// The positions of the `keep` weights of x that are kept, in ascending order: those of largest magnitude; ties go to
/// the later weight. If fewer than `keep` weights are nonzero, the first zeros are kept too.
template<class = void>
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
  std::sort(order.begin(), order.end());
}

}  // namespace detail

/// N:M sparsity: keeps at most Keep of every Group consecutive weights along `in`. A shorter last group of n weights
/// keeps ceil(Keep n / Group).
///
///     The weights of largest magnitude in a group are kept; ties go to the later weight. If fewer are nonzero, the
///     first zeros of the group are kept too.
///
/// Values    any codec that keeps zero, applied to the matrix [out x kept weights per row]: float16, affine<4, 32>, ...
/// Name      "keep2of4.float16".
/// Layout    the positions of the kept weights in their groups, ascending, as codes of ceil(log2 Group) bits in the
///           blocks and tails of kernel::grid_format; then the values in the layout of their codec. Kernels multiply
///           it as a kernel::packed_keep_of.
/// Errors    weights that are not finite; those of Values.
/// Cost      one read and a copy of the kept weights.
/// @post     weights that are not kept decode to exactly 0; kept weights decode as with Values.
/// @post     a matrix that already has this sparsity decodes as with Values alone.
/// Source    docs/methods/sparse.md.
template<std::size_t Keep, std::size_t Group, matrix_codec Values>
struct keep_of {
  static_assert(Keep > 0 && Keep < Group && Group >= 3 && Group <= 256,
                "precis: keep_of keeps some, not all, of 3 to 256 weights");
  static_assert(detail::values_keep_zero<Values>,
                "precis: values of a sparse format must keep zero, as affine and float16 do");
  static constexpr bool keeps_zero = true;
  static constexpr kernel::keep_of_format columns{.keep = Keep, .group = Group};
  static constexpr auto format = []() -> std::optional<kernel::packed_format> {
    const auto values = detail::values_format<Values>();
    if (!values) return std::nullopt;
    return kernel::keep_of(columns, *values);
  }();

  [[nodiscard]] static std::string name() {
    return "keep" + std::to_string(Keep) + "of" + std::to_string(Group) + "." + Values::name();
  }
  /// The number of kept weights per row.
  [[nodiscard]] static constexpr std::size_t kept(std::size_t in) noexcept { return columns.count(in); }
  /// The size of the positions, which are stored first.
  [[nodiscard]] static constexpr std::size_t place_bytes(std::size_t out, std::size_t in) noexcept {
    return columns.layout_of_places(out, in).bytes;
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return place_bytes(out, in) + Values::bytes(out, kept(in));
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
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
      store_row_codes<std::uint8_t>(l, columns.place_bits(), w.rows, r, as_span(places), packed);
    }
    Values::encode(values.view(), packed.subspan(l.bytes));
  }

  /// Errors: a buffer of the wrong size; a position outside its group.
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    const std::size_t count = kept(weights.cols);
    const grid_format::layout l = columns.layout_of_places(weights.rows, weights.cols);
    float_matrix values(weights.rows, count);
    Values::decode(packed.subspan(l.bytes), values.view());
    std::vector<std::uint8_t> places(count);
    for (std::size_t r = 0; r < weights.rows; ++r) {
      load_row_codes<std::uint8_t>(l, columns.place_bits(), weights.rows, r, packed, as_writable_span(places));
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

/// Unstructured sparsity: keeps Kept_percent of all weights of a matrix, at any position, with a bitmap of one bit per
/// weight.
///
///     kept = ceil(out in Kept_percent / 100); the weights of largest magnitude are kept; ties as in keep_of
///
/// Values    any codec that keeps zero, applied to one row of all kept weights in row-major order.
/// Name      "bitmap50.float16".
/// Layout    the bitmap, row by row: bit c mod 8 of byte c / 8 of a row is set if weight c is kept, and rows are padded
///           with zeros to a byte; then the values in the layout of their codec.
/// Errors, Cost, @post    as in keep_of.
/// Source    docs/methods/sparse.md.
template<unsigned Kept_percent, matrix_codec Values>
struct bitmap {
  static_assert(Kept_percent > 0 && Kept_percent < 100, "precis: a bitmap keeps 1 to 99 percent");
  static_assert(detail::values_keep_zero<Values>,
                "precis: values of a sparse format must keep zero, as affine and float16 do");
  static constexpr bool keeps_zero = true;
  static constexpr auto format = []() -> std::optional<kernel::packed_format> {
    const auto values = detail::values_format<Values>();
    if (!values) return std::nullopt;
    return kernel::bitmap(Kept_percent, *values);
  }();

  [[nodiscard]] static std::string name() { return "bitmap" + std::to_string(Kept_percent) + "." + Values::name(); }
  [[nodiscard]] static constexpr std::size_t kept(std::size_t out, std::size_t in) noexcept {
    const std::size_t n = out * in;
    return n / 100 * Kept_percent + (n % 100 * Kept_percent + 99) / 100;
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    return out * packed_bytes(in, 1) + Values::bytes(1, kept(out, in));
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
    check_finite(weights, "codec " + name());
    float_matrix all(weights.rows, weights.cols);
    copy_values(weights, all.view());
    std::vector<std::size_t> order;
    detail::positions_kept(as_span(all.values), kept(weights.rows, weights.cols), order);
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

  /// Errors: a buffer of the wrong size; a bitmap whose number of set bits differs from the number of kept weights.
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    check_size(name(), packed.size(), bytes(weights.rows, weights.cols), weights);
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
        const bool is_kept = (packed[r * row_bytes + c / 8] >> (c % 8) & std::byte{1}) != std::byte{0};
        weights(r, c) = is_kept && at < set ? values.values[at++] : 0.f;
      }
  }
};

PRECIS_IEEE_END
}  // namespace precis::codec
