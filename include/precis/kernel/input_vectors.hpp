#pragma once

#include <precis/kernel/codebook_format.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_format.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace precis::kernel {

namespace detail {

/// Segments are 32, 64, 96 or 128 columns long.
inline constexpr std::size_t segment_lengths = 4;

template<class Value>
[[nodiscard]] constexpr std::size_t activation_workspace(std::size_t in, std::size_t segment) noexcept {
  return std::is_same_v<Value, float> ? float_activation_workspace(in, segment)
                                      : byte_activation_workspace(in, segment);
}

}  // namespace detail

/// Floats of workspace that `input_vectors` of Value needs for vectors of `in` elements.
template<class Value>
[[nodiscard]] constexpr std::size_t input_workspace(std::size_t vectors, std::size_t in) noexcept {
  std::size_t each = 0;
  for (std::size_t i = 1; i <= detail::segment_lengths; ++i)
    each += detail::activation_workspace<Value>(in, i * block_columns);
  if constexpr (!std::is_same_v<Value, float>)
    each += float_activation_workspace(in, codebook_segment) + in;  // for codebooks; for groups without a segment
  return vectors * each;
}

/// The vectors that matrices are multiplied by, prepared once for all matrices that read them: query, key and value, or
/// gate and up projection.
///
///     float         the vectors as they are
///     std::int8_t   integers and small floats are multiplied by the vectors rounded to bytes (as_bytes), several times
///                   faster; other formats by the vectors as they are
///
/// Shapes    x [n x in], each row contiguous
/// Requires  x and the workspace of input_workspace<Value>(n, in) elements outlive this object; bytes: finite x.
/// Errors    none: noexcept, no allocation.
/// Cost      preparation for one segment length: one or two reads of x, the first time that `multiply` needs it.
template<class Value>
class input_vectors {
  static_assert(std::is_same_v<Value, float> || std::is_same_v<Value, std::int8_t>,
                "precis: vectors are multiplied as float or std::int8_t");

 public:
  using activations = std::conditional_t<std::is_same_v<Value, float>, float_activations, byte_activations>;

  input_vectors(strided<const float> x, std::span<float> workspace) noexcept : x_(x), left_(workspace) {}

  [[nodiscard]] std::size_t size() const noexcept { return x_.rows; }
  [[nodiscard]] std::size_t in() const noexcept { return x_.cols; }
  [[nodiscard]] strided<const float> rows() const noexcept { return x_; }
  [[nodiscard]] std::span<const float> operator[](std::size_t i) const noexcept { return {x_.at(i, 0), x_.cols}; }

  /// Prepares what `multiply` needs for this matrix. Call it before several threads multiply rows of the matrix; one
  /// thread needs no call.
  void prepare(const packed_matrix& m) noexcept {
    packed_format f = m.format;
    if (f.rank_percent != 0) return prepare({f.of_factors(), m.data, f.rank(m.out, m.in), m.in});
    if (f.kept != kept_weights::all) return;
    if (f.codes == code_kind::codebook) (void)floats(0, codebook_segment);
    if (f.codes == code_kind::ggml) f.grid = grid_of(f.ggml);
    if (f.codes != code_kind::grid && f.codes != code_kind::ggml) return;
    if (const std::size_t segment = segment_of(f.grid, m.in); segment != 0)
      (void)prepared(0, segment);
    else
      (void)rounded(0);
  }

  /// Vector i prepared as Value, or as floats, for segments of `segment` columns.
  [[nodiscard]] activations prepared(std::size_t i, std::size_t segment) noexcept {
    if constexpr (std::is_same_v<Value, float>)
      return floats(i, segment);
    else
      return bytes(i, segment);
  }
  [[nodiscard]] float_activations floats(std::size_t i, std::size_t segment) noexcept {
    float*& start = floats_[segment / block_columns - 1];
    const std::size_t each = float_activation_workspace(in(), segment);
    if (start == nullptr) {
      start = take(each * size());
      for (std::size_t n = 0; n < size(); ++n) (void)as_floats((*this)[n], segment, {start + n * each, each});
    }
    const float* const sums = start + i * each;
    return {(*this)[i].data(), sums + detail::segments(in(), segment), sums, in(), segment};
  }

  /// Vector i as the floats that its prepared form stands for: itself, or its bytes times their scales.
  [[nodiscard]] std::span<const float> rounded(std::size_t i) noexcept {
    if constexpr (std::is_same_v<Value, float>) {
      return (*this)[i];
    } else {
      if (rounded_ == nullptr) {
        rounded_ = take(in() * size());
        constexpr std::size_t segment = detail::segment_lengths * block_columns;
        for (std::size_t n = 0; n < size(); ++n) {
          const byte_activations x = bytes(n, segment);
          for (std::size_t c = 0; c < in(); ++c)
            rounded_[n * in() + c] = x.scales[c / segment] * static_cast<float>(x.codes[c]);
        }
      }
      return {rounded_ + i * in(), in()};
    }
  }

 private:
  [[nodiscard]] byte_activations bytes(std::size_t i, std::size_t segment) noexcept {
    float*& start = bytes_[segment / block_columns - 1];
    const std::size_t each = byte_activation_workspace(in(), segment), count = detail::segments(in(), segment);
    if (start == nullptr) {
      start = take(each * size());
      for (std::size_t n = 0; n < size(); ++n) (void)as_bytes((*this)[n], segment, {start + n * each, each});
    }
    const float* const scales = start + i * each;
    return {reinterpret_cast<const std::int8_t*>(scales + 2 * count), scales, scales + count, in(), segment};
  }
  [[nodiscard]] float* take(std::size_t count) noexcept {
    float* const taken = left_.data();
    left_ = left_.subspan(count);
    return taken;
  }

  strided<const float> x_;
  std::span<float> left_;
  float* floats_[detail::segment_lengths] = {};
  float* bytes_[detail::segment_lengths] = {};
  float* rounded_ = nullptr;
};

}  // namespace precis::kernel
