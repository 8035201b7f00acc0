#pragma once

#include <precis/codec/grid/format_name.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/half.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>

/// Quantization of one group of weights to integers and small floats, once for all formats: the format is a run-time
/// value here, so a menu of two hundred entries costs one instantiation. Matrices of groups: grid_codec.hpp.
///
/// The arithmetic is defined element by element and has no multiply-add that a compiler could fuse with another result:
/// a quotient is rounded before anything is added to it; scale * (code - zero_point) is one product; the product of
/// scale * code + minimum is exact in double (24 + 24 bits), so fused or not the sum is the same.
namespace precis::codec {

/// The side data of one group:  real = scale * (code - zero_point) + minimum.
struct grid {
  float scale = 1;              ///< real units per code; >= 0
  float minimum = 0;            ///< min_anchored only, else 0
  std::int32_t zero_point = 0;  ///< stored code of real 0; min_anchored: 0
  bool operator==(const grid&) const = default;
};

/// The smallest and the largest of some values; meaningful only when they are all finite.
struct extent {
  double lo = 0;
  double hi = 0;
  bool finite = true;
};

namespace detail {

// Floats as integers of the same order. Integer minima vectorise without any flag, and NaN and infinity lie outside.
[[nodiscard]] inline std::int32_t ordered(float x) noexcept {
  const auto bits = std::bit_cast<std::int32_t>(x);
  return bits ^ ((bits >> 31) & 0x7FFF'FFFF);
}
[[nodiscard]] inline float from_ordered(std::int32_t key) noexcept {
  return std::bit_cast<float>(key ^ ((key >> 31) & 0x7FFF'FFFF));
}
inline constexpr std::int32_t largest_finite = 0x7F7F'FFFF;

// Adding 1.5 * 2^52 leaves the nearest integer, ties to even, in the low bits of the sum: exact for |x| < 2^31, the same
// in every vector width, and no optimiser can undo it because the sum is never subtracted from again.
[[nodiscard]] inline std::int32_t round_half_even(double x) noexcept {
  return static_cast<std::int32_t>(std::bit_cast<std::int64_t>(x + 0x1.8p52) & 0xFFFF'FFFF);
}
// The same in float: 1.5 * 2^23, for |x| <= 2^22.
[[nodiscard]] inline std::int32_t round_half_even(float x) noexcept {
  return std::bit_cast<std::int32_t>(x + 0x1.8p23f) - std::bit_cast<std::int32_t>(0x1.8p23f);
}

/// The nearest storable number, or (up) the smallest that is not below. Infinity when there is none.
[[nodiscard]] inline float storable(double value, scale_type type, bool up) noexcept {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  const bool too_large = value > static_cast<double>(std::numeric_limits<float>::max());
  if (too_large) return infinite;
  float f = static_cast<float>(value);
  if (type == scale_type::float32) return up && static_cast<double>(f) < value ? std::nextafter(f, infinite) : f;
  std::uint16_t half = kernel::float_to_half(f);
  if (up && static_cast<double>(kernel::half_to_float(half)) < value) ++half;  // positive: the next larger one
  return kernel::half_to_float(half);
}
/// The largest storable number that is not above. Minus infinity when there is none.
[[nodiscard]] inline float storable_below(float value, scale_type type) noexcept {
  if (type == scale_type::float32) return value;
  std::uint16_t half = kernel::float_to_half(value);
  if (kernel::half_to_float(half) > value)
    half = half == 0 ? 0x8001u : static_cast<std::uint16_t>(half + (half >> 15 ? 1 : -1));
  return kernel::half_to_float(half);
}

}  // namespace detail

namespace detail {

// Groups are short: loops of a known length compile to straight vector code, loops of any length to that and a head and
// a tail that cost more than the work. body(first, count) is inlined with count == run wherever it is.
inline constexpr std::size_t run = 32;
template<class Body>
void in_runs(std::size_t count, const Body& body) {
  std::size_t i = 0;
  for (; i + run <= count; i += run) body(i, std::integral_constant<std::size_t, run>{});
  if (i < count) body(i, count - i);
}
// What a run leaves behind is one number, so the longer the better.
template<class Body>
void in_long_runs(std::size_t count, const Body& body) {
  constexpr std::size_t longer = 16 * run;
  if (count < longer) return in_runs(count, body);
  std::size_t i = 0;
  for (; i + longer <= count; i += longer) body(i, std::integral_constant<std::size_t, longer>{});
  in_runs(count - i, [&](std::size_t first, auto length) { body(i + first, length); });
}

}  // namespace detail

/// Smallest and largest value. Requires contiguous rows. Cost: one read, vectorised.
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

/// The grid that spans `range`, scale rounded to what is stored before anything else is computed with it.
///
/// Floats    scale = max|x| / the largest finite float. Powers: NaN where a value is negative.
/// Rounding  float32 scales of up to 8 bits: to nearest. Wider codes and half scales: up, because a scale rounded down
///           would cut the largest weights off by many steps (2^24 steps of 2^-24 each). So |error| <= scale / 2 always
///           (min_anchored_floor: scale), to within the rounding of the quotient and of the decoded value.
/// Edges     a range below 1e-30 counts as all zero: scale 1 (min_anchored: 0, which decodes to the minimum).
///           Half scales below 2^-24 become 2^-24. A scale too large for its type comes back infinite.
/// Source    methods D1, D2, D4.
[[nodiscard]] inline grid spanning_grid(const grid_format& f, extent range) noexcept {
  constexpr double nothing = 1e-30;
  const bool up = f.wide() || f.scales == scale_type::float16;
  const double levels = static_cast<double>((1u << f.code_bits) - 1u);
  grid g{.scale = 1, .minimum = 0, .zero_point = f.fixed_zero_point()};

  if (f.has_minimum()) {
    g.minimum = detail::storable_below(static_cast<float>(range.lo), f.scales);
    const double span = range.hi - static_cast<double>(g.minimum);
    g.scale = span < nothing ? 0.f : detail::storable(span / levels, f.scales, up);
  } else if (f.rule == grid_rule::affine) {
    const double lo = std::min(0.0, range.lo);
    const double hi = std::max(0.0, range.hi);
    if (hi - lo < nothing) return g;
    g.scale = detail::storable((hi - lo) / levels, f.scales, up);
    if (std::isfinite(g.scale))
      g.zero_point = std::clamp(detail::round_half_even(-lo / static_cast<double>(g.scale)), 0, f.top_code());
  } else {
    const double largest = std::max(std::abs(range.lo), std::abs(range.hi));
    if (largest < nothing) return g;
    if (f.is_power() && range.lo < 0) return {.scale = std::numeric_limits<float>::quiet_NaN()};
    if (f.is_float()) {
      kernel::detail::with_float(f, [&](auto small) {
        const auto top = static_cast<double>(small.decode(small.top));
        g.scale = detail::storable(largest / top, f.scales, up);
        if (static_cast<double>(g.scale) * top > static_cast<double>(std::numeric_limits<float>::max()))
          g.scale = std::nextafter(g.scale, 0.f);  // what it decodes to stays finite
      });
      return g;
    }
    const double steps = f.rule == grid_rule::symmetric ? 0.5 * static_cast<double>(f.top_code()) : 0.5 * levels;
    g.scale = detail::storable(largest / steps, f.scales, up);
  }
  return g;
}

namespace detail {

/// What the inner loops need of a grid: quotients are clamped to [lo, hi] before they are rounded, which gives the same
/// codes as clamping after (the bounds are whole numbers) and keeps every decoded value finite.
struct steps {
  double scale;
  double minimum;
  double lo;
  double hi;
  std::int32_t zero_point;

  steps(const grid_format& f, const grid& g) noexcept
      : scale(static_cast<double>(g.scale)), minimum(static_cast<double>(g.minimum)), zero_point(g.zero_point) {
    constexpr double largest = std::numeric_limits<float>::max();
    lo = -static_cast<double>(zero_point);
    hi = static_cast<double>(f.top_code() - zero_point);
    if (f.has_minimum()) {
      if (hi * scale > largest - minimum) hi = std::floor((largest - minimum) / scale);
    } else if (std::max(-lo, hi) * scale > largest) {
      const double finite = std::floor(largest / scale);
      lo = std::max(lo, -finite);
      hi = std::min(hi, finite);
    }
  }
};

// Up to 8 bits: float quotients. The quotient's own rounding can move a value across a tie only within 1e-5 of one.
inline void quantize(const float* x, std::size_t count, const steps& s, std::uint8_t* codes) noexcept {
  const auto scale = static_cast<float>(s.scale);
  const auto lo = static_cast<float>(s.lo);
  const auto hi = static_cast<float>(s.hi);
  const std::int32_t shift = s.zero_point;
  in_runs(count, [=](std::size_t first, auto length) {
    std::uint8_t local[run];  // cannot alias x, as far as the compiler knows
    for (std::size_t i = 0; i < length; ++i) {
      float q = x[first + i] / scale;
      q = q < lo ? lo : q;
      q = q > hi ? hi : q;
      local[i] = static_cast<std::uint8_t>(round_half_even(q) + shift);
    }
    std::memcpy(codes + first, local, length);
  });
}
// 16 and 24 bits: double quotients.
inline void quantize(const float* x, std::size_t count, const steps& s, std::uint32_t* codes) noexcept {
  const std::int32_t shift = s.zero_point;
  for (std::size_t i = 0; i < count; ++i) {
    double q = static_cast<double>(x[i]) / s.scale;
    q = q < s.lo ? s.lo : q;
    q = q > s.hi ? s.hi : q;
    codes[i] = static_cast<std::uint32_t>(round_half_even(q) + shift);
  }
}
template<class Code>
void quantize_from_minimum(const float* x, std::size_t count, const steps& s, bool floor, Code* codes) noexcept {
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

template<class Code>
void quantize_group(const grid_format& f, const grid& g, const float* x, std::size_t count, Code* codes) noexcept {
  if (f.is_float()) {
    kernel::detail::with_float(f, [&](auto small) {
      for (std::size_t i = 0; i < count; ++i) codes[i] = small.encode(x[i] / g.scale);
    });
    return;
  }
  const steps s(f, g);
  if (f.has_minimum())
    quantize_from_minimum(x, count, s, f.rule == grid_rule::min_anchored_floor, codes);
  else
    quantize(x, count, s, codes);
}

template<class Code>
void dequantize_group(const grid_format& f, const grid& g, const Code* codes, std::size_t count, float* x) noexcept {
  if (f.has_minimum()) {
    const auto scale = static_cast<double>(g.scale);
    const auto minimum = static_cast<double>(g.minimum);
    for (std::size_t i = 0; i < count; ++i)
      x[i] = static_cast<float>(static_cast<double>(static_cast<std::int32_t>(codes[i])) * scale + minimum);
  } else if (f.is_float()) {
    kernel::detail::with_float(f, [&](auto small) {
      for (std::size_t i = 0; i < count; ++i) x[i] = g.scale * small.decode(static_cast<std::uint8_t>(codes[i]));
    });
  } else {
    const float scale = g.scale;
    const std::int32_t zero_point = g.zero_point;
    in_runs(count, [=](std::size_t first, auto length) {
      for (std::size_t i = first; i < first + length; ++i)
        x[i] = scale * static_cast<float>(static_cast<std::int32_t>(codes[i]) - zero_point);
    });
  }
}

// Calls body(Code{}) with a type that holds a code: two types, so that a program compiles two bodies and not nine.
template<class Body>
void with_code_type(const grid_format& f, const Body& body) {
  if (f.wide()) return body(std::uint32_t{});
  return body(std::uint8_t{});
}

}  // namespace detail

/// Refuses the first weight that is NaN or infinite, by row and column. Cost: one read.
inline void check_finite(weight_view w, const std::string& where) {
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      if (!std::isfinite(w(r, c)))
        refuse({.what = "the weight in row " + std::to_string(r) + ", column " + std::to_string(c) + " is " +
                        (std::isnan(w(r, c)) ? "NaN"
                         : w(r, c) > 0       ? "infinity"
                                             : "-infinity"),
                .where = where,
                .expected = "finite weights"});
}

/// What `values` become when they are encoded on `g` and decoded. Requires decoded.size() == values.size().
inline void fake_quantize(const grid_format& f, const grid& g, std::span<const float> values,
                          std::span<float> decoded) {
  PRECIS_EXPECTS(decoded.size() == values.size(), "one decoded value a value");
  detail::with_code_type(f, [&](auto code) {
    constexpr std::size_t chunk = 256;
    decltype(code) codes[chunk];
    for (std::size_t first = 0; first < values.size(); first += chunk) {
      const std::size_t count = std::min(chunk, values.size() - first);
      detail::quantize_group(f, g, values.data() + first, count, codes);
      detail::dequantize_group(f, g, codes, count, decoded.data() + first);
    }
  });
}

}  // namespace precis::codec
