#pragma once

#include <precis/core/view.hpp>

#include <cstddef>

namespace engine {

/// A number of elements as a stride.
[[nodiscard]] constexpr std::ptrdiff_t stride_of(std::size_t n) noexcept { return static_cast<std::ptrdiff_t>(n); }

/// Rows one after the other.
template<class T>
[[nodiscard]] constexpr precis::matrix_view<T> dense_rows(T* p, std::size_t rows, std::size_t cols) noexcept {
  return {p, rows, cols, stride_of(cols), 1};
}

}  // namespace engine
