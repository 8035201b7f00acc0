#pragma once

#include <engine/model/arena.hpp>
#include <engine/model/crew.hpp>
#include <engine/packed/packed_view.hpp>

#include <precis/core/view.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

/// Matrices that are multiplied in the bytes they are stored in.
namespace engine {

/// What meets the codes of a packed matrix: the activations as they are, or rounded to bytes. Matrices of floats always meet
/// floats.
enum class activation_type { float32, int8 };

/// A matrix `out x in` in the bytes it is stored in: codes, numbers row by row, or either of the weights kept.
class stored_matrix {
 public:
  stored_matrix() = default;

  /// The bytes of a codec of precis/codec, by its name: what packed_view_of takes, or a ggml type, whose blocks are brought into
  /// the layout of the integer formats. Nothing when no kernel multiplies that format.
  ///
  /// Requires  as many bytes as the codec takes for the matrix. They are copied.
  [[nodiscard]] static std::optional<stored_matrix> of(std::string_view codec, std::span<const std::byte> packed,
                                                       std::size_t out, std::size_t in);
  /// Plain floats.
  [[nodiscard]] static stored_matrix of(precis::weight_view weights);

  [[nodiscard]] std::size_t out() const noexcept { return out_; }
  [[nodiscard]] std::size_t in() const noexcept { return in_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// Whether every weight is a finite number. May say no for packed weights that are nearly too large to be one, and does for
  /// codebooks and sparse formats, whose bytes only decoding checks. Cost: of packed matrices, a look at the scales.
  [[nodiscard]] bool surely_finite() const;

  /// One row as floats: a token's embedding. Requires row < out(), values.size() == in().
  void row(std::size_t row, std::span<float> values) const;

 private:
  friend void multiply(const stored_matrix&, class input_rows&, precis::matrix_view<float>, crew&);

  struct release {
    void operator()(std::byte* p) const noexcept { ::operator delete(p, std::align_val_t{64}); }
  };

  stored_matrix(std::size_t out, std::size_t in, std::size_t bytes);

  std::size_t out_ = 0, in_ = 0, bytes_ = 0;
  std::unique_ptr<std::byte[], release> data_;  // from a cache line on
  packed_view view_;                            // of data_
};

/// A few vectors on their way into matrices, made ready once for all that read them.
class input_rows {
 public:
  static constexpr std::size_t most = 32;  ///< what kernel::packed_product unpacks a matrix once for

  /// Requires contiguous rows, at most `most`. The vectors must outlive this.
  input_rows(precis::matrix_view<const float> rows, activation_type type, arena& memory);

  [[nodiscard]] std::size_t size() const noexcept { return rows_.rows; }
  [[nodiscard]] activation_type type() const noexcept { return type_; }
  [[nodiscard]] std::span<const float> operator[](std::size_t i) const noexcept { return rows_.row(i); }
  [[nodiscard]] precis::matrix_view<const float> rows() const noexcept { return rows_; }
  /// The vectors in segments (precis::kernel::segment_of) of 32, 64, 96 or 128.
  [[nodiscard]] std::span<const precis::kernel::float_activations> floats(std::size_t segment);
  [[nodiscard]] std::span<const precis::kernel::byte_activations> bytes(std::size_t segment);

 private:
  template<class Activations>
  using by_segment = std::array<std::vector<Activations>, 4>;

  precis::matrix_view<const float> rows_;
  activation_type type_;
  arena& memory_;
  by_segment<precis::kernel::float_activations> floats_;
  by_segment<precis::kernel::byte_activations> bytes_;
};

/// Row n of y becomes m times vector n of x. Row by row of m the result is that of kernel::matvec, however many vectors and
/// threads there are.
///
/// Shapes    x [n x m.in()], y [n x m.out()], contiguous rows.
/// Cost      m is read once.
void multiply(const stored_matrix& m, input_rows& x, precis::matrix_view<float> y, crew& threads);

}  // namespace engine
