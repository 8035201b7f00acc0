#if !defined(PRECIS_KERNEL_PREPARED_VECTOR)
#define PRECIS_KERNEL_PREPARED_VECTOR

#include <precis/kernel/constants.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

/// Prepares an input vector for multiplication by packed matrices: once, for all matrices that read it.
namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// The segment of a format: the number of columns whose products are summed before a scale is applied, which is the
/// group, but at most 128. 0 if groups end inside segments: `grouped_product` multiplies those formats.
[[nodiscard]] constexpr std::size_t segment_of(const grid_format& f, std::size_t in) noexcept {
  constexpr std::size_t longest = 128;
  if (f.group == per_tensor || f.group >= in) return longest;
  if (f.group % longest == 0) return longest;
  return f.group < longest && f.group % block_columns == 0 ? f.group : 0;
}

namespace detail {

[[nodiscard]] constexpr std::size_t segments(std::size_t in, std::size_t segment) noexcept {
  return in / segment + (in % segment != 0);
}
[[nodiscard]] constexpr std::size_t whole_blocks(std::size_t in) noexcept {
  return (in + block_columns - 1) / block_columns * block_columns;
}

/// The sum of sixteen lanes: lanes l and l + 8 are added, then l and l + 4, l + 2, l + 1.
[[nodiscard]] inline float tree_sum(float (&lane)[16]) noexcept {
  for (std::size_t half = 8; half > 0; half /= 2)
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  return lane[0];
}

}  // namespace detail

/// A prepared vector of floats: codes are multiplied by floats.
struct float_activations {
  const float* values = nullptr;       ///< [in]
  const float* last_values = nullptr;  ///< the last segment, padded with zeros to whole blocks
  const float* sums = nullptr;         ///< per segment
  std::size_t in = 0;
  std::size_t segment = 0;
};

/// A prepared vector of quantized activations: signed bytes with one scale per segment. Codes are multiplied by
/// integers, exactly inside a segment.
struct byte_activations {
  const std::int8_t* codes = nullptr;  ///< [in, padded with zeros to whole blocks], -127 ... 127
  const float* scales = nullptr;       ///< per segment: value = scale * code
  const float* sums = nullptr;         ///< per segment: the sum of its codes
  std::size_t in = 0;
  std::size_t segment = 0;
};

/// Floats of workspace that `as_floats` and `as_bytes` need.
[[nodiscard]] constexpr std::size_t float_activation_workspace(std::size_t in, std::size_t segment) noexcept {
  return detail::segments(in, segment) + segment;
}
[[nodiscard]] constexpr std::size_t byte_activation_workspace(std::size_t in, std::size_t segment) noexcept {
  return detail::whole_blocks(in) / 4 + 2 * detail::segments(in, segment);
}

/// Prepares x as floats: computes the sum of each segment. The result is a view of x and of the workspace.
///
///     sums[s] = tree(lane), lane[l] = the sum of x[c] over the columns c of the segment with c mod 16 = l, in order
///     from 0; columns beyond the last count as 0;  tree: lanes l and l + 8 are added, then l and l + 4, l + 2, l + 1
///
/// Requires  segment a positive multiple of 32; workspace of float_activation_workspace elements; x outlives the
///           result.
/// Errors    none: noexcept, no allocation.
/// Cost      one read of x.
template<class Lanes = native_lanes>
[[nodiscard]] float_activations as_floats(std::span<const float> x, std::size_t segment,
                                          std::span<float> workspace) noexcept {
  using vector = typename Lanes::vector;
  constexpr std::size_t width = Lanes::width, parts = 16 / width;
  const std::size_t count = detail::segments(x.size(), segment);
  float* const sums = workspace.data();
  float* const last = sums + count;
  const std::size_t rest = count == 0 ? 0 : x.size() - (count - 1) * segment;
  for (std::size_t c = 0; c < segment; ++c) last[c] = c < rest ? x[x.size() - rest + c] : 0.f;
  for (std::size_t s = 0; s < count; ++s) {
    const float* const from = s + 1 < count ? x.data() + s * segment : last;
    float lane[16];
    for (std::size_t p = 0; p < parts; ++p) {
      vector sum = Lanes::zero();
      for (std::size_t c = 0; c < segment; c += 16) sum = Lanes::add(sum, Lanes::load(from + c + p * width));
      Lanes::store(lane + p * width, sum);
    }
    sums[s] = detail::tree_sum(lane);
  }
  return {x.data(), last, sums, x.size(), segment};
}

