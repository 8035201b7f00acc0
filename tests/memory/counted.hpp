#pragma once

#include <cstddef>

/// Bytes that this test program has allocated with operator new.
namespace counted {

/// Peak since `start`, relative to the amount at that time.
void start() noexcept;
[[nodiscard]] std::size_t most() noexcept;

}  // namespace counted
