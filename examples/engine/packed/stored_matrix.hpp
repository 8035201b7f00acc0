#pragma once

#include <engine/model/scratch_arena.hpp>
#include <engine/model/thread_team.hpp>

#include <precis/core/view.hpp>
#include <precis/kernel/input_vectors.hpp>
#include <precis/kernel/packed_format.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

/// Matrices that are multiplied in their stored form, without being decoded to floats.
namespace engine {

/// The type of the activations that a packed matrix is multiplied with: floats, or rounded to bytes. Float matrices are
/// always multiplied with floats.
enum class activation_type { float32, int8 };

/// An `out x in` matrix in its stored form: codes, or row-major floats, of all weights or of the weights kept.
class stored_matrix {
 public:
  stored_matrix() = default;

  /// Copies the bytes of a codec of precis/codec, by its name (kernel::parse_format). ggml's blocks of
  /// one scale and q4_k, q5_k and q6_k are converted to the layout of the integer formats, which decodes to the same bits
  /// (q4_k to q6_k take 1.5 bits per weight more in it); other blocks are kept. Returns nullopt if no kernel multiplies the format.
  ///
  /// Requires  the number of bytes that the codec needs for the matrix.
  [[nodiscard]] static std::optional<stored_matrix> of(std::string_view codec, std::span<const std::byte> packed,
                                                       std::size_t out, std::size_t in);
  /// Copies a matrix of floats.
  [[nodiscard]] static stored_matrix of(precis::weight_view weights);

  [[nodiscard]] std::size_t out() const noexcept { return out_; }
  [[nodiscard]] std::size_t in() const noexcept { return in_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// Whether every weight is known to be finite. Conservative: false for packed weights close to the largest float, and
  /// for codebooks, sparse and low-rank formats, which only decoding checks. Cost: one pass over the scales of a packed matrix.
  [[nodiscard]] bool surely_finite() const;

  /// Decodes one row, such as a token's embedding. Requires row < out(), values.size() == in(); not of low rank.
  void row(std::size_t row, std::span<float> values) const;

 private:
  friend void multiply(const stored_matrix&, class input_rows&, precis::matrix_view<float>, thread_team&);

  struct release {
    void operator()(std::byte* p) const noexcept { ::operator delete(p, std::align_val_t{64}); }
  };

  stored_matrix(std::size_t out, std::size_t in, std::size_t bytes);

  std::size_t out_ = 0, in_ = 0, bytes_ = 0;
  std::unique_ptr<std::byte[], release> data_;  // aligned to a cache line
  precis::kernel::packed_matrix view_;          // view of data_
};

/// Up to `most` input vectors, prepared once for all matrices that multiply them.
class input_rows {
 public:
  static constexpr std::size_t most = 32;  ///< the most vectors for which kernel::multiply unpacks a matrix only once

  /// Requires at most `most` contiguous rows. The vectors must outlive this object.
  input_rows(precis::matrix_view<const float> rows, activation_type type, scratch_arena& memory);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  friend void multiply(const stored_matrix&, input_rows&, precis::matrix_view<float>, thread_team&);

  std::size_t size_;
  std::variant<precis::kernel::input_vectors<float>, precis::kernel::input_vectors<std::int8_t>> vectors_;
};

/// Sets row n of y to m times vector n of x, with the bits of kernel::multiply for any number of vectors and threads.
///
/// Shapes    x [n x m.in()], y [n x m.out()], contiguous rows.
/// Cost      m is read once.
void multiply(const stored_matrix& m, input_rows& x, precis::matrix_view<float> y, thread_team& threads);

}  // namespace engine
