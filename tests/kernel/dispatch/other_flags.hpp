#pragma once

#include <cstddef>
#include <span>

/// A translation unit of the same program that is compiled with other flags: the symmetric 4-bit format in groups of 32.
namespace other_flags {

void multiply(const std::byte* packed, std::size_t out, std::size_t in, std::span<const float> x, std::span<float> y,
              bool bytes);

}  // namespace other_flags
