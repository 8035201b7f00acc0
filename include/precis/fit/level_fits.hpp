// Encoding and the clip search once more, for a level of dispatched_fit.hpp, as kernel/level_kernels.hpp does it.
#if defined(PRECIS_LEVEL_NAMESPACE)

#undef PRECIS_CODEC_CODE_STREAM
#undef PRECIS_CODEC_DENSE_COPY
#undef PRECIS_CODEC_GRID_FORMAT_NAME
#undef PRECIS_CODEC_GRID_GROUP
#undef PRECIS_CODEC_GRID_MATRIX
#undef PRECIS_CODEC_GRID_STORAGE
#undef PRECIS_CODEC_TILE_DECODE
#undef PRECIS_CODEC_TILE_ENCODE
#undef PRECIS_CODEC_TILE_LAYOUT
#undef PRECIS_CODEC_TILE_QUANTIZE
#undef PRECIS_CODEC_TILE_RANGES
#undef PRECIS_CODEC_WEIGHT_CHECKS
#undef PRECIS_FIT_CLIP_SEARCH
#undef PRECIS_FIT_POWER
#undef PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
#undef PRECIS_KERNEL_CODE_PLANES
#undef PRECIS_KERNEL_CODEBOOK_FORMAT
#undef PRECIS_KERNEL_CONSTANTS
#undef PRECIS_KERNEL_DENSE_FORMAT
#undef PRECIS_KERNEL_GGML_BLOCKS
#undef PRECIS_KERNEL_GRID_FORMAT
#undef PRECIS_KERNEL_HALF
#undef PRECIS_KERNEL_IEEE
#undef PRECIS_KERNEL_KEEP_OF_FORMAT
#undef PRECIS_KERNEL_LANES
#undef PRECIS_KERNEL_LANES_AVX2
#undef PRECIS_KERNEL_LANES_AVX512
#undef PRECIS_KERNEL_LANES_NEON
#undef PRECIS_KERNEL_LANES_SCALAR
#undef PRECIS_KERNEL_LANES_SSE
#undef PRECIS_KERNEL_MINIFLOAT
#undef PRECIS_KERNEL_PACKED_FORMAT

#define kernel PRECIS_LEVEL_NAMESPACE::kernel
#define codec PRECIS_LEVEL_NAMESPACE::codec
#define fit PRECIS_LEVEL_NAMESPACE::fit
#include <precis/fit/clip_search.hpp>

namespace precis::fit {

/// What dispatched_fit.hpp takes from a level.
struct level_fits {
  template<class Format>
  static void encode(const Format& f, weight_view weights, std::span<std::byte> packed) {
    codec::encode(std::bit_cast<kernel::grid_format>(f), weights, packed);
  }
  template<class Format>
  static void search(std::size_t steps, double step, double power, const Format& f, weight_view weights,
                     std::span<std::byte> packed) {
    clip_search{steps, step, power}(std::bit_cast<kernel::grid_format>(f), weights, packed);
  }
};

}  // namespace precis::fit

#undef fit
#undef codec
#undef kernel
#define PRECIS_CODEC_CODE_STREAM
#define PRECIS_CODEC_DENSE_COPY
#define PRECIS_CODEC_GRID_FORMAT_NAME
#define PRECIS_CODEC_GRID_GROUP
#define PRECIS_CODEC_GRID_MATRIX
#define PRECIS_CODEC_GRID_STORAGE
#define PRECIS_CODEC_TILE_DECODE
#define PRECIS_CODEC_TILE_ENCODE
#define PRECIS_CODEC_TILE_LAYOUT
#define PRECIS_CODEC_TILE_QUANTIZE
#define PRECIS_CODEC_TILE_RANGES
#define PRECIS_CODEC_WEIGHT_CHECKS
#define PRECIS_FIT_CLIP_SEARCH
#define PRECIS_FIT_POWER
#define PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
#define PRECIS_KERNEL_CODE_PLANES
#define PRECIS_KERNEL_CODEBOOK_FORMAT
#define PRECIS_KERNEL_CONSTANTS
#define PRECIS_KERNEL_DENSE_FORMAT
#define PRECIS_KERNEL_GGML_BLOCKS
#define PRECIS_KERNEL_GRID_FORMAT
#define PRECIS_KERNEL_HALF
#define PRECIS_KERNEL_IEEE
#define PRECIS_KERNEL_KEEP_OF_FORMAT
#define PRECIS_KERNEL_LANES
#define PRECIS_KERNEL_LANES_AVX2
#define PRECIS_KERNEL_LANES_AVX512
#define PRECIS_KERNEL_LANES_NEON
#define PRECIS_KERNEL_LANES_SCALAR
#define PRECIS_KERNEL_LANES_SSE
#define PRECIS_KERNEL_MINIFLOAT
#define PRECIS_KERNEL_PACKED_FORMAT

#endif
