#if !defined(PRECIS_KERNEL_MULTIPLY)
#define PRECIS_KERNEL_MULTIPLY

#include <precis/kernel/bitmap_product.hpp>
#include <precis/kernel/blocks/every_block.hpp>
#include <precis/kernel/code_values.hpp>
#include <precis/kernel/codebook_product.hpp>
#include <precis/kernel/dense_product.hpp>
#include <precis/kernel/grouped_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/input_vectors.hpp>
#include <precis/kernel/keep_of_product.hpp>
#include <precis/kernel/matvec.hpp>
#include <precis/kernel/packed_format.hpp>
#include <precis/kernel/packed_product.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

/// The product of a packed matrix of any format with one or several vectors.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// The formats that a program multiplies, for `multiply`: only their kernels are compiled. Integer formats of one width
/// share a kernel, whatever their rule, scales and groups of whole blocks. An empty list stands for every format.
template<packed_format... Formats>
struct formats {};

namespace detail {

/// Whether groups of this format may end inside a block of 32 columns.
[[nodiscard]] constexpr bool has_odd_groups(const grid_format& f) noexcept {
  return f.group != per_row && segment_of(f, static_cast<std::size_t>(-1)) == 0;
}

/// Whether the kernel of `listed` multiplies matrices of `f`.
[[nodiscard]] constexpr bool same_kernel(const packed_format& f, const packed_format& listed) noexcept {
  if ((f.rank_percent == 0) != (listed.rank_percent == 0) || f.kept != listed.kept || f.codes != listed.codes)
    return false;
  if (f.codes == code_kind::codebook) return f.codebook.code_bits == listed.codebook.code_bits;
  if (f.codes == code_kind::ggml) return f.ggml == listed.ggml;
  if (f.codes == code_kind::block) return f.block == listed.block;
  if (f.codes == code_kind::dense) return true;
  const grid_format &a = f.grid, &b = listed.grid;
  return a.code_bits == b.code_bits && a.is_float() == b.is_float() && (!a.is_float() || a.rule == b.rule) &&
         (!has_odd_groups(a) || has_odd_groups(b));
}
template<packed_format... F>
[[nodiscard]] constexpr bool lists(formats<F...>, const packed_format& f) noexcept {
  return sizeof...(F) == 0 || (same_kernel(f, F) || ...);
}

/// The values of a matrix, as the view that their kernel takes; of the weights kept, if it is sparse.
template<code_kind Kind>
[[nodiscard]] constexpr auto values_of(const packed_matrix& m) noexcept {
  const packed_format& f = m.format;
  std::size_t out = m.out, in = m.in;
  if (f.kept == kept_weights::of_groups) in = f.of_groups.count(m.in);
  if (f.kept == kept_weights::of_bitmap) {
    in = f.bitmap_count(m.out, m.in);
    out = 1;
  }
  const std::byte* const data = m.data + f.place_bytes(m.out, m.in);
  if constexpr (Kind == code_kind::dense)
    return dense_matrix{f.dense, data, out, in};
  else if constexpr (Kind == code_kind::grid)
    return packed_grid{f.grid, data, out, in};
  else if constexpr (Kind == code_kind::codebook)
    return packed_codebook{f.codebook, data, out, in};
  else if constexpr (Kind == code_kind::ggml)
    return packed_ggml{f.ggml, data, out, in};
  else
    return packed_blocks{f.block, data, out, in};
}

/// What a call is compiled for: any format, or a listed one.
struct any_format {
  static constexpr bool odd_groups = true;
  static constexpr unsigned level_bits = 0;
  using codes = every_code;
  template<class Body>
  static void with_block(block_type type, Body&& body) noexcept {
    kernel::with_block(type, body);
  }
};
template<packed_format F>
struct only_format {
  static constexpr bool odd_groups = has_odd_groups(F.grid);
  static constexpr unsigned level_bits = F.codebook.code_bits;
  using codes = listed_code<F.codes == code_kind::ggml ? grid_of(F.ggml) : F.grid>;
  template<class Body>
  static void with_block(block_type, Body&& body) noexcept {
    kernel::with_block(F.block, body);
  }
};

/// One call of `multiply`. Single: there is one vector.
template<class Value, bool Single>
struct product_call {
  static constexpr std::size_t at_once = 32;  ///< vectors

