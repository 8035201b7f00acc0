#if !defined(PRECIS_KERNEL_BLOCKS_LEGACY)
#define PRECIS_KERNEL_BLOCKS_LEGACY

#include <precis/kernel/blocks/block.hpp>
#include <precis/kernel/ggml_blocks.hpp>

/// The types of ggml_blocks.hpp, in the form of the other types.
namespace precis::kernel::blocks {

template<ggml_type Type, std::uint32_t Id>
struct legacy {
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
  static constexpr void decode(const std::byte* block, float* y) noexcept { decode_ggml(Type, block, y); }
};
using q4_0 = legacy<ggml_type::q4_0, 2>;
using q4_1 = legacy<ggml_type::q4_1, 3>;
using q5_0 = legacy<ggml_type::q5_0, 6>;
using q5_1 = legacy<ggml_type::q5_1, 7>;
using q8_0 = legacy<ggml_type::q8_0, 8>;

}  // namespace precis::kernel::blocks

#endif  // PRECIS_KERNEL_BLOCKS_LEGACY
