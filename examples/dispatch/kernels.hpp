#pragma once

#include <precis/kernel/matvec.hpp>

#include <cstddef>
#include <span>

/// The kernels of an engine as a library of its own, of which there are several builds, one for each level of x86-64. Which of them
/// runs is the loader's choice: docs/put_it_in_your_engine.md.
namespace kernels {

/// The lanes this build multiplies with.
[[gnu::visibility("default")]] const char* lanes() noexcept;

/// Floats of workspace for a vector.
[[gnu::visibility("default")]] std::size_t workspace_of(const precis::kernel::packed_grid& m) noexcept;

/// y = m x, x brought to signed bytes.
[[gnu::visibility("default")]] void multiply(const precis::kernel::packed_grid& m, std::span<const float> x,
                                             std::span<float> y, std::span<float> workspace) noexcept;

}  // namespace kernels
