#if !defined(PRECIS_KERNEL_DENSE)
#define PRECIS_KERNEL_DENSE

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/dense_format.hpp>
#include <precis/kernel/fma_chains.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/kernel/packed_grid.hpp>
#include <precis/kernel/prepared_vector.hpp>

#include <cstddef>
#include <span>
#include <type_traits>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// A non-owning view of uncompressed floats: row-major, contiguous, little-endian, of any alignment.
struct dense_matrix {
  dense_type type = dense_type::float32;
  const std::byte* data = nullptr;
  std::size_t out = 0;
  std::size_t in = 0;
};

namespace detail {

template<class Code, dense_type Type>
[[nodiscard]] PRECIS_INLINE typename Code::floats::vector load_dense(const std::byte* at) noexcept {
  if constexpr (Type == dense_type::float32)
    return Code::load_floats(at);
  else if constexpr (Type == dense_type::float16)
    return Code::load_halves(at);
  else
    return Code::load_bfloat16s(at);
}

/// Loads one element as a float.
template<dense_type Type>
[[nodiscard]] inline float dense_float(const std::byte* at) noexcept {
  if constexpr (Type == dense_type::float32)
    return kernel::bit_cast<float>(get_word32(at));
  else if constexpr (Type == dense_type::float16)
    return half_to_float(get_word16(at));
  else
    return bfloat16_to_float(get_word16(at));
}

/// Calls body(constant type) for the type of a dense matrix.
template<class F>
void with_dense(dense_type type, F&& body) noexcept {
  switch (type) {
    case dense_type::float32: return body(std::integral_constant<dense_type, dense_type::float32>{});
    case dense_type::float16: return body(std::integral_constant<dense_type, dense_type::float16>{});
    case dense_type::bfloat16: return body(std::integral_constant<dense_type, dense_type::bfloat16>{});
  }
}

/// Multiplies `Rows` rows at a time, so that as many independent chains of sums are in flight.
template<class Code, dense_type Type, std::size_t Rows>
void multiply_dense_rows(const std::byte* rows, std::size_t in, const float* x, float* y) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t width = lanes::width, parts = 16 / width, each = bytes_of(Type);
  vector sum[Rows][parts];
  for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[r][p] = lanes::zero(); });
  });
  const auto add_sixteen = [&](const std::byte* w, std::size_t stride, const float* v) PRECIS_INLINE_LAMBDA {
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const vector v_part = lanes::held(lanes::load(v + p * width));
      for_constants<Rows>([&](auto r) PRECIS_INLINE_LAMBDA {
        sum[r][p] = lanes::fma(load_dense<Code, Type>(w + r * stride + p * width * each), v_part, sum[r][p]);
      });
    });
  };
  std::size_t c = 0;
  for (; c + 16 <= in; c += 16) add_sixteen(rows + c * each, in * each, x + c);
  if (c < in) {  // padded with zeros
    std::byte rest[Rows * 16 * each] = {};
    float x_rest[16] = {};
    for (std::size_t r = 0; r < Rows; ++r)
      for (std::size_t i = 0; i < (in - c) * each; ++i) rest[r * 16 * each + i] = rows[(r * in + c) * each + i];
    for (std::size_t i = 0; i < in - c; ++i) x_rest[i] = x[c + i];
    add_sixteen(rest, 16 * each, x_rest);
  }
  for (std::size_t r = 0; r < Rows; ++r) {
    float lane[16];
    for (std::size_t p = 0; p < parts; ++p) lanes::store(lane + p * width, sum[r][p]);
    y[r] = tree_sum(lane);
  }
}

/// Converts `columns` elements of a row to float and pads them with zeros to a multiple of sixteen.
template<class Code, dense_type Type>
void widen(const std::byte* from, std::size_t columns, float* to) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t each = bytes_of(Type);
  std::size_t c = 0;
  if constexpr (Type == dense_type::float16 && requires { Code::widen_halves(from, to); })
    for (; c + 32 <= columns; c += 32) Code::widen_halves(from + c * each, to + c);
  for (; c + lanes::width <= columns; c += lanes::width) lanes::store(to + c, load_dense<Code, Type>(from + c * each));
  if (c == columns) return;
  std::byte rest[16 * 4] = {};
  for (std::size_t i = 0; i < (columns - c) * each; ++i) rest[i] = from[c * each + i];
  for (std::size_t i = 0; c % 16 != 0 || i == 0; i += lanes::width, c += lanes::width)
    lanes::store(to + c, load_dense<Code, Type>(rest + i * each));
}

