// The kernels once more, for a level of dispatch.hpp, which defines
//
//     PRECIS_LEVEL_NAMESPACE   the namespace of precis that they are declared in
//     PRECIS_LEVEL             the instructions (instructions.hpp); undefined: those of the compiler's flags
//
// Every function is compiled for these instructions, and all names are new, types included. So no call can find the
// function of another level, and the linker has no two copies to choose from.
#if defined(PRECIS_LEVEL_NAMESPACE)

#if !defined(PRECIS_LEVEL)
#define PRECIS_LEVEL_INSTRUCTIONS ""
#elif PRECIS_LEVEL == 1
#define PRECIS_LEVEL_INSTRUCTIONS "ssse3,sse4.1,sse4.2,popcnt"
#elif PRECIS_LEVEL == 2
#define PRECIS_LEVEL_INSTRUCTIONS "avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 3
#define PRECIS_LEVEL_INSTRUCTIONS "avx2,fma,f16c,bmi,bmi2,popcnt,avxvnni"
#elif PRECIS_LEVEL == 4
#define PRECIS_LEVEL_INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 5
#define PRECIS_LEVEL_INSTRUCTIONS "avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx512vnni,avx2,fma,f16c,bmi,bmi2,popcnt"
#elif PRECIS_LEVEL == 6 && defined(__clang__)
#define PRECIS_LEVEL_INSTRUCTIONS "dotprod"
#elif PRECIS_LEVEL == 6
#define PRECIS_LEVEL_INSTRUCTIONS "arch=armv8.2-a+dotprod"
#endif

#undef PRECIS_TARGET
#if !defined(PRECIS_LEVEL)
#define PRECIS_TARGET
#else
#define PRECIS_TARGET __attribute__((target(PRECIS_LEVEL_INSTRUCTIONS)))
#define PRECIS_LEVEL_PRAGMA(text) _Pragma(#text)
#define PRECIS_LEVEL_TARGET(names) PRECIS_LEVEL_PRAGMA(GCC target(names))
#if defined(__clang__)
#pragma clang attribute push(PRECIS_TARGET, apply_to = function)
#else
#pragma GCC push_options
PRECIS_LEVEL_TARGET(PRECIS_LEVEL_INSTRUCTIONS)
#endif
#endif

#undef PRECIS_KERNEL_BITMAP_PRODUCT
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
#undef PRECIS_KERNEL_GGML_BLOCKS
#undef PRECIS_KERNEL_GRID_FORMAT
#undef PRECIS_KERNEL_GROUPED_PRODUCT
#undef PRECIS_KERNEL_HALF
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
#define PRECIS_KERNEL_GGML_BLOCKS
#define PRECIS_KERNEL_GRID_FORMAT
#define PRECIS_KERNEL_GROUPED_PRODUCT
#define PRECIS_KERNEL_HALF
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
#if defined(PRECIS_LEVEL)
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#undef PRECIS_LEVEL_PRAGMA
#undef PRECIS_LEVEL_TARGET
#undef PRECIS_LEVEL
#endif
#undef PRECIS_LEVEL_INSTRUCTIONS
#undef PRECIS_LEVEL_NAMESPACE
#undef PRECIS_TARGET
#define PRECIS_TARGET

#endif
