#pragma once

#include <precis/kernel/matvec.hpp>

#include <cstddef>
#include <span>

/// The kernels of an engine as a separate library, built once per level of x86-64. The dynamic loader picks the build:
/// docs/put_it_in_your_engine.md.
namespace kernels {

/// The lanes that this build multiplies with.
[[gnu::visibility("default")]] const char* lanes() noexcept;

/// Floats of workspace per vector.
[[gnu::visibility("default")]] std::size_t workspace_of(const precis::kernel::packed_grid& m) noexcept;

/// y = m x, with x quantized to signed bytes.
[[gnu::visibility("default")]] void multiply(const precis::kernel::packed_grid& m, std::span<const float> x,
                                             std::span<float> y, std::span<float> workspace) noexcept;

}  // namespace kernels
