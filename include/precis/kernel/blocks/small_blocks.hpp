#if !defined(PRECIS_KERNEL_BLOCKS_SMALL_BLOCKS)
#define PRECIS_KERNEL_BLOCKS_SMALL_BLOCKS

#include <precis/kernel/blocks/block.hpp>
#include <precis/kernel/ggml_blocks.hpp>

/// The types of ggml_blocks.hpp, 32 weights with one scale, in the form of the other types.
namespace precis::kernel::blocks {

template<ggml_type Type, std::uint32_t Id>
struct small_block {
  static constexpr ggml_type type = Type;
  static constexpr const char* name = Type == ggml_type::q4_0   ? "q4_0"
                                      : Type == ggml_type::q4_1 ? "q4_1"
                                      : Type == ggml_type::q5_0 ? "q5_0"
                                      : Type == ggml_type::q5_1 ? "q5_1"
                                                                : "q8_0";
  static constexpr std::uint32_t ggml_id = Id;
  static constexpr std::size_t weights = ggml_block, bytes = layout_of(Type).bytes;
  static constexpr bool keeps_zero = !layout_of(Type).has_minimum;

  [[nodiscard]] static constexpr bool scales_are_finite(const std::byte* block) noexcept {
    return fits_half(Type, block);
  }
  /// Stores 32 codes of 0 ... 2^bits - 1.
  static constexpr void put_codes(const std::uint8_t* codes, std::byte* block) noexcept {
    constexpr ggml_layout layout = layout_of(Type);
    kernel::detail::put_ggml_codes(codes, layout.bits, block + (layout.has_minimum ? 4 : 2));
  }
  static constexpr void decode(const std::byte* block, float* y) noexcept { decode_ggml(Type, block, y); }
};
using q4_0 = small_block<ggml_type::q4_0, 2>;
using q4_1 = small_block<ggml_type::q4_1, 3>;
using q5_0 = small_block<ggml_type::q5_0, 6>;
using q5_1 = small_block<ggml_type::q5_1, 7>;
using q8_0 = small_block<ggml_type::q8_0, 8>;

}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_SMALL_BLOCKS
