#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace precis {

/// Elements as a span: those of a vector, or `count` from `first` on. Both convert to a span by themselves, but to find
/// that they may, g++ 12 checks the concepts of ranges and iterators, which takes it as long per element type as parsing
/// a header of the standard library. The headers of precis call these functions, so that a program pays only for the
/// types that it uses.
template<class T, class Allocator>
[[nodiscard]] constexpr std::span<const T> as_span(const std::vector<T, Allocator>& v) noexcept {
  return {v.data(), v.size()};
}
template<class T>
[[nodiscard]] constexpr std::span<const T> as_span(const T* first, std::size_t count) noexcept {
  return {first, count};
}

/// The same, to write to.
template<class T, class Allocator>
[[nodiscard]] constexpr std::span<T> as_writable_span(std::vector<T, Allocator>& v) noexcept {
  return {v.data(), v.size()};
}
template<class T>
[[nodiscard]] constexpr std::span<T> as_writable_span(T* first, std::size_t count) noexcept {
  return {first, count};
}

}  // namespace precis
