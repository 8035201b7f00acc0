#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace precis {

/// A non-owning view of an `out x in` matrix with any row and column stride (in elements).
///
/// A model that stores its weights `in x out` (GPT-2's Conv1D) returns `view.transposed()`; nothing is copied.
template<class T>
struct matrix_view {
  T* data = nullptr;
  std::size_t rows = 0;           ///< out
  std::size_t cols = 0;           ///< in
  std::ptrdiff_t row_stride = 0;  ///< elements from (r, c) to (r + 1, c)
  std::ptrdiff_t col_stride = 1;  ///< elements from (r, c) to (r, c + 1)

  constexpr matrix_view() = default;

  constexpr matrix_view(T* first, std::size_t r, std::size_t c, std::ptrdiff_t by_row, std::ptrdiff_t by_col) noexcept
      : data(first), rows(r), cols(c), row_stride(by_row), col_stride(by_col) {}

  /// Row-major and dense. Requires values.size() == r * c.
  constexpr matrix_view(std::span<T> values, std::size_t r, std::size_t c) noexcept
      : matrix_view(values.data(), r, c, static_cast<std::ptrdiff_t>(c), 1) {
    PRECIS_EXPECTS(values.size() == r * c, "needs one value per element");
  }

  /// Converts a mutable view to a constant one.
  template<class U>
    requires(std::same_as<const U, T> && !std::same_as<U, T>)
  constexpr matrix_view(matrix_view<U> v) noexcept  // NOLINT(google-explicit-constructor): adds const only
      : matrix_view(v.data, v.rows, v.cols, v.row_stride, v.col_stride) {}

  [[nodiscard]] constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
    return data[static_cast<std::ptrdiff_t>(r) * row_stride + static_cast<std::ptrdiff_t>(c) * col_stride];
  }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return rows * cols; }
  [[nodiscard]] constexpr bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] constexpr matrix_view transposed() const noexcept { return {data, cols, rows, col_stride, row_stride}; }
  /// Whether each row is contiguous.
  [[nodiscard]] constexpr bool rows_contiguous() const noexcept { return col_stride == 1 || cols <= 1; }
  /// Whether the whole matrix is contiguous and row-major.
  [[nodiscard]] constexpr bool dense() const noexcept {
    return rows_contiguous() && (rows <= 1 || row_stride == static_cast<std::ptrdiff_t>(cols));
  }
  /// Row r. Requires rows_contiguous().
  [[nodiscard]] constexpr std::span<T> row(std::size_t r) const noexcept {
    PRECIS_EXPECTS(rows_contiguous(), "a strided row is not contiguous");
    return {data + static_cast<std::ptrdiff_t>(r) * row_stride, cols};
  }
  /// Rows [first, first + count).
  [[nodiscard]] constexpr matrix_view row_range(std::size_t first, std::size_t count) const noexcept {
    return {data + static_cast<std::ptrdiff_t>(first) * row_stride, count, cols, row_stride, col_stride};
  }
  /// Columns [first, first + count).
  [[nodiscard]] constexpr matrix_view col_range(std::size_t first, std::size_t count) const noexcept {
    return {data + static_cast<std::ptrdiff_t>(first) * col_stride, rows, count, row_stride, col_stride};
  }
};

using weight_view = matrix_view<const float>;
using mutable_weight_view = matrix_view<float>;

/// Copies values. Requires to.size() >= from.size(), and no overlap.
template<class From, class To>
constexpr void copy_span(std::span<From> from, std::span<To> to) noexcept {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = from[i];
}

/// A non-owning view of activations, sequence x token x feature. The features of a token are contiguous.
template<class T>
struct activations_view {
  T* data = nullptr;
  std::size_t sequences = 0;
  std::size_t tokens = 0;
  std::size_t features = 0;
  std::ptrdiff_t sequence_stride = 0;  ///< elements from one sequence to the next
  std::ptrdiff_t token_stride = 0;     ///< elements from one token to the next

  constexpr activations_view() = default;

  constexpr activations_view(T* first, std::size_t s, std::size_t t, std::size_t f, std::ptrdiff_t by_sequence,
                             std::ptrdiff_t by_token) noexcept
      : data(first), sequences(s), tokens(t), features(f), sequence_stride(by_sequence), token_stride(by_token) {}

  /// Dense. Requires values.size() == s * t * f.
  constexpr activations_view(std::span<T> values, std::size_t s, std::size_t t, std::size_t f) noexcept
      : activations_view(values.data(), s, t, f, static_cast<std::ptrdiff_t>(t * f), static_cast<std::ptrdiff_t>(f)) {
    PRECIS_EXPECTS(values.size() == s * t * f, "needs one value per element");
  }

