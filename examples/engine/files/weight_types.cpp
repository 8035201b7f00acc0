#include <engine/files/safetensors.hpp>

#include <precis/core/error.hpp>
#include <precis/kernel/half.hpp>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

// Conversions between the types of stored weights. Compiled for speed: weights are decoded whenever they are multiplied.

namespace engine {
namespace {

/// The bits of a half-precision number as a float, without branches, so that compilers vectorize it.
[[nodiscard]] std::uint32_t half_bits(std::uint32_t half) noexcept {
  const std::uint32_t magnitude = (half & 0x7FFFu) << 13, sign = (half & 0x8000u) << 16;
  const std::uint32_t normal = magnitude + (112u << 23);
  // A subnormal half is its fraction times 2^-24; the fraction of 2^-14 has that unit.
  const auto tiny = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude + (113u << 23)) - 0x1p-14f);
  const std::uint32_t finite = magnitude < 0x0080'0000u ? tiny : normal;
  const std::uint32_t special = magnitude >= 0x0F80'0000u ? 0x7F80'0000u : 0u;
  const std::uint32_t quiet = magnitude > 0x0F80'0000u ? 0x0040'0000u : 0u;
  return sign | finite | special | quiet;
}

/// Decodes codes of two bytes. The file does not guarantee alignment, so they are copied, a few at a time.
template<class Bits>
void decode_16(const std::byte* from, std::span<float> to, Bits bits) noexcept {
  constexpr std::size_t some = 256;
  std::uint16_t codes[some];
  for (std::size_t i = 0; i < to.size(); i += some) {
    const std::size_t n = std::min(some, to.size() - i);
    std::memcpy(codes, from + 2 * i, 2 * n);
    for (std::size_t j = 0; j < n; ++j) to[i + j] = std::bit_cast<float>(bits(codes[j]));
  }
}

}  // namespace

void decode(dtype type, std::span<const std::byte> bytes, std::span<float> values) {
  PRECIS_EXPECTS(is_weight(type) && bytes.size() == values.size() * size_of(type),
                 "a weight type, and one value per element");
  if (values.empty()) return;
  if (type == dtype::f32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
    return;
  }
  if (type == dtype::f16)
    decode_16(bytes.data(), values, [](std::uint32_t code) { return half_bits(code); });
  else
    decode_16(bytes.data(), values, [](std::uint32_t code) { return code << 16; });
}

void encode(dtype type, std::span<const float> values, std::span<std::byte> bytes) {
  PRECIS_EXPECTS(is_weight(type) && bytes.size() == values.size() * size_of(type),
                 "a weight type, and one value per element");
  if (values.empty()) return;
  if (type == dtype::f32) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return;
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t code =
        type == dtype::f16 ? precis::kernel::float_to_half(values[i]) : precis::kernel::float_to_bfloat16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &code, 2);
  }
}

}  // namespace engine