/// On lanes that have no instruction for fma: a few rows at a time, which share the columns of x that are converted.
template<class Code, dense_type Type>
void multiply_dense_chains(const dense_matrix& m, const float* x, float* y, std::size_t first,
                           std::size_t last) noexcept {
  using lanes = typename Code::floats;
  constexpr std::size_t most = 16, piece = 128, each = bytes_of(Type);
  constexpr auto check = Type == dense_type::float32   ? lanes::ties_and_tiny
                         : Type == dense_type::float16 ? lanes::ties
                                                       : lanes::corrected;
  for (std::size_t row = first; row < last; row += most) {
    const std::size_t rows = last - row < most ? last - row : most;
    alignas(64) float sums[most][16] = {};
    for (std::size_t c = 0; c < m.in; c += piece) {
      const std::size_t columns = m.in - c < piece ? m.in - c : piece, steps = (columns + 15) / 16;
      alignas(16) double of_x[piece];
      lanes::store_doubles(x + c, columns / 2 * 2, of_x);
      if (columns % 2 != 0) of_x[columns - 1] = static_cast<double>(x[c + columns - 1]);
      for (std::size_t i = columns; i < steps * 16; ++i) of_x[i] = 0;
      for (std::size_t r = 0; r < rows; ++r) {
        alignas(16) float weights[piece];
        const std::byte* const from = m.data + ((row + r) * m.in + c) * each;
        for (std::size_t i = 0; i < columns * each; i += 64) __builtin_prefetch(from + 2 * piece * each + i);
        const bool in_place = Type == dense_type::float32 && columns % 16 == 0;
        if (!in_place) widen<Code, Type>(from, columns, weights);
        add_products<lanes, check, false>(in_place ? reinterpret_cast<const float*>(from) : weights, 16, of_x, 16, 4,
                                          steps, sums[r], 4);
      }
    }
    for (std::size_t r = 0; r < rows; ++r) y[row + r] = tree_sum(sums[r]);
  }
}

template<class Code, dense_type Type>
void multiply_dense(const dense_matrix& m, const float* x, float* y, std::size_t first, std::size_t last) noexcept {
  if constexpr (has_chains<typename Code::floats>) return multiply_dense_chains<Code, Type>(m, x, y, first, last);
  constexpr std::size_t at_once = Code::rows == 1 ? 1 : 4;
  const std::size_t row_bytes = m.in * bytes_of(Type);
  std::size_t r = first;
  for (; r + at_once <= last; r += at_once)
    multiply_dense_rows<Code, Type, at_once>(m.data + r * row_bytes, m.in, x, y + r);
  for (; r < last; ++r) multiply_dense_rows<Code, Type, 1>(m.data + r * row_bytes, m.in, x, y + r);
}

}  // namespace detail

/// y = m x. For every row, in float:
///
///     y[r] = tree(lane), lane[l] = fma(m[r][c], x[c], lane[l]) over the columns c with c mod 16 = l, in order from 0
///     tree: lanes l and l + 8 are added, then l and l + 4, l + 2, l + 1
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  m.data of the size that type and shape imply; y of m.out elements (those outside `rows` are not written).
///           `rows` may start and end at any row.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of the rows.
/// @post     every lane type gives the same bits.
/// @post     any range of rows gives the same bits as the whole.
template<class Code = native_code_lanes>
void matvec(const dense_matrix& m, std::span<const float> x, std::span<float> y, row_range rows = {}) noexcept {
  detail::with_dense(m.type, [&](auto type) {
    detail::multiply_dense<Code, type>(m, x.data(), y.data(), rows.first, rows.end(m.out));
  });
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_DENSE