  input_vectors<Value>& x;
  strided<float> y;
  std::span<float> workspace = {};
  row_range rows;

  [[nodiscard]] bool single() const noexcept { return Single || x.size() == 1; }
  /// The results from vector n on.
  [[nodiscard]] std::span<float> results(std::size_t n) const noexcept {
    return {y.at(n, 0), static_cast<std::size_t>(y.row_stride) * (x.size() - n - 1) + y.cols};
  }
  /// Calls body(first vector, number of vectors) for up to 32 vectors at a time.
  template<class Body>
  void in_turn(Body&& body) const noexcept {
    for (std::size_t n = 0; n < x.size(); n += at_once) body(n, x.size() - n < at_once ? x.size() - n : at_once);
  }
  /// Calls body(rows, vector) so that a few rows, which stay in a cache, are multiplied by every vector in turn.
  template<class Body>
  void row_by_row(std::size_t out, Body&& body) const noexcept {
    const std::size_t last = rows.end(out), step = single() ? last : 4 * tile_rows;
    for (std::size_t row = rows.first; row < last; row += step)
      for (std::size_t n = 0; n < x.size(); ++n) body(row_range{row, last - row < step ? last : row + step}, n);
  }

  template<class For>
  void values(const dense_matrix& m) const noexcept {
    if (single()) return matvec(m, x[0], results(0), rows);
    if constexpr (!Single) dense_product(m, x.rows(), results(0), y.row_stride, workspace, rows);
  }
  template<class For>
  void values(const packed_grid& m) const noexcept {
    using codes = typename For::codes;
    const std::size_t segment = segment_of(m.format, m.in);
    if constexpr (For::odd_groups)
      if (segment == 0)
        return row_by_row(m.out, [&](row_range some, std::size_t n) {
          grouped_product<native_code_lanes, codes>(m, x.rounded(n), results(n), some);
        });
    if (single()) {
      const auto vector = x.prepared(0, segment);
      codes::with(m.format, [&](auto bits, auto numbers) {
        detail::multiply<native_code_lanes, bits, decltype(numbers)>(m, vector, y.data, rows.first, rows.end(m.out));
      });
    } else if constexpr (!Single) {
      in_turn([&](std::size_t n, std::size_t count) {
        typename input_vectors<Value>::activations prepared[at_once];
        for (std::size_t i = 0; i < count; ++i) prepared[i] = x.prepared(n + i, segment);
        const std::span<const typename input_vectors<Value>::activations> vectors(prepared, count);
        if constexpr (std::is_same_v<Value, float>)
          packed_product<native_code_lanes, codes>(m, vectors, results(n), y.row_stride, rows);
        else
          packed_product<native_code_lanes, codes>(m, vectors, results(n), y.row_stride, workspace, rows);
      });
    }
  }
  template<class For>
  void values(const packed_codebook& m) const noexcept {
    if (single()) return matvec<native_code_lanes, For::level_bits>(m, x.floats(0, codebook_segment), results(0), rows);
    if constexpr (!Single)
      in_turn([&](std::size_t n, std::size_t count) {
        float_activations vectors[at_once];
        for (std::size_t i = 0; i < count; ++i) vectors[i] = x.floats(n + i, codebook_segment);
        packed_product<native_code_lanes, For::level_bits>(m, {vectors, count}, results(n), y.row_stride, rows);
      });
  }
  /// Blocks are converted to the layout of grid_format in the workspace, sixteen rows at a time.
  template<class For>
  void values(const packed_ggml& m) const noexcept {
    const grid_format f = grid_of(m.type);
    const std::size_t row_bytes = m.in / ggml_block * layout_of(m.type).bytes, last = rows.end(m.out);
    const std::size_t size = ggml_tile_workspace(f, m.in);
    auto* const packed = reinterpret_cast<std::byte*>(next_line(workspace.data()));
    for (std::size_t row = rows.first; row < last; row += tile_rows) {
      const std::size_t count = last - row < tile_rows ? last - row : tile_rows;
      repack_ggml(m.type, m.data + row * row_bytes, count, m.in, packed);
      const product_call tile{x, {y.data + row, y.rows, count, y.row_stride, 1}, workspace.subspan(size), {}};
      tile.template values<For>(packed_grid{f, packed, count, m.in});
    }
  }
  [[nodiscard]] static constexpr std::size_t ggml_tile_workspace(const grid_format& f, std::size_t in) noexcept {
    return line + f.layout_of(tile_rows, in).bytes / 4 + 1;
  }

