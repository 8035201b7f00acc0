#pragma once

#include <precis/core/error.hpp>
#include <precis/core/view.hpp>

#if __has_include(<xtensor/containers/xadapt.hpp>)
#include <xtensor/containers/xadapt.hpp>  // 0.26 and newer
#else
#include <xtensor/xadapt.hpp>
#endif

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

/// Zero-copy adaptors: views of the same memory. Nothing here copies, allocates or computes.
namespace precis::adapt {

/// An xtensor expression with direct access to memory, in any layout: a container, adaptor or strided view.
template<class E>
concept xtensor_memory = requires(std::remove_reference_t<E>& e) {
  { *e.data() } -> std::same_as<std::remove_pointer_t<decltype(e.data())>&>;
  { e.data_offset() } -> std::convertible_to<std::size_t>;
  { e.dimension() } -> std::convertible_to<std::size_t>;
  { e.strides()[0] } -> std::convertible_to<std::ptrdiff_t>;
  { e.shape()[0] } -> std::convertible_to<std::size_t>;
};

namespace detail {

template<std::size_t Rank, class E>
void check_rank(const E& e, const char* where) {
  if (e.dimension() != Rank)
    refuse({.what = "an expression of " + std::to_string(e.dimension()) + " dimensions",
            .where = where,
            .expected = std::to_string(Rank) + " dimensions"});
}

template<class E>
[[nodiscard]] std::size_t extent(const E& e, std::size_t axis) {
  return static_cast<std::size_t>(e.shape()[axis]);
}
/// xtensor writes 0 as the stride of an axis of one element.
template<class E>
[[nodiscard]] std::ptrdiff_t stride(const E& e, std::size_t axis) {
  return static_cast<std::ptrdiff_t>(e.strides()[axis]);
}

/// A non-owning adaptor with `Rank` axes.
template<class T, std::size_t Rank>
[[nodiscard]] auto xtensor_over(T* data, std::array<std::size_t, Rank> shape,
                                std::array<std::ptrdiff_t, Rank> strides) {
  std::size_t size = 1;  // xtensor expects the number of elements, not the extent of the memory
  for (std::size_t i = 0; i < Rank; ++i) {
    if (strides[i] < 0)
      refuse(
          {.what = "a stride of " + std::to_string(strides[i]), .where = "adapt::xtensor", .expected = "strides >= 0"});
    if (shape[i] <= 1) strides[i] = 0;
    size *= shape[i];
  }
  T* first = data;
  return xt::adapt(static_cast<T*&&>(first), size, xt::no_ownership(), shape, strides);  // an rvalue: kept by value
}

}  // namespace detail

/// A precis view of the memory of an xtensor expression with two axes: rows are out, columns are in.
///
/// Temporaries are rejected at compile time because they may own their memory; give the expression a name first.
///
/// Errors    an expression that does not have two axes.
/// @post     view(r, c) and m(r, c) have the same address for every layout.
template<xtensor_memory E>
[[nodiscard]] auto matrix(E& m) -> matrix_view<std::remove_pointer_t<decltype(m.data())>> {
  detail::check_rank<2>(m, "adapt::matrix");
  return {m.data() + static_cast<std::ptrdiff_t>(m.data_offset()), detail::extent(m, 0), detail::extent(m, 1),
          detail::stride(m, 0), detail::stride(m, 1)};
}
template<xtensor_memory E>
  requires(!std::is_lvalue_reference_v<E>)
void matrix(E&&) = delete;

/// A view of the memory of an xtensor expression with three axes, sequence x token x feature, as activations.
///
/// Errors    an expression that does not have three axes, or whose features are not contiguous (column-major layout).
template<xtensor_memory E>
[[nodiscard]] auto activations(E& x) -> activations_view<std::remove_pointer_t<decltype(x.data())>> {
  detail::check_rank<3>(x, "adapt::activations");
  const std::size_t features = detail::extent(x, 2);
  if (features > 1 && detail::stride(x, 2) != 1)
    refuse({.what = "features " + std::to_string(detail::stride(x, 2)) + " elements apart",
            .where = "adapt::activations",
            .expected = "contiguous features: a row-major layout"});
  return {x.data() + static_cast<std::ptrdiff_t>(x.data_offset()),
          detail::extent(x, 0),
          detail::extent(x, 1),
          features,
          detail::stride(x, 0),
          detail::stride(x, 1)};
}
template<xtensor_memory E>
  requires(!std::is_lvalue_reference_v<E>)
void activations(E&&) = delete;

/// An xtensor expression with two axes over the memory of a precis view.
///
/// Errors    negative strides.
/// @post     expression(r, c) and view(r, c) have the same address.
template<class T>
[[nodiscard]] auto xtensor(matrix_view<T> v) {
  return detail::xtensor_over<T, 2>(v.data, {v.rows, v.cols}, {v.row_stride, v.col_stride});
}

/// An xtensor expression with three axes, sequence x token x feature, over the memory of activations.
///
/// Errors    negative strides.
template<class T>
[[nodiscard]] auto xtensor(activations_view<T> x) {
  return detail::xtensor_over<T, 3>(x.data, {x.sequences, x.tokens, x.features},
                                    {x.sequence_stride, x.token_stride, 1});
}

}  // namespace precis::adapt
