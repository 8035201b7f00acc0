#pragma once

#include <precis/core/error.hpp>

#include <array>
#include <cstddef>
#include <cstdio>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>

/// Refusals for want of memory, which say how much was needed, and for what.
namespace engine {

/// "1.2 GB", "35.0 MB"
[[nodiscard]] inline std::string bytes_as_text(std::size_t bytes) {
  std::array<char, 48> text{};
  const auto size = static_cast<double>(bytes);
  std::snprintf(text.data(), text.size(), size < 1e9 ? "%.1f MB" : "%.1f GB", size < 1e9 ? size * 1e-6 : size * 1e-9);
  return text.data();
}

/// Returns work(), which allocates `bytes` for `what`. Errors: memory that the system refuses.
template<class Work>
decltype(auto) with_memory(std::size_t bytes, std::string_view what, Work&& work) {
  const auto refuse = [&] {
    precis::refuse({.what = "needs " + bytes_as_text(bytes) + " for " + std::string(what),
                    .where = "not enough memory",
                    .expected = "more free memory, a smaller model, a shorter context or fewer threads"});
  };
  try {
    return work();
  } catch (const std::bad_alloc&) {
    refuse();
    throw;
  } catch (const std::length_error&) {  // of a vector that no memory can hold
    refuse();
    throw;
  }
}

}  // namespace engine
