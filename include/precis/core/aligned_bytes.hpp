#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace precis {

/// Allocates memory that starts at a cache line, where kernels read packed blocks fastest.
template<class T>
struct line_allocator {
  using value_type = T;
  static constexpr std::align_val_t line{64};

  line_allocator() = default;
  template<class U>
  constexpr line_allocator(const line_allocator<U>&) noexcept {}  // NOLINT(google-explicit-constructor): required

  [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, line); }
  bool operator==(const line_allocator&) const = default;
};

/// Packed bytes, from a cache line on.
using aligned_bytes = std::vector<std::byte, line_allocator<std::byte>>;

}  // namespace precis
