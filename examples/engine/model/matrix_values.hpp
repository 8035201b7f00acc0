#pragma once

#include <precis/core/error.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace engine {

/// Rows of a matrix in the form in which a file holds them.
class stored_rows {
 public:
  stored_rows() = default;
  stored_rows(const stored_rows&) = delete;
  stored_rows& operator=(const stored_rows&) = delete;
  virtual ~stored_rows() = default;

  /// Decodes `count` rows, from `first` on, to consecutive floats. Several threads may call it.
  virtual void decode(std::size_t first, std::size_t count, float* to) const = 0;
};

/// The values of a row-major matrix: floats, or rows that stay in their file, in its type, until they are needed.
///
/// Writing needs floats: the members that are not const require that to_floats() was called if are_stored().
class matrix_values {
 public:
  matrix_values() = default;
  explicit matrix_values(std::size_t n) : floats_(n), size_(n) {}
  matrix_values(std::vector<float> floats)  // NOLINT(google-explicit-constructor): the same values
      : floats_(std::move(floats)), size_(floats_.size()) {}
  /// `size` values, in `rows` rows of the same length.
  matrix_values(std::shared_ptr<const stored_rows> stored, std::size_t rows, std::size_t size)
      : stored_(std::move(stored)), rows_(rows), size_(size), are_stored_(true) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  /// Whether there are no floats of these values in memory.
  [[nodiscard]] bool are_stored() const noexcept { return are_stored_; }

  /// Decodes or copies `count` rows of `cols` values.
  void read(std::size_t first, std::size_t count, std::size_t cols, float* to) const;
  /// Floats of all values. Those of stored rows are decoded to memory of the calling thread, which its next call reuses.
  [[nodiscard]] std::span<const float> floats() const;

  /// Decodes stored rows; from then on values may be changed.
  void to_floats();
  /// Gives the floats of stored rows up again if they have not been changed.
  void release();

  [[nodiscard]] float* data() noexcept {
    PRECIS_EXPECTS(!are_stored_, "floats");
    return floats_.data();
  }
  [[nodiscard]] const float* data() const noexcept {
    PRECIS_EXPECTS(!are_stored_, "floats");
    return floats_.data();
  }
  [[nodiscard]] float* begin() noexcept { return data(); }
  [[nodiscard]] float* end() noexcept { return data() + size_; }
  [[nodiscard]] const float* begin() const noexcept { return data(); }
  [[nodiscard]] const float* end() const noexcept { return data() + size_; }
  [[nodiscard]] float& operator[](std::size_t i) noexcept { return data()[i]; }
  [[nodiscard]] const float& operator[](std::size_t i) const noexcept { return data()[i]; }
  void resize(std::size_t n) {
    *this = matrix_values(std::move(floats_));
    floats_.resize(n);
    size_ = n;
  }

 private:
  std::vector<float> floats_;
  std::shared_ptr<const stored_rows> stored_;
  std::size_t rows_ = 0, size_ = 0;
  bool are_stored_ = false;
};

}  // namespace engine
