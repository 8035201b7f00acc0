// The kernels once more, for a level of dispatch.hpp: their include guards are removed, and their namespace becomes one of the
// level.
#if defined(PRECIS_LEVEL_NAMESPACE)

#undef PRECIS_KERNEL_BITMAP_PRODUCT
#undef PRECIS_KERNEL_BLOCKS_BLOCK
#undef PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
#undef PRECIS_KERNEL_BLOCKS_EVERY_BLOCK
#undef PRECIS_KERNEL_BLOCKS_FP4_BLOCKS
#undef PRECIS_KERNEL_BLOCKS_IQ4_BLOCKS
#undef PRECIS_KERNEL_BLOCKS_K_BLOCKS
#undef PRECIS_KERNEL_BLOCKS_LATTICE_BLOCKS
#undef PRECIS_KERNEL_BLOCKS_LATTICE_TABLES
#undef PRECIS_KERNEL_BLOCKS_TERNARY_BLOCKS
#undef PRECIS_KERNEL_CODE_PLANES
#undef PRECIS_KERNEL_CODE_VALUES
#undef PRECIS_KERNEL_CODEBOOK_FORMAT
#undef PRECIS_KERNEL_CODEBOOK_PRODUCT
#undef PRECIS_KERNEL_CONSTANTS
#undef PRECIS_KERNEL_DENSE
#undef PRECIS_KERNEL_DENSE_FORMAT
#undef PRECIS_KERNEL_DENSE_PRODUCT
#undef PRECIS_KERNEL_EXPANDED_PRODUCT
#undef PRECIS_KERNEL_FLOAT_PRODUCT
#undef PRECIS_KERNEL_FMA_CHAINS
#undef PRECIS_KERNEL_GGML_BLOCKS
#undef PRECIS_KERNEL_GRID_FORMAT
#undef PRECIS_KERNEL_GROUPED_PRODUCT
#undef PRECIS_KERNEL_HALF
#undef PRECIS_KERNEL_IEEE
#undef PRECIS_KERNEL_INPUT_VECTORS
#undef PRECIS_KERNEL_KEEP_OF_FORMAT
#undef PRECIS_KERNEL_KEEP_OF_PRODUCT
#undef PRECIS_KERNEL_LANES
#undef PRECIS_KERNEL_LANES_AVX2
#undef PRECIS_KERNEL_LANES_AVX512
#undef PRECIS_KERNEL_LANES_NEON
#undef PRECIS_KERNEL_LANES_SCALAR
#undef PRECIS_KERNEL_LANES_SSE
#undef PRECIS_KERNEL_MATVEC
#undef PRECIS_KERNEL_MINIFLOAT
#undef PRECIS_KERNEL_MULTIPLY
#undef PRECIS_KERNEL_PACKED_FORMAT
#undef PRECIS_KERNEL_PACKED_GRID
#undef PRECIS_KERNEL_PACKED_PRODUCT
#undef PRECIS_KERNEL_PREPARED_VECTOR
#undef PRECIS_KERNEL_SEGMENT_RUN

#define kernel PRECIS_LEVEL_NAMESPACE::kernel
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/multiply.hpp>

namespace precis::kernel {

/// What dispatch.hpp takes from a level.
struct level_kernels {
  using format = packed_format;
  using matrix = packed_matrix;
  using range = row_range;
  template<format... F>
  using list = formats<F...>;
  template<class Value>
  using vectors = input_vectors<Value>;
  template<class T>
  using view = strided<T>;

  template<class Value>
  [[nodiscard]] static std::size_t input_workspace(std::size_t count, std::size_t in) noexcept {
    return kernel::input_workspace<Value>(count, in);
  }
  template<class Value>
  [[nodiscard]] static std::size_t multiply_workspace(const matrix& m, std::size_t count) noexcept {
    return kernel::multiply_workspace<Value>(m, count);
  }
  template<class Formats, class Value>
  static void multiply(const matrix& m, vectors<Value>& x, view<float> y, std::span<float> workspace,
                       range rows) noexcept {
    kernel::multiply<Formats>(m, x, y, workspace, rows);
  }
  template<class Formats>
  static void multiply(const matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace,
                       range rows) noexcept {
    kernel::multiply<Formats>(m, x, y, workspace, rows);
  }
  template<class = void>  // a template: compiled only where it is called
  static void decode_row(const matrix& m, std::size_t row, std::span<float> x) noexcept {
    kernel::decode_row(m, row, x);
  }
  template<class = void>
  static void product_onto(view<const float> start, view<const float> a, view<const float> b, view<float> c,
                           std::span<float> workspace) noexcept {
    kernel::product_onto(start, a, b, c, workspace);
  }
};

}  // namespace precis::kernel

#undef kernel
#define PRECIS_KERNEL_BITMAP_PRODUCT
#define PRECIS_KERNEL_BLOCKS_BLOCK
#define PRECIS_KERNEL_BLOCKS_BLOCK_TYPE
#define PRECIS_KERNEL_BLOCKS_EVERY_BLOCK
#define PRECIS_KERNEL_BLOCKS_FP4_BLOCKS
#define PRECIS_KERNEL_BLOCKS_IQ4_BLOCKS
#define PRECIS_KERNEL_BLOCKS_K_BLOCKS
#define PRECIS_KERNEL_BLOCKS_LATTICE_BLOCKS
#define PRECIS_KERNEL_BLOCKS_LATTICE_TABLES
#define PRECIS_KERNEL_BLOCKS_TERNARY_BLOCKS
#define PRECIS_KERNEL_CODE_PLANES
#define PRECIS_KERNEL_CODE_VALUES
#define PRECIS_KERNEL_CODEBOOK_FORMAT
#define PRECIS_KERNEL_CODEBOOK_PRODUCT
#define PRECIS_KERNEL_CONSTANTS
#define PRECIS_KERNEL_DENSE
#define PRECIS_KERNEL_DENSE_FORMAT
#define PRECIS_KERNEL_DENSE_PRODUCT
#define PRECIS_KERNEL_EXPANDED_PRODUCT
#define PRECIS_KERNEL_FLOAT_PRODUCT
#define PRECIS_KERNEL_FMA_CHAINS
#define PRECIS_KERNEL_GGML_BLOCKS
#define PRECIS_KERNEL_GRID_FORMAT
#define PRECIS_KERNEL_GROUPED_PRODUCT
#define PRECIS_KERNEL_HALF
#define PRECIS_KERNEL_IEEE
#define PRECIS_KERNEL_INPUT_VECTORS
#define PRECIS_KERNEL_KEEP_OF_FORMAT
#define PRECIS_KERNEL_KEEP_OF_PRODUCT
#define PRECIS_KERNEL_LANES
#define PRECIS_KERNEL_LANES_AVX2
#define PRECIS_KERNEL_LANES_AVX512
#define PRECIS_KERNEL_LANES_NEON
#define PRECIS_KERNEL_LANES_SCALAR
#define PRECIS_KERNEL_LANES_SSE
#define PRECIS_KERNEL_MATVEC
#define PRECIS_KERNEL_MINIFLOAT
#define PRECIS_KERNEL_MULTIPLY
#define PRECIS_KERNEL_PACKED_FORMAT
#define PRECIS_KERNEL_PACKED_GRID
#define PRECIS_KERNEL_PACKED_PRODUCT
#define PRECIS_KERNEL_PREPARED_VECTOR
#define PRECIS_KERNEL_SEGMENT_RUN

#endif
