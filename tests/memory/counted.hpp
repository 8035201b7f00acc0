#pragma once

#include <cstddef>

/// What this test program has allocated with operator new, in bytes.
namespace counted {

/// The most at one time since `start`, beyond what there was then.
void start() noexcept;
[[nodiscard]] std::size_t most() noexcept;

}  // namespace counted
