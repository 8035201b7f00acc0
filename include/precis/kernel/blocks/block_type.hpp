#if !defined(PRECIS_KERNEL_BLOCKS_BLOCK_TYPE)
#define PRECIS_KERNEL_BLOCKS_BLOCK_TYPE

#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

/// The block types of this folder as values, for formats that are known at run time. Their structs, which decode them, are
/// in every_block.hpp: a program that only names formats does not compile them.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

enum class block_type : std::uint8_t {
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  iq3_s,
  iq3_xxs,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq1_s,
  iq1_m,
  mxfp4,
  nvfp4,
  tq1_0,
  tq2_0,
  q1_0,
  q2_0
};
inline constexpr std::size_t block_types = 20;

struct block_layout {
  std::string_view name;
  std::uint32_t ggml_id = 0;      ///< the number of the type in a GGUF file
  std::size_t weights = 0;        ///< per block
  std::size_t bytes = 0;          ///< per block
  bool needs_importance = false;  ///< whether ggml encodes the type with importance only
};
/// What the struct of a block type states, as a value.
[[nodiscard]] constexpr block_layout layout_of(block_type type) noexcept {
  constexpr block_layout all[block_types] = {
      {"q2_k", 10, 256, 84},        {"q3_k", 11, 256, 110},        {"q4_k", 12, 256, 144},
      {"q5_k", 13, 256, 176},       {"q6_k", 14, 256, 210},        {"iq4_nl", 20, 32, 18},
      {"iq4_xs", 23, 256, 136},     {"iq3_s", 21, 256, 110},       {"iq3_xxs", 18, 256, 98},
      {"iq2_s", 22, 256, 82},       {"iq2_xs", 17, 256, 74, true}, {"iq2_xxs", 16, 256, 66, true},
      {"iq1_s", 19, 256, 50, true}, {"iq1_m", 29, 256, 56},        {"mxfp4", 39, 32, 17},
      {"nvfp4", 40, 64, 36},        {"tq1_0", 34, 256, 54},        {"tq2_0", 35, 256, 66},
      {"q1_0", 41, 128, 18},        {"q2_0", 42, 64, 18}};
  return all[static_cast<std::size_t>(type)];
}

/// A non-owning view of rows of blocks. Requires `in` a multiple of the block's weights.
struct packed_blocks {
  block_type type = block_type::q4_k;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