  /// Other blocks: a few rows at a time are decoded to floats in the workspace, where they stay in a cache.
  template<class For>
  void values(const packed_blocks& m) const noexcept {
    const std::size_t last = rows.end(m.out), step = single() ? rows_of_one : dense_rows;
    float* const decoded = next_line(workspace.data());
    For::with_block(m.type, [&]<class Block>(Block) {
      for (std::size_t row = rows.first; row < last; row += step) {
        const std::size_t count = last - row < step ? last - row : step;
        for (std::size_t r = 0; r < count; ++r) decode_blocks<Block>(m, row + r, decoded + r * m.in);
        const product_call tile{
            x, {y.data + row, y.rows, count, y.row_stride, 1}, workspace.subspan(line + step * m.in), {}};
        tile.template values<For>(
            dense_matrix{dense_type::float32, reinterpret_cast<const std::byte*>(decoded), count, m.in});
      }
    });
  }
  static constexpr std::size_t rows_of_one = 4;  ///< that are decoded at once for one vector

  /// Sparse formats whose rows are expanded to floats.
  template<class Packed>
  void expanded(const Packed& m, std::size_t out) const noexcept {
    in_turn([&](std::size_t n, std::size_t count) {
      std::span<const float> vectors[at_once];
      for (std::size_t i = 0; i < count; ++i) vectors[i] = x[n + i];
      const std::span<const std::span<const float>> some(vectors, count);
      if constexpr (expanded_format<Packed>) {
        packed_product(m, some, results(n), y.row_stride, rows);
      } else {  // values are found row by row
        for (std::size_t row = rows.first, last = rows.end(out); row < last; ++row)
          expansion<Packed>::template from<native_code_lanes>(m, row, [&](const auto& places, const auto& stream) {
            multiply_expanded<native_code_lanes>(places, stream, m.in, some, y.at(n, 0), y.row_stride, row, row + 1);
          });
      }
    });
  }
  template<class For, class Values>
  void sparse(const packed_matrix& m, const Values& kept) const noexcept {
    if (m.format.kept == kept_weights::of_bitmap)
      return expanded(packed_bitmap<Values>{m.data, kept, m.out, m.in}, m.out);
    const packed_keep_of<Values> groups{m.format.of_groups, m.data, kept, m.in};
    if constexpr (std::is_same_v<Values, packed_grid>)
      if (segment_of(kept.format, kept.in) != 0)
        return For::codes::with(kept.format, [&](auto bits, auto numbers) {
          row_by_row(m.out, [&](row_range some, std::size_t n) {
            multiply_keep_of<native_code_lanes, bits, decltype(numbers)>(groups, x[n], y.at(n, 0), some.first,
                                                                         some.last);
          });
        });
    expanded(groups, m.out);
  }

  /// A (B x): the products with B are the vectors of A.
  template<class Formats>
  void factors(Formats, const packed_matrix& m) const noexcept {
    const packed_format f = m.format.of_factors();
    const std::size_t r = m.format.rank(m.out, m.in), input = input_workspace<Value>(x.size(), r);
    float* const between = workspace.data();
    const std::span<float> left = workspace.subspan(x.size() * r + input);
    const product_call right{x, {between, x.size(), r, static_cast<std::ptrdiff_t>(r), 1}, left, {}};
    right.run(Formats{}, {f, m.data + f.bytes(m.out, r), r, m.in});
    input_vectors<Value> vectors({between, x.size(), r, static_cast<std::ptrdiff_t>(r), 1},
                                 workspace.subspan(x.size() * r, input));
    product_call{vectors, y, left, rows}.run(Formats{}, {f, m.data, m.out, r});
  }

