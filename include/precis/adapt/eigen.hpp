#pragma once

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>

#include <Eigen/Core>

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

/// Zero-copy adaptors: views of the same memory. Nothing here copies, allocates or computes.
namespace precis::adapt {

namespace detail {
template<class E>
inline constexpr bool owns_memory = std::derived_from<E, Eigen::PlainObjectBase<E>>;
template<class Plain, int Options, class Stride>
inline constexpr bool owns_memory<Eigen::Ref<const Plain, Options, Stride>> = true;  // may hold a copy

/// The Eigen matrix type for a view of T; const if T is const.
template<class T>
using eigen_matrix = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template<class T>
using eigen_plain = std::conditional_t<std::is_const_v<T>, const eigen_matrix<T>, eigen_matrix<T>>;
}  // namespace detail

/// An Eigen expression with direct access to memory: a matrix, array, Map, Ref, block or transpose, but not a sum or
/// product.
template<class E>
concept eigen_memory = std::derived_from<std::remove_cvref_t<E>, Eigen::DenseBase<std::remove_cvref_t<E>>> &&
                       (std::remove_cvref_t<E>::Flags & Eigen::DirectAccessBit) != 0;

/// The Eigen type of a view with any strides.
template<class T>
using eigen_map = Eigen::Map<detail::eigen_plain<T>, Eigen::Unaligned, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
/// The Eigen type of a view with contiguous rows, on which Eigen uses vector instructions.
template<class T>
using eigen_row_map = Eigen::Map<detail::eigen_plain<T>, Eigen::Unaligned, Eigen::OuterStride<Eigen::Dynamic>>;

/// A precis view of the memory of an Eigen expression: rows are out, columns are in. It is const if the expression is.
///
/// Temporaries that own their memory are rejected at compile time; a Map or a block may be a temporary.
///
/// @post     view(r, c) and m(r, c) have the same address for every storage order and stride.
template<eigen_memory E>
  requires(std::is_lvalue_reference_v<E> || !detail::owns_memory<std::remove_cvref_t<E>>)
[[nodiscard]] auto matrix(E&& m) noexcept -> matrix_view<std::remove_pointer_t<decltype(m.data())>> {
  return {m.data(), static_cast<std::size_t>(m.rows()), static_cast<std::size_t>(m.cols()), m.rowStride(),
          m.colStride()};
}
template<eigen_memory E>
  requires(!std::is_lvalue_reference_v<E> && detail::owns_memory<std::remove_cvref_t<E>>)
void matrix(E&&) = delete;  // the view would outlive the matrix

/// A view of a [sequences * tokens x features] Eigen expression as activations, sequence by sequence.
///
/// Errors    a number of rows not divisible by `sequences`; features that are not contiguous (column-major storage).
template<eigen_memory E>
  requires(std::is_lvalue_reference_v<E> || !detail::owns_memory<std::remove_cvref_t<E>>)
[[nodiscard]] auto activations(E&& m, std::size_t sequences)
    -> activations_view<std::remove_pointer_t<decltype(m.data())>> {
  const auto rows = matrix(m);
  if (sequences == 0 || rows.rows % sequences != 0)
    refuse({.what = std::to_string(rows.rows) + " rows in " + std::to_string(sequences) + " sequences",
            .where = "adapt::activations",
            .expected = "the same number of tokens in every sequence"});
  if (!rows.rows_contiguous())
    refuse({.what = "features " + std::to_string(rows.col_stride) + " elements apart",
            .where = "adapt::activations",
            .expected = "contiguous features: a row-major matrix"});
  const std::size_t tokens = rows.rows / sequences;
  return {rows.data,      sequences, tokens, rows.cols, static_cast<std::ptrdiff_t>(tokens) * rows.row_stride,
          rows.row_stride};
}
template<eigen_memory E>
  requires(!std::is_lvalue_reference_v<E> && detail::owns_memory<std::remove_cvref_t<E>>)
void activations(E&&, std::size_t) = delete;  // the view would outlive the matrix

/// An Eigen map of a precis view with any strides.
///
/// @post     map(r, c) and view(r, c) have the same address.
template<class T>
[[nodiscard]] eigen_map<T> eigen(matrix_view<T> v) noexcept {
  return {v.data, static_cast<Eigen::Index>(v.rows), static_cast<Eigen::Index>(v.cols), {v.row_stride, v.col_stride}};
}

/// An Eigen map of a precis view with contiguous rows. Products with it are faster than with a map of any strides.
///
/// Errors    columns that are not adjacent; pass view.transposed() and transpose the result instead.
template<class T>
[[nodiscard]] eigen_row_map<T> eigen_rows(matrix_view<T> v) {
  if (!v.rows_contiguous())
    refuse({.what = "columns " + std::to_string(v.col_stride) + " elements apart",
            .where = "adapt::eigen_rows",
            .expected = "contiguous rows; adapt::eigen accepts any strides"});
  return {v.data, static_cast<Eigen::Index>(v.rows), static_cast<Eigen::Index>(v.cols),
          Eigen::OuterStride<Eigen::Dynamic>(v.row_stride)};
}

/// An Eigen map of all tokens as the rows of one matrix [sequences * tokens x features].
///
/// Errors    sequences that are not adjacent, as in a token range; adapt one sequence_range(s, 1) at a time instead.
template<class T>
[[nodiscard]] eigen_row_map<T> eigen(activations_view<T> x) {
  if (x.sequences > 1 && x.sequence_stride != static_cast<std::ptrdiff_t>(x.tokens) * x.token_stride)
    refuse({.what = "sequences of " + std::to_string(x.tokens) + " tokens that are " +
                    std::to_string(x.sequence_stride) + " elements apart",
            .where = "adapt::eigen",
            .expected = "adjacent sequences; adapt one sequence_range(s, 1) at a time"});
  return eigen_rows(x.as_matrix());
}

}  // namespace precis::adapt
