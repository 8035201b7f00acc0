#pragma once

#include <precis/kernel/dense.hpp>
#include <precis/kernel/half.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

/// Dense matrices for the tests of their products.
namespace packed_tests {

/// The bytes of w in one type, and the values that they represent.
inline std::vector<std::byte> stored(precis::kernel::dense_type type, const std::vector<float>& w,
                                     std::vector<float>& values) {
  using namespace precis::kernel;
  std::vector<std::byte> bytes(w.size() * bytes_of(type));
  values.resize(w.size());
  for (std::size_t i = 0; i < w.size(); ++i) {
    std::uint32_t bits = std::bit_cast<std::uint32_t>(w[i]);
    if (type == dense_type::float16) bits = float_to_half(w[i]);
    if (type == dense_type::bfloat16) bits = float_to_bfloat16(w[i]);
    values[i] = type == dense_type::float32   ? w[i]
                : type == dense_type::float16 ? half_to_float(static_cast<std::uint16_t>(bits))
                                              : bfloat16_to_float(static_cast<std::uint16_t>(bits));
    for (std::size_t b = 0; b < bytes_of(type); ++b)
      bytes[i * bytes_of(type) + b] = static_cast<std::byte>(bits >> (8 * b) & 0xFF);
  }
  return bytes;
}

}  // namespace packed_tests