  template<class For, code_kind Kind>
  void of_kind(const packed_matrix& m) const noexcept {
    if constexpr (Kind != code_kind::block) {  // blocks are never sparse
      if (m.format.kept != kept_weights::all) return sparse<For>(m, values_of<Kind>(m));
    }
    values<For>(values_of<Kind>(m));
  }
  void run(formats<>, const packed_matrix& m) const noexcept {
    if (m.format.rank_percent != 0) return factors(formats<>{}, m);
    switch (m.format.codes) {
      case code_kind::dense: return of_kind<any_format, code_kind::dense>(m);
      case code_kind::grid: return of_kind<any_format, code_kind::grid>(m);
      case code_kind::codebook: return of_kind<any_format, code_kind::codebook>(m);
      case code_kind::ggml: return of_kind<any_format, code_kind::ggml>(m);
      case code_kind::block: return of_kind<any_format, code_kind::block>(m);
    }
  }
  template<packed_format F, packed_format... Others>
  void run(formats<F, Others...>, const packed_matrix& m) const noexcept {
    if (!same_kernel(m.format, F)) {
      if constexpr (sizeof...(Others) == 0)
        __builtin_trap();  // a format that the program did not list
      else
        return run(formats<Others...>{}, m);
    }
    if constexpr (F.rank_percent != 0)
      factors(formats<F.of_factors()>{}, m);
    else if constexpr (F.kept != kept_weights::all)
      sparse<only_format<F>>(m, values_of<F.codes>(m));
    else
      values<only_format<F>>(values_of<F.codes>(m));
  }
};

}  // namespace detail

/// Whether `multiply<Formats>` multiplies matrices of format f.
template<class Formats>
[[nodiscard]] constexpr bool multiplies(const packed_format& f) noexcept {
  return detail::lists(Formats{}, f);
}

/// Floats of workspace that `multiply` needs for a matrix and as many vectors; each thread needs its own.
template<class Value>
[[nodiscard]] constexpr std::size_t multiply_workspace(const packed_matrix& m, std::size_t vectors) noexcept {
  const packed_format& f = m.format;
  if (f.rank_percent != 0) {
    const std::size_t r = f.rank(m.out, m.in);
    const std::size_t a = multiply_workspace<Value>({f.of_factors(), nullptr, m.out, r}, vectors),
                      b = multiply_workspace<Value>({f.of_factors(), nullptr, r, m.in}, vectors);
    return vectors * r + input_workspace<Value>(vectors, r) + (a < b ? b : a);
  }
  if (f.kept != kept_weights::all || f.codes == code_kind::codebook) return 0;
  if (f.codes == code_kind::dense) return vectors == 1 ? 0 : dense_product_workspace(m.in);
  if (f.codes == code_kind::block) {
    const std::size_t rows = vectors == 1 ? detail::product_call<Value, false>::rows_of_one : detail::dense_rows;
    return detail::line + rows * m.in + (vectors == 1 ? 0 : dense_product_workspace(m.in));
  }
  const grid_format grid = f.codes == code_kind::ggml ? grid_of(f.ggml) : f.grid;
  const std::size_t segment = segment_of(grid, m.in);
  std::size_t floats = 0;
  if (f.codes == code_kind::ggml) floats += detail::product_call<Value, false>::ggml_tile_workspace(grid, m.in);
  if (std::is_same_v<Value, std::int8_t> && vectors > 1 && segment != 0)
    floats += packed_product_workspace(m.in, segment);
  return floats;
}

/// Y = X m^T: row n of y becomes m times vector n of x. Every format, from the packed bytes.
///
/// Integers and small floats in groups of 32, 64, 96 or a multiple of 128, and codebooks, are multiplied as `matvec` of
/// prepared vectors states; other groups as `grouped_product` (bytes: x as the floats that its bytes stand for); dense
/// matrices as their `matvec`; sparse ones as packed_product.hpp of their format states, with x as floats. A low-rank
/// matrix is multiplied factor by factor: A (B x). ggml blocks are converted to the layout of grid_format, sixteen rows
/// at a time, for every product; an engine converts them once (repack_ggml). Blocks of a block_type are decoded to floats,
/// a few rows at a time, and multiplied as a dense matrix, with x as floats.
///
/// Formats   a list `formats<...>` that has the matrix's format (multiplies<Formats>), or all formats
/// Shapes    m [out x in], x [n x in], y [n x out], each row contiguous
/// Requires  m.data of format.bytes(out, in) bytes; workspace of multiply_workspace<Value>(m, n) elements; rows.first a
///           multiple of 16. Threads that share x call x.prepare(m) before they start, and write different rows.
/// Errors    none: noexcept, no allocation. A format that is not listed is a violated precondition and traps.
/// Cost      one read of m per 32 vectors; 27 KiB of stack. For each range of rows: B x, if m has low rank; the bits of
///           a bitmap before the first row.
/// @post     every vector's result is the same for any number of vectors, any range of rows and any lane type.
template<class Formats = formats<>, class Value>
void multiply(const packed_matrix& m, input_vectors<Value>& x, strided<float> y, std::span<float> workspace,
              row_range rows = {}) noexcept {
  detail::product_call<Value, false>{x, y, workspace, rows}.run(Formats{}, m);
}

