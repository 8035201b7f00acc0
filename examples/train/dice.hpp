#pragma once

#include <precis/core/random.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace train {

/// Consecutive draws from the random stream (seed, purpose, index).
class dice {
 public:
  dice(std::uint64_t seed, std::string_view purpose, std::uint64_t index = 0) noexcept
      : stream_(seed, precis::mix64(precis::purpose(purpose) + index)) {}

  /// Uniform in [0, n). Requires n > 0.
  [[nodiscard]] std::size_t below(std::size_t n) noexcept {
    return static_cast<std::size_t>(stream_.below(next_++, n));
  }
  /// True with a probability of `percent` / 100.
  [[nodiscard]] bool chance(std::size_t percent) noexcept { return below(100) < percent; }
  template<class T>
  [[nodiscard]] const T& pick(std::span<const T> from) noexcept {
    return from[below(from.size())];
  }
  template<class T>
  void shuffle(std::span<T> values) noexcept {
    for (std::size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  precis::random_stream stream_;
  std::uint64_t next_ = 0;
};

}  // namespace train
