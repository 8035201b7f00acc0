#if !defined(PRECIS_KERNEL_BLOCKS_BLOCK)
#define PRECIS_KERNEL_BLOCKS_BLOCK

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>

/// ggml's block types beyond the five of ggml_blocks.hpp: one struct for each, with
///
///     name      as in `ggml_type_name`, in lower case
///     ggml_id   the number of the type in a GGUF file
///     weights   per block; a row is a whole number of blocks
///     bytes     per block
///     keeps_zero  whether weights of 0 are encoded as exactly 0
///     needs_importance   if ggml encodes the type with importance only
///     scales_are_finite(block)   whether no scale in half precision is infinite or NaN
///     decode(block, y)   writes `weights` floats, bit for bit those of ggml's reference decoder, from any bytes
///
/// All fields are little-endian.
namespace precis::kernel::blocks {

/// Byte i, as a number.
[[nodiscard]] PRECIS_INLINE constexpr unsigned byte_at(const std::byte* bytes, std::size_t i) noexcept {
  return static_cast<unsigned>(bytes[i]);
}
[[nodiscard]] PRECIS_INLINE constexpr unsigned low(unsigned byte) noexcept { return byte & 15u; }
[[nodiscard]] PRECIS_INLINE constexpr unsigned high(unsigned byte) noexcept { return byte >> 4; }
[[nodiscard]] PRECIS_INLINE constexpr float half_at(const std::byte* bytes) noexcept {
  return half_to_float(get_word16(bytes));
}
[[nodiscard]] PRECIS_INLINE constexpr bool is_finite_half(std::uint16_t half) noexcept {
  return (half & 0x7C00u) != 0x7C00u;
}

/// Base of the types whose only scale in half precision is at byte `Scale`.
template<std::size_t Scale>
struct one_half {
  static constexpr std::size_t scale = Scale;

  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return is_finite_half(get_word16(block + scale));
  }
};

}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_BLOCK
