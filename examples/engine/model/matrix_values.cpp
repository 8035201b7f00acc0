#include <engine/model/matrix_values.hpp>

#include <engine/files/memory.hpp>

#include <algorithm>
#include <cstring>

namespace engine {
namespace {

/// Values that are decoded at a time to compare them.
constexpr std::size_t values_at_a_time = std::size_t{1} << 16;

}  // namespace

void matrix_values::read(std::size_t first, std::size_t count, std::size_t cols, float* to) const {
  if (are_stored_)
    stored_->decode(first, count, to);
  else
    std::copy_n(floats_.data() + first * cols, count * cols, to);
}

std::span<const float> matrix_values::floats() const {
  if (!are_stored_) return floats_;
  struct memory {
    std::unique_ptr<float[]> values;
    std::size_t size = 0;
  };
  thread_local memory of_thread;
  if (of_thread.size < size_ || of_thread.size / 4 > size_) {
    of_thread = {};
    of_thread.values = with_memory(size_ * sizeof(float), "one matrix as floats",
                                   [&] { return std::make_unique_for_overwrite<float[]>(size_); });
    of_thread.size = size_;
  }
  stored_->decode(0, rows_, of_thread.values.get());
  return {of_thread.values.get(), size_};
}

void matrix_values::to_floats() {
  if (!are_stored_) return;
  floats_ = with_memory(size_ * sizeof(float), "one matrix as floats", [&] { return std::vector<float>(size_); });
  stored_->decode(0, rows_, floats_.data());
  are_stored_ = false;
}

void matrix_values::release() {
  if (are_stored_ || stored_ == nullptr || rows_ == 0) return;
  const std::size_t cols = size_ / rows_,
                    step = std::max<std::size_t>(1, values_at_a_time / std::max<std::size_t>(cols, 1));
  std::vector<float> original(step * cols);
  for (std::size_t r = 0; r < rows_; r += step) {
    const std::size_t n = std::min(step, rows_ - r);
    stored_->decode(r, n, original.data());
    if (std::memcmp(original.data(), floats_.data() + r * cols, n * cols * sizeof(float)) != 0) return;
  }
  floats_ = {};
  are_stored_ = true;
}

}  // namespace engine