  /// Converts a mutable view to a constant one.
  template<class U>
    requires(std::same_as<const U, T> && !std::same_as<U, T>)
  constexpr activations_view(activations_view<U> v) noexcept  // NOLINT(google-explicit-constructor): adds const only
      : activations_view(v.data, v.sequences, v.tokens, v.features, v.sequence_stride, v.token_stride) {}

  /// The features of one token.
  [[nodiscard]] constexpr std::span<T> operator()(std::size_t s, std::size_t t) const noexcept {
    return {data + static_cast<std::ptrdiff_t>(s) * sequence_stride + static_cast<std::ptrdiff_t>(t) * token_stride,
            features};
  }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return sequences * tokens * features; }
  [[nodiscard]] constexpr std::size_t rows() const noexcept { return sequences * tokens; }
  [[nodiscard]] constexpr bool dense() const noexcept {
    return (tokens <= 1 || token_stride == static_cast<std::ptrdiff_t>(features)) &&
           (sequences <= 1 || sequence_stride == static_cast<std::ptrdiff_t>(tokens * features));
  }
  /// Tokens [first, first + count) of every sequence.
  [[nodiscard]] constexpr activations_view token_range(std::size_t first, std::size_t count) const noexcept {
    return {data + static_cast<std::ptrdiff_t>(first) * token_stride,
            sequences,
            count,
            features,
            sequence_stride,
            token_stride};
  }
  /// Sequences [first, first + count).
  [[nodiscard]] constexpr activations_view sequence_range(std::size_t first, std::size_t count) const noexcept {
    return {data + static_cast<std::ptrdiff_t>(first) * sequence_stride,
            count,
            tokens,
            features,
            sequence_stride,
            token_stride};
  }
  /// All tokens as the rows of one matrix. Requires adjacent sequences, as in dense views.
  [[nodiscard]] constexpr matrix_view<T> as_matrix() const noexcept {
    PRECIS_EXPECTS(sequences <= 1 || sequence_stride == token_stride * static_cast<std::ptrdiff_t>(tokens),
                   "sequences are not adjacent");
    return {data, rows(), features, token_stride, 1};
  }
};

/// An owning matrix: row-major and dense.
template<class T = float>
struct basic_matrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::vector<T> values{};  ///< [rows x cols]

  basic_matrix() = default;
  basic_matrix(std::size_t r, std::size_t c, T fill = T{}) : rows(r), cols(c), values(r * c, fill) {}
  basic_matrix(std::size_t r, std::size_t c, std::vector<T> v) : rows(r), cols(c), values(std::move(v)) {
    PRECIS_EXPECTS(values.size() == r * c, "needs one value per element");
  }

  [[nodiscard]] matrix_view<T> view() noexcept { return {as_writable_span(values), rows, cols}; }
  [[nodiscard]] matrix_view<const T> view() const noexcept { return {as_span(values), rows, cols}; }
  [[nodiscard]] T& operator()(std::size_t r, std::size_t c) noexcept { return values[r * cols + c]; }
  [[nodiscard]] const T& operator()(std::size_t r, std::size_t c) const noexcept { return values[r * cols + c]; }
  [[nodiscard]] std::span<T> row(std::size_t r) noexcept { return {values.data() + r * cols, cols}; }
  [[nodiscard]] std::span<const T> row(std::size_t r) const noexcept { return {values.data() + r * cols, cols}; }
  bool operator==(const basic_matrix&) const = default;
};

using float_matrix = basic_matrix<float>;

/// Owning activations, sequence x token x feature, dense.
struct activations {
  std::size_t sequences = 0;
  std::size_t tokens = 0;
  std::size_t features = 0;
  std::vector<float> values{};  ///< [sequences x tokens x features]

  activations() = default;
  activations(std::size_t s, std::size_t t, std::size_t f) : sequences(s), tokens(t), features(f), values(s * t * f) {}

  [[nodiscard]] activations_view<float> view() noexcept { return view_of(values.data()); }
  [[nodiscard]] activations_view<const float> view() const noexcept { return view_of(values.data()); }
  bool operator==(const activations&) const = default;

 private:
  template<class T>
  [[nodiscard]] activations_view<T> view_of(T* first) const noexcept {
    return {first,
            sequences,
            tokens,
            features,
            static_cast<std::ptrdiff_t>(tokens * features),
            static_cast<std::ptrdiff_t>(features)};
  }
};

}  // namespace precis