/// y = m x for one vector of floats.
///
/// Requires  as above, with workspace of vector_workspace(m) elements.
template<class Formats = formats<>>
void multiply(const packed_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace,
              row_range rows = {}) noexcept {
  const std::size_t input = input_workspace<float>(1, m.in);
  input_vectors<float> vector({x.data(), 1, m.in, 0, 1}, workspace.first(input));
  detail::product_call<float, true>{vector, {y.data(), 1, m.out, 0, 1}, workspace.subspan(input), rows}.run(Formats{},
                                                                                                            m);
}
[[nodiscard]] constexpr std::size_t vector_workspace(const packed_matrix& m) noexcept {
  return input_workspace<float>(1, m.in) + multiply_workspace<float>(m, 1);
}

namespace detail {

template<class = void>
inline void decode_row_of(const dense_matrix& m, std::size_t row, float* x) noexcept {
  with_dense(m.type, [&](auto type) {
    for (std::size_t i = 0; i < m.in; ++i) x[i] = dense_float<type>(m.data + (row * m.in + i) * bytes_of(type));
  });
}
template<class Packed>
void decode_row_of(const Packed& m, std::size_t row, float* x) noexcept {
  with_stream<native_code_lanes>(m, row, 0, [&](auto values) {
    for (std::size_t c = 0; c < m.in; c += 16) {
      const std::size_t count = m.in - c < 16 ? m.in - c : 16;
      const float* const some = values.take(count);
      for (std::size_t i = 0; i < count; ++i) x[c + i] = some[i];
    }
  });
}
template<class = void>
inline void decode_row_of(const packed_blocks& m, std::size_t row, float* x) noexcept {
  with_block(m.type, [&]<class Block>(Block) { decode_blocks<Block>(m, row, x); });
}
template<code_kind Kind>
void decode_row_of_kind(const packed_matrix& m, std::size_t row, std::span<float> x) noexcept {
  const auto values = values_of<Kind>(m);
  if constexpr (Kind != code_kind::block) {  // blocks are never sparse
    if (m.format.kept == kept_weights::of_groups)
      return kernel::decode_row(packed_keep_of<decltype(values_of<Kind>(m))>{m.format.of_groups, m.data, values, m.in},
                                row, x);
    if (m.format.kept == kept_weights::of_bitmap)
      return kernel::decode_row(packed_bitmap<decltype(values_of<Kind>(m))>{m.data, values, m.out, m.in}, row, x);
  }
  decode_row_of(values, row, x.data());
}

}  // namespace detail

/// Decodes one row: the embedding of a token. A tied embedding is one matrix with two uses, this and `multiply`.
///
/// Requires  row < m.out, x.size() == m.in; not of low rank.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the row; for a bitmap, also of the bits before it.
/// @post     the row that the codec decodes, bit for bit.
template<class = void>
inline void decode_row(const packed_matrix& m, std::size_t row, std::span<float> x) noexcept {
  switch (m.format.codes) {
    case code_kind::dense: return detail::decode_row_of_kind<code_kind::dense>(m, row, x);
    case code_kind::grid: return detail::decode_row_of_kind<code_kind::grid>(m, row, x);
    case code_kind::codebook: return detail::decode_row_of_kind<code_kind::codebook>(m, row, x);
    case code_kind::ggml: return detail::decode_row_of_kind<code_kind::ggml>(m, row, x);
    case code_kind::block: return detail::decode_row_of_kind<code_kind::block>(m, row, x);
  }
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_MULTIPLY