/// Quantizes the segments of x to signed bytes.
///
///     scale = max|x| / 127, code = rne(x * (127 / max|x|)), where the product is rounded once, to an integer;
///     a segment with max|x| < 1e-30 counts as zero: scale 0, codes 0
///
/// Requires  finite x; segment a positive multiple of 32; workspace of byte_activation_workspace elements.
/// Errors    none: noexcept, no allocation.
/// Cost      two reads of x, which usually fits the first-level cache.
/// @post     |x - scale * code| <= scale / 2, up to rounding.
/// @post     every lane type gives the same bits.
template<class Code = native_code_lanes>
[[nodiscard]] byte_activations as_bytes(std::span<const float> x, std::size_t segment,
                                        std::span<float> workspace) noexcept {
  using lanes = typename Code::floats;
  using vector = typename lanes::vector;
  constexpr std::size_t width = lanes::width;
  constexpr float magic = 0x1.8p23f;  // adding it moves the nearest integer to the low bits
  constexpr std::size_t parts = block_columns / width > 8 ? 8 : block_columns / width;  // vectors at a time
  const std::size_t count = detail::segments(x.size(), segment), rest = x.size() % block_columns;
  float* const scales = workspace.data();
  float* const sums = scales + count;
  auto* const codes = reinterpret_cast<std::int8_t*>(sums + count);
  float tail[block_columns];
  for (std::size_t c = 0; c < block_columns; ++c) tail[c] = c < rest ? x[x.size() - rest + c] : 0.f;

  // Calls body(column, address of `parts` vectors) for the columns of segment s; columns beyond the last are zeros.
  const auto each = [&](std::size_t s, auto&& body) PRECIS_INLINE_LAMBDA {
    const std::size_t end = x.size() - s * segment < segment ? x.size() : (s + 1) * segment;
    std::size_t c = s * segment;
    for (; c + block_columns <= end; c += block_columns)
      for (std::size_t i = 0; i < block_columns; i += parts * width) body(c + i, x.data() + c + i);
    if (c < end)
      for (std::size_t i = 0; i < block_columns; i += parts * width) body(c + i, tail + i);
  };
  // to[s] = the elements of of_segment(s) reduced with f, for all segments, one vector of segments at a time.
  const auto fold = [&](float* to, auto&& of_segment, auto&& f) PRECIS_INLINE_LAMBDA {
    for (std::size_t s = 0; s < count; s += width) {
      vector rows[width];
      const std::size_t n = count - s < width ? count - s : width;
      for (std::size_t i = 0; i < n; ++i) rows[i] = of_segment(s + i);
      for (std::size_t i = n; i < width; ++i) rows[i] = lanes::zero();
      const vector folded = lanes::fold_rows(rows, f);
      if (n == width)
        lanes::store(to + s, folded);
      else
        lanes::store_part(to + s, folded, n);
    }
  };
  const auto larger = [](auto a, auto b) PRECIS_INLINE_LAMBDA { return lanes::larger(a, b); };
  const auto add = [](auto a, auto b) PRECIS_INLINE_LAMBDA { return lanes::add(a, b); };
  // All scales are computed before any codes: divisions are slow and overlap only if no other work separates them.
  const auto largest_of = [&](std::size_t s) PRECIS_INLINE_LAMBDA {
    vector largest[parts];
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { largest[p] = lanes::zero(); });
    each(s, [&](std::size_t, const float* from) PRECIS_INLINE_LAMBDA {
      for (std::size_t p = 0; p < parts; ++p) {
        const vector v = lanes::load(from + p * width);
        largest[p] = lanes::larger(largest[p], lanes::larger(v, lanes::subtract(lanes::zero(), v)));
      }
    });
    for_constants<parts - 1>([&](auto p)
                                 PRECIS_INLINE_LAMBDA { largest[0] = lanes::larger(largest[0], largest[p + 1]); });
    return largest[0];
  };
  fold(scales, largest_of, larger);
  for (std::size_t s = 0; s < count; ++s) {  // a separate loop, which compilers vectorize
    const float top = scales[s];
    const bool is_zero = !(top >= 1e-30f);
    const float by = is_zero ? 1.f : top;
    sums[s] = is_zero ? 0.f : 127.f / by;  // replaced by the sums once the codes are computed
    scales[s] = is_zero ? 0.f : top / 127.f;
  }
  const auto encode = [&](std::size_t s) PRECIS_INLINE_LAMBDA {
    const vector factor = lanes::all(sums[s]), shift = lanes::all(magic);
    vector sum[parts];
    for_constants<parts>([&](auto p) PRECIS_INLINE_LAMBDA { sum[p] = lanes::zero(); });
    each(s, [&](std::size_t c, const float* from) PRECIS_INLINE_LAMBDA {
      for (std::size_t p = 0; p < parts; ++p) {
        const vector code = lanes::fma(lanes::load(from + p * width), factor, shift);
        Code::store_low_bytes(codes + c + p * width, code);
        sum[p] = lanes::add(sum[p], lanes::subtract(code, shift));  // integers: exact in any order
      }
    });
    for_constants<parts - 1>([&](auto p) PRECIS_INLINE_LAMBDA { sum[0] = lanes::add(sum[0], sum[p + 1]); });
    return sum[0];
  };
  fold(sums, encode, add);
  return {codes, scales, sums, x.size(), segment};
}

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_PREPARED_VECTOR
