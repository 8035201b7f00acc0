#if !defined(PRECIS_KERNEL_PACKED_FORMAT)
#define PRECIS_KERNEL_PACKED_FORMAT

#include <precis/kernel/blocks/block_type.hpp>
#include <precis/kernel/codebook_format.hpp>
#include <precis/kernel/dense_format.hpp>
#include <precis/kernel/ggml_blocks.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/keep_of_format.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// One value type for the formats of all codecs, and the grammar of their names.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// What the codes of a matrix are.
enum class code_kind : std::uint8_t {
  dense,     ///< uncompressed floats
  grid,      ///< integers and small floats
  codebook,  ///< indices into a table of levels
  ggml,      ///< ggml's blocks of 32 weights with one scale
  block      ///< ggml's other blocks
};
/// Which weights are stored.
enum class kept_weights : std::uint8_t {
  all,
  of_groups,  ///< N of every M consecutive columns, with their places
  of_bitmap   ///< a share of the whole matrix, with a bitmap
};

/// The format of a packed matrix, whatever its codec. Constructed from any of the specific formats; `keep_of`,
/// `bitmap` and `low_rank` combine it with sparsity or factors.
///
///     packed_format f = grid_format{.rule = grid_rule::affine, .code_bits = 4, .group = 32};
///     f.bytes(4096, 4096);
///
/// Layout    low rank: the factors A [out x r], then B [r x in], each in the rest of the format. Groups: the places in
///           the layout of keep_of_format, then the values [out x kept]. Bitmap: the bits, row by row and padded to a
///           byte, then the values [1 x kept]. Otherwise that of dense_type, grid_format, codebook_format, ggml_type or block_type.
struct packed_format {
  unsigned rank_percent = 0;  ///< r = max(1, floor(rank_percent min(out, in) / 100)); 0: no factors
  kept_weights kept = kept_weights::all;
  keep_of_format of_groups = {};  ///< counts if kept == kept_weights::of_groups
  unsigned kept_percent = 0;      ///< counts if kept == kept_weights::of_bitmap
  code_kind codes = code_kind::dense;
  dense_type dense = dense_type::float32;  ///< of these five, the one that `codes` names counts
  grid_format grid = {};
  codebook_format codebook = {};
  ggml_type ggml = ggml_type::q4_0;
  block_type block = block_type::q4_k;

  constexpr packed_format() = default;
  constexpr packed_format(dense_type f) noexcept : dense(f) {}                                 // NOLINT: a kind of it
  constexpr packed_format(const grid_format& f) noexcept : codes(code_kind::grid), grid(f) {}  // NOLINT
  constexpr packed_format(const codebook_format& f) noexcept : codes(code_kind::codebook), codebook(f) {}  // NOLINT
  constexpr packed_format(ggml_type f) noexcept : codes(code_kind::ggml), ggml(f) {}                       // NOLINT
  constexpr packed_format(block_type f) noexcept : codes(code_kind::block), block(f) {}                    // NOLINT

  bool operator==(const packed_format&) const = default;

  [[nodiscard]] constexpr std::size_t rank(std::size_t out, std::size_t in) const noexcept {
    const std::size_t r = (out < in ? out : in) * rank_percent / 100;
    return r == 0 ? 1 : r;
  }
  /// The format of both factors of a low-rank matrix.
  [[nodiscard]] constexpr packed_format of_factors() const noexcept {
    packed_format f = *this;
    f.rank_percent = 0;
    return f;
  }
  /// The format of the values of a sparse matrix.
  [[nodiscard]] constexpr packed_format of_values() const noexcept {
    packed_format f = of_factors();
    f.kept = kept_weights::all;
    return f;
  }
  /// The number of weights that a bitmap keeps.
  [[nodiscard]] constexpr std::size_t bitmap_count(std::size_t out, std::size_t in) const noexcept {
    const std::size_t n = out * in;
    return n / 100 * kept_percent + (n % 100 * kept_percent + 99) / 100;
  }
  /// The bytes of the places or of the bitmap, before the values of a sparse matrix.
  [[nodiscard]] constexpr std::size_t place_bytes(std::size_t out, std::size_t in) const noexcept {
    if (kept == kept_weights::of_groups) return of_groups.layout_of_places(out, in).bytes;
    return kept == kept_weights::of_bitmap ? out * packed_bytes(in, 1) : 0;
  }

