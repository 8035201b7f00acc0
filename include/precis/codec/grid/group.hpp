#if !defined(PRECIS_CODEC_GRID_GROUP)
#define PRECIS_CODEC_GRID_GROUP

#include <precis/codec/grid/format_name.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <type_traits>

/// The scalar definition: quantization of one group of weights to integers or small floats. The format is a run-time
/// value, so a menu of hundreds of entries costs one instantiation. codec/grid/matrix.hpp applies it to matrices.
///
/// The arithmetic is defined element by element and contains no multiply-add whose result depends on whether the
/// compiler fuses it: a quotient is rounded before anything is added to it; scale * (code - zero_point) is one product;
/// the product in scale * code + minimum is exact in double (24 + 24 bits), so the sum is the same fused or not.
namespace precis::codec {
PRECIS_IEEE_BEGIN

/// The side data of one group:  real = scale * (code - zero_point) + minimum.
struct grid {
  float scale = 1;              ///< real units per code; >= 0
  float minimum = 0;            ///< min_anchored only, else 0
  std::int32_t zero_point = 0;  ///< stored code of real 0; min_anchored: 0
  bool operator==(const grid&) const = default;
};

/// The smallest and the largest of a set of values; meaningful only if all of them are finite.
struct extent {
  double lo = 0;
  double hi = 0;
  bool finite = true;
};

namespace detail {

// Maps floats to integers of the same order. Integer minima vectorize without compiler flags, and NaN and infinity map
// to keys outside the range of the finite floats.
[[nodiscard]] inline std::int32_t ordered(float x) noexcept {
  const auto bits = kernel::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7FFF'FFFF);
}
[[nodiscard]] inline float from_ordered(std::int32_t key) noexcept {
  return kernel::bit_cast<float>(key ^ ((key >> 31) & 0x7FFF'FFFF));
}
inline constexpr std::int32_t largest_finite = 0x7F7F'FFFF;

// Adding 1.5 * 2^52 leaves the nearest integer, ties to even, in the low bits of the sum. This is exact for |x| < 2^31,
// identical in every vector width, and no optimizer can undo it because the constant is never subtracted again.
[[nodiscard]] inline std::int32_t round_half_even(double x) noexcept {
  return static_cast<std::int32_t>(kernel::bit_cast<std::int64_t>(x + 0x1.8p52) & 0xFFFF'FFFF);
}
// In float the constant is 1.5 * 2^23, for |x| <= 2^22.
[[nodiscard]] inline std::int32_t round_half_even(float x) noexcept {
  return kernel::bit_cast<std::int32_t>(x + 0x1.8p23f) - kernel::bit_cast<std::int32_t>(0x1.8p23f);
}

/// The storable number nearest to `value` or, if `up`, the smallest one that is not below it. Infinity if there is
/// none.
[[nodiscard]] inline float storable(double value, scale_type type, bool up) noexcept {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  const bool too_large = value > static_cast<double>(std::numeric_limits<float>::max());
  if (too_large) return infinite;
  float f = static_cast<float>(value);
  if (type == scale_type::float32) return up && static_cast<double>(f) < value ? math::nextafter(f, infinite) : f;
  std::uint16_t half = kernel::float_to_half(f);
  if (up && static_cast<double>(kernel::half_to_float(half)) < value) ++half;  // the next larger one: value is positive
  return kernel::half_to_float(half);
}
/// The largest storable number that is not above `value`. Minus infinity if there is none.
[[nodiscard]] inline float storable_below(float value, scale_type type) noexcept {
  if (type == scale_type::float32) return value;
  std::uint16_t half = kernel::float_to_half(value);
  if (kernel::half_to_float(half) > value)
    half = half == 0 ? 0x8001u : static_cast<std::uint16_t>(half + (half >> 15 ? 1 : -1));
  return kernel::half_to_float(half);
}

using kernel::with_float;

// Groups are short. A loop of known length compiles to straight vector code; a loop of unknown length also gets a head
// and a tail that cost more than the work itself. body(first, count) is therefore instantiated with a constant count
// wherever that is possible.
inline constexpr std::size_t run_length = 32;
template<class Body>
void in_runs(std::size_t count, const Body& body) {
  std::size_t i = 0;
  for (; i + run_length <= count; i += run_length) body(i, std::integral_constant<std::size_t, run_length>{});
  if (i < count) body(i, count - i);
}
// The same for reductions. Longer runs come first, because every run ends with a horizontal operation.
template<class Body>
void in_long_runs(std::size_t count, const Body& body) {
  constexpr std::size_t longer = 16 * run_length;
  if (count < longer) return in_runs(count, body);
  std::size_t i = 0;
  for (; i + longer <= count; i += longer) body(i, std::integral_constant<std::size_t, longer>{});
  in_runs(count - i, [&](std::size_t first, auto length) { body(i + first, length); });
}

}  // namespace detail

/// The smallest and the largest weight. Requires contiguous rows. Cost: one read, vectorized.
template<class = void>
[[nodiscard]] inline extent extent_of(weight_view values) noexcept {
  std::int32_t lo = std::numeric_limits<std::int32_t>::max();
  std::int32_t hi = std::numeric_limits<std::int32_t>::min();
  for (std::size_t r = 0; r < values.rows; ++r) {
    const float* x = values.row(r).data();
    detail::in_long_runs(values.cols, [&](std::size_t first, auto count) {
      std::int32_t low = lo, high = hi;
      for (std::size_t c = 0; c < count; ++c) {
        const std::int32_t key = detail::ordered(x[first + c]);
        low = key < low ? key : low;
        high = key > high ? key : high;
      }
      lo = low;
      hi = high;
    });
  }
  if (values.empty()) return {};
  if (hi > detail::largest_finite || lo < ~detail::largest_finite) return {.lo = 0, .hi = 0, .finite = false};
  return {.lo = static_cast<double>(detail::from_ordered(lo)), .hi = static_cast<double>(detail::from_ordered(hi))};
}

/// The grid that spans `range`. Its scale is rounded to the stored type before anything else is computed from it.
///
/// Floats    scale = max|x| / the largest finite float. Powers of two: the scale is NaN if a value is negative.
/// Rounding  float32 scales of codes of up to 8 bits are rounded to nearest. With wider codes and half scales they are
///           rounded up, because a scale rounded down would clip the largest weights by many steps (2^24 steps of 2^-24
///           each). So |error| <= scale / 2 (min_anchored_floor: scale), up to the rounding of the quotient and of the
///           decoded value.
/// Edges     a range below 1e-30 counts as all zero and gets scale 1 (min_anchored: 0, which decodes to the minimum).
///           Half scales below 2^-24 become 2^-24. A scale too large for its type is returned as infinity.
/// Source    docs/methods/affine.md, docs/methods/min_anchored.md, docs/methods/scaled_float.md, docs/methods/log2.md.
template<class = void>
[[nodiscard]] inline grid spanning_grid(const grid_format& f, extent range) noexcept {
  constexpr double negligible = 1e-30;
  const bool up = f.wide() || f.scales == scale_type::float16;
  const double levels = static_cast<double>((1u << f.code_bits) - 1u);
  grid g{.scale = 1, .minimum = 0, .zero_point = f.fixed_zero_point()};

  if (f.has_minimum()) {
    g.minimum = detail::storable_below(static_cast<float>(range.lo), f.scales);
    const double span = range.hi - static_cast<double>(g.minimum);
    g.scale = span < negligible ? 0.f : detail::storable(span / levels, f.scales, up);
  } else if (f.rule == grid_rule::affine) {
    const double lo = std::min(0.0, range.lo);
    const double hi = std::max(0.0, range.hi);
    if (hi - lo < negligible) return g;
    g.scale = detail::storable((hi - lo) / levels, f.scales, up);
    if (kernel::is_finite(g.scale))
      g.zero_point =
          std::clamp<std::int32_t>(detail::round_half_even(-lo / static_cast<double>(g.scale)), 0, f.top_code());
  } else {
    const double largest = std::max(std::abs(range.lo), std::abs(range.hi));
    if (largest < negligible) return g;
    if (f.is_power() && range.lo < 0) return {.scale = std::numeric_limits<float>::quiet_NaN()};
    if (f.is_float()) {
      detail::with_float(f, [&](auto small) {
        const auto top = static_cast<double>(small.decode(small.top));
        g.scale = detail::storable(largest / top, f.scales, up);
        if (static_cast<double>(g.scale) * top > static_cast<double>(std::numeric_limits<float>::max()))
          g.scale = math::nextafter(g.scale, 0.f);  // decoded values stay finite
      });
      return g;
    }
    const double steps = f.rule == grid_rule::symmetric ? 0.5 * static_cast<double>(f.top_code()) : 0.5 * levels;
    g.scale = detail::storable(largest / steps, f.scales, up);
  }
  return g;
}

namespace detail {

/// A grid as the inner loops use it. Quotients are clamped to [lo, hi] before they are rounded, which gives the same
/// codes as clamping afterwards (the bounds are integers) and keeps every decoded value finite.
struct quotient_bounds {
  double scale;
  double minimum;
  double lo;
  double hi;
  std::int32_t zero_point;

  quotient_bounds(const grid_format& f, const grid& g) noexcept
      : scale(static_cast<double>(g.scale)), minimum(static_cast<double>(g.minimum)), zero_point(g.zero_point) {
    constexpr double largest = std::numeric_limits<float>::max();
    lo = -static_cast<double>(zero_point);
    hi = static_cast<double>(f.top_code() - zero_point);
    if (f.has_minimum()) {
      if (hi * scale > largest - minimum) hi = math::floor((largest - minimum) / scale);
    } else if (std::max(-lo, hi) * scale > largest) {
      const double finite = math::floor(largest / scale);
      lo = std::max(lo, -finite);
      hi = std::min(hi, finite);
    }
  }
};

// Codes of up to 8 bits use float quotients. The rounding of the quotient can move a value across a tie only within
// 1e-5 of it.
template<class = void>
inline void quantize(const float* x, std::size_t count, const quotient_bounds& s, std::uint8_t* codes) noexcept {
  const auto scale = static_cast<float>(s.scale);
  const auto lo = static_cast<float>(s.lo);
  const auto hi = static_cast<float>(s.hi);
  const std::int32_t shift = s.zero_point;
  in_runs(count, [=](std::size_t first, auto length) {
    std::uint8_t local[run_length];  // the compiler knows that a local array does not alias x
    for (std::size_t i = 0; i < length; ++i) {
      float q = x[first + i] / scale;
      q = q < lo ? lo : q;
      q = q > hi ? hi : q;
      local[i] = static_cast<std::uint8_t>(round_half_even(q) + shift);
    }
    std::memcpy(codes + first, local, length);
  });
}
// Codes of 16 and 24 bits use double quotients.
template<class = void>
inline void quantize(const float* x, std::size_t count, const quotient_bounds& s, std::uint32_t* codes) noexcept {
  const std::int32_t shift = s.zero_point;
  for (std::size_t i = 0; i < count; ++i) {
    double q = static_cast<double>(x[i]) / s.scale;
    q = q < s.lo ? s.lo : q;
    q = q > s.hi ? s.hi : q;
    codes[i] = static_cast<std::uint32_t>(round_half_even(q) + shift);
  }
}
template<class Code>
void quantize_from_minimum(const float* x, std::size_t count, const quotient_bounds& s, bool floor,
                           Code* codes) noexcept {
  if (s.scale == 0) {
    std::fill_n(codes, count, Code{0});
    return;
  }
  for (std::size_t i = 0; i < count; ++i) {
    double q = (static_cast<double>(x[i]) - s.minimum) / s.scale;
    q = q < 0.0 ? 0.0 : q;
    q = q > s.hi ? s.hi : q;
    codes[i] = static_cast<Code>(floor ? static_cast<std::int32_t>(q) : round_half_even(q));
  }
}

}  // namespace detail

/// A set of formats, as a template argument of the functions that encode: a program that lists its formats compiles no
/// others. `widths` as in kernel::with_bits, 16 and 24 bits included.
struct format_set {
  unsigned widths = kernel::every_width;
  bool floats = true;  ///< small floats and powers of two
  bool minima = true;  ///< formats with a minimum

  constexpr void add(const grid_format& f) noexcept {
    widths |= 1u << f.code_bits;
    floats |= f.is_float();
    minima |= f.has_minimum();
  }
};
inline constexpr format_set every_format{};

/// The codes of `count` weights on grid g. Code: std::uint8_t up to 8 bits, std::uint32_t above.
/// Source    docs/methods/affine.md, docs/methods/min_anchored.md, docs/methods/scaled_float.md, docs/methods/log2.md.
template<format_set Formats = every_format, class Code>
void quantize_group(const grid_format& f, const grid& g, const float* x, std::size_t count, Code* codes) noexcept {
  if constexpr (Formats.floats)
    if (f.is_float()) {
      detail::with_float(f, [&](auto small) {
        for (std::size_t i = 0; i < count; ++i) codes[i] = small.encode(x[i] / g.scale);
      });
      return;
    }
  const detail::quotient_bounds s(f, g);
  if constexpr (Formats.minima)
    if (f.has_minimum())
      return detail::quantize_from_minimum(x, count, s, f.rule == grid_rule::min_anchored_floor, codes);
  detail::quantize(x, count, s, codes);
}

/// The decoded weights of `count` codes on grid g.
template<class Code>
void dequantize_group(const grid_format& f, const grid& g, const Code* codes, std::size_t count, float* x) noexcept {
  if (f.has_minimum()) {
    const auto scale = static_cast<double>(g.scale);
    const auto minimum = static_cast<double>(g.minimum);
    for (std::size_t i = 0; i < count; ++i)
      x[i] = static_cast<float>(static_cast<double>(static_cast<std::int32_t>(codes[i])) * scale + minimum);
  } else if (f.is_float()) {
    detail::with_float(f, [&](auto small) {
      for (std::size_t i = 0; i < count; ++i) x[i] = g.scale * small.decode(static_cast<std::uint8_t>(codes[i]));
    });
  } else {
    const float scale = g.scale;
    const std::int32_t zero_point = g.zero_point;
    detail::in_runs(count, [=](std::size_t first, auto length) {
      for (std::size_t i = first; i < first + length; ++i)
        x[i] = scale * static_cast<float>(static_cast<std::int32_t>(codes[i]) - zero_point);
    });
  }
}

/// Calls body(Code{}) with a type that holds a code. There are two such types, so a program compiles two bodies instead
/// of nine.
template<format_set Formats = every_format, class Body>
void with_code_type(const grid_format& f, const Body& body) {
  constexpr bool wide = (Formats.widths & (1u << 16 | 1u << 24)) != 0, narrow = (Formats.widths & 0x1FCu) != 0;
  if constexpr (wide)
    if (!narrow || f.wide()) return body(std::uint32_t{});
  if constexpr (narrow) body(std::uint8_t{});
}

/// Quantizes and decodes `values` on grid g. Requires decoded.size() == values.size().
template<class = void>
inline void fake_quantize(const grid_format& f, const grid& g, std::span<const float> values,
                          std::span<float> decoded) {
  PRECIS_EXPECTS(decoded.size() == values.size(), "one decoded value per value");
  with_code_type(f, [&](auto code) {
    constexpr std::size_t chunk = 256;
    decltype(code) codes[chunk];
    for (std::size_t first = 0; first < values.size(); first += chunk) {
      const std::size_t count = std::min(chunk, values.size() - first);
      quantize_group(f, g, values.data() + first, count, codes);
      dequantize_group(f, g, codes, count, decoded.data() + first);
    }
  });
}

/// Quantization errors on grid g: decoded - value. Requires errors.size() == values.size().
/// @post  the errors are those of fake_quantize.
template<class = void>
inline void quantization_errors(const grid_format& f, const grid& g, std::span<const float> values,
                                std::span<float> errors) {
  PRECIS_EXPECTS(errors.size() == values.size(), "one error per value");
  if (f.wide() || f.has_minimum() || f.is_float()) {
    fake_quantize(f, g, values, errors);
    for (std::size_t i = 0; i < values.size(); ++i) errors[i] -= values[i];
    return;
  }
  // No codes are formed, because adding the zero point and subtracting it again would change nothing.
  const detail::quotient_bounds s(f, g);
  const auto scale = static_cast<float>(s.scale), lo = static_cast<float>(s.lo), hi = static_cast<float>(s.hi);
  const float* const x = values.data();
  float* const error = errors.data();
  detail::in_runs(values.size(), [=](std::size_t first, auto length) {
    float local[detail::run_length];  // the compiler knows that a local array does not alias x
    for (std::size_t i = 0; i < length; ++i) {
      float q = x[first + i] / scale;
      q = q < lo ? lo : q;
      q = q > hi ? hi : q;
      local[i] = scale * static_cast<float>(detail::round_half_even(q)) - x[first + i];
    }
    std::copy_n(local, static_cast<std::size_t>(length), error + first);
  });
}

PRECIS_IEEE_END
}  // namespace precis::codec

#endif  // PRECIS_CODEC_GRID_GROUP