  /// The size of an `out x in` matrix.
  [[nodiscard]] constexpr std::size_t bytes(std::size_t out, std::size_t in) const noexcept {
    if (rank_percent != 0) {
      if (out == 0 || in == 0) return 0;
      const std::size_t r = rank(out, in);
      return of_factors().bytes(out, r) + of_factors().bytes(r, in);
    }
    if (kept == kept_weights::of_groups) return place_bytes(out, in) + of_values().bytes(out, of_groups.count(in));
    if (kept == kept_weights::of_bitmap) return place_bytes(out, in) + of_values().bytes(1, bitmap_count(out, in));
    switch (codes) {
      case code_kind::dense: return out * in * bytes_of(dense);
      case code_kind::grid: return grid.layout_of(out, in).bytes;
      case code_kind::codebook: return codebook.layout_of(out, in).bytes;
      case code_kind::ggml: return out * (in / ggml_block + (in % ggml_block != 0)) * layout_of(ggml).bytes;
      case code_kind::block: {
        const block_layout l = layout_of(block);
        return out * (in / l.weights + (in % l.weights != 0)) * l.bytes;
      }
    }
    return 0;
  }
};

/// N:M sparsity of a format.
[[nodiscard]] constexpr packed_format keep_of(const keep_of_format& groups, packed_format values) noexcept {
  values.kept = kept_weights::of_groups;
  values.of_groups = groups;
  return values;
}
/// A bitmap over a format.
[[nodiscard]] constexpr packed_format bitmap(unsigned kept_percent, packed_format values) noexcept {
  values.kept = kept_weights::of_bitmap;
  values.kept_percent = kept_percent;
  return values;
}
/// Two factors in a format.
[[nodiscard]] constexpr packed_format low_rank(unsigned rank_percent, packed_format factors) noexcept {
  factors.rank_percent = rank_percent;
  return factors;
}

namespace detail {

/// Reads a name from the front.
class name_reader {
 public:
  constexpr explicit name_reader(std::string_view name) noexcept : left_(name) {}

  /// Removes `word` from the front. Returns whether it was there.
  constexpr bool take(std::string_view word) noexcept {
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }
  /// Removes a number without sign or leading zeros; one that does not fit `value` counts as absent.
  template<class Number>
  constexpr bool take_number(Number& value) noexcept {
    if (left_.empty() || left_[0] < '1' || left_[0] > '9') return false;
    value = 0;
    for (; !left_.empty() && left_[0] >= '0' && left_[0] <= '9'; left_.remove_prefix(1)) {
      const auto digit = static_cast<Number>(left_[0] - '0');
      if (value > (static_cast<Number>(-1) - digit) / 10) return false;
      value = static_cast<Number>(value * 10 + digit);
    }
    return true;
  }
  [[nodiscard]] constexpr bool at_end() const noexcept { return left_.empty(); }

 private:
  std::string_view left_;
};

template<class = void>
[[nodiscard]] constexpr std::optional<grid_format> parse_grid(name_reader name) noexcept {
  struct family {
    std::string_view word;
    grid_rule rule;
    unsigned bits;  // 0: stated by the name
  };
  constexpr family families[] = {{"affine", grid_rule::affine, 0},
                                 {"symmetric_full", grid_rule::symmetric_full, 0},
                                 {"symmetric", grid_rule::symmetric, 0},
                                 {"min_anchored_floor", grid_rule::min_anchored_floor, 0},
                                 {"min_anchored", grid_rule::min_anchored, 0},
                                 {"e4m3", grid_rule::e4m3, 8},
                                 {"e5m2", grid_rule::e5m2, 8},
                                 {"e2m1", grid_rule::e2m1, 4},
                                 {"log2_", grid_rule::log2, 0},
                                 {"log_sqrt2_", grid_rule::log_sqrt2, 0}};
  for (const family& each : families) {
    if (!name.take(each.word)) continue;
    grid_format f{.rule = each.rule, .code_bits = each.bits, .group = per_row, .scales = scale_type::float32};
    if (each.bits == 0 && !name.take_number(f.code_bits)) return std::nullopt;
    if (f.code_bits < 2 || (f.code_bits > 8 && f.code_bits != 16 && f.code_bits != 24)) return std::nullopt;
    if (f.is_power() && f.code_bits != 3 && f.code_bits != 4) return std::nullopt;
    if (name.take(".tensor"))
      f.group = per_tensor;
    else if (!name.take(".row") && !(name.take(".g") && name.take_number(f.group) && f.group != per_row))
      return std::nullopt;
    if (name.take(".h")) f.scales = scale_type::float16;
    return name.at_end() ? std::optional(f) : std::nullopt;
  }
  return std::nullopt;
}

template<class = void>
[[nodiscard]] constexpr std::optional<codebook_format> parse_codebook(name_reader name) noexcept {
  codebook_format f;
  if (!name.take("codebook")) return std::nullopt;
  (void)name.take("_with_zero");  // says where a level lies, which does not change the layout
  if (!name.take_number(f.code_bits) || f.code_bits < 2 || f.code_bits > 8) return std::nullopt;
  f.per_row = name.take(".row");
  if (!f.per_row && !name.take(".tensor")) return std::nullopt;
  if (name.take(".h")) f.levels = scale_type::float16;
  return name.at_end() ? std::optional(f) : std::nullopt;
}

/// A name without sparsity and factors.
template<class = void>
[[nodiscard]] constexpr std::optional<packed_format> parse_codes(name_reader name) noexcept {
  struct word {
    std::string_view name;
    packed_format format;
  };
  constexpr word words[] = {{"float32", dense_type::float32},   {"float16", dense_type::float16},
                            {"bfloat16", dense_type::bfloat16}, {"q4_0", ggml_type::q4_0},
                            {"q4_1", ggml_type::q4_1},          {"q5_0", ggml_type::q5_0},
                            {"q5_1", ggml_type::q5_1},          {"q8_0", ggml_type::q8_0}};
  for (const word& each : words) {
    name_reader whole = name;
    if (whole.take(each.name) && whole.at_end()) return each.format;
  }
  for (std::size_t i = 0; i < block_types; ++i) {
    const auto type = static_cast<block_type>(i);
    name_reader whole = name;
    if (whole.take(layout_of(type).name) && whole.at_end()) return packed_format(type);
  }
  if (const auto f = parse_grid(name)) return packed_format(*f);
  if (const auto f = parse_codebook(name)) return packed_format(*f);
  return std::nullopt;
}

}  // namespace detail

/// The integer or small-float format called `name` ("affine4.g32", "e4m3.row.h"), or nullopt.
/// @post parse_grid_format(to_string(f)) == f; every other spelling gives nullopt.
template<class = void>
[[nodiscard]] constexpr std::optional<grid_format> parse_grid_format(std::string_view name) noexcept {
  return detail::parse_grid(detail::name_reader(name));
}

/// The format of the codec called `name`, or nullopt: the one grammar of all names.
///
///     name   = ["rank" P "."] ["keep" N "of" M "." | "bitmap" P "."] codes
///     codes  = "float32" | "float16" | "bfloat16" | "q4_0" | "q4_1" | "q5_0" | "q5_1" | "q8_0"
///            | the name of a block_type: "q4_k"
///            | ("affine" | "symmetric" | "symmetric_full" | "min_anchored" | "min_anchored_floor") bits group [".h"]
///            | ("e4m3" | "e5m2" | "e2m1" | "log2_" bits | "log_sqrt2_" bits) group [".h"]
///            | ("codebook" | "codebook_with_zero") bits (".tensor" | ".row") [".h"]
///     group  = ".tensor" | ".row" | ".g" N
///
/// Numbers have no sign and no leading zeros. Sparse formats take values that keep zero, so no min_anchored; a
/// block_type is neither sparse nor a factor.
template<class = void>
[[nodiscard]] constexpr std::optional<packed_format> parse_format(std::string_view name) noexcept {
  detail::name_reader reader(name);
  unsigned rank = 0, percent = 0;
  keep_of_format groups;
  if (reader.take("rank") && (!reader.take_number(rank) || rank > 100 || !reader.take("."))) return std::nullopt;
  const bool sparse = reader.take("keep");
  if (sparse && (!reader.take_number(groups.keep) || !reader.take("of") || !reader.take_number(groups.group) ||
                 !reader.take(".") || groups.keep >= groups.group || groups.group < 3 || groups.group > 256))
    return std::nullopt;
  const bool mapped = !sparse && reader.take("bitmap");
  if (mapped && (!reader.take_number(percent) || percent > 99 || !reader.take("."))) return std::nullopt;
  std::optional<packed_format> f = detail::parse_codes(reader);
  if (!f || ((sparse || mapped) && f->codes == code_kind::grid && f->grid.has_minimum())) return std::nullopt;
  if ((sparse || mapped || rank != 0) && f->codes == code_kind::block) return std::nullopt;
  if (sparse) f = keep_of(groups, *f);
  if (mapped) f = bitmap(percent, *f);
  if (rank != 0) f = low_rank(rank, *f);
  return f;
}

/// A packed matrix of any format: a view that does not own its bytes. Blocks are read fastest if the buffer starts at
/// a cache line.
struct packed_matrix {
  packed_format format;
  const std::byte* data = nullptr;  ///< format.bytes(out, in) of them
  std::size_t out = 0;
  std::size_t in = 0;
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_PACKED_FORMAT
