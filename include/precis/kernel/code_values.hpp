#if !defined(PRECIS_KERNEL_CODE_VALUES)
#define PRECIS_KERNEL_CODE_VALUES

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/minifloat.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

/// Unpacks the codes of a block into lanes and converts them to the values that the codes represent.
namespace precis::kernel::detail {
PRECIS_IEEE_BEGIN

/// Codes of up to 5 bits are converted to float without clearing the other bits of their bytes; wider codes are
/// extracted as clean bytes first.
template<unsigned Bits>
inline constexpr bool loose_codes = Bits <= 5;
/// The bit of a byte at which a loose code of quad K starts.
template<unsigned Bits, std::size_t K>
inline constexpr unsigned loose_at = planes_of(Bits).count == 1 ? K * Bits % 8 : 0;

/// The finite numbers that codes represent, without zero: multiples of 2^last below 2^high, of at most `digits` significant
/// bits. few_or_all: of at most four, or of so many that they end in the last three bits of a float.
struct number_range {
  int last = 0, high = 0;
  unsigned digits = 1;
  bool few_or_all = true;
};

/// Codes of up to 8 bits that represent integers.
struct whole_numbers {
  static constexpr bool exact_in_bytes = true;
  template<unsigned Bits>
  static constexpr number_range range = {0, static_cast<int>(Bits), Bits, Bits <= 4};
  static constexpr float zero_of_bytes = 0;  ///< added to the zero point if the table for products with bytes is biased
  template<class Code, unsigned Bits, unsigned At>
  [[nodiscard]] PRECIS_INLINE static typename Code::floats::vector value(typename Code::words codes) noexcept {
    return Code::template number<loose_codes<Bits> ? Bits : 8, At>(codes);
  }
  [[nodiscard]] static constexpr float value(std::uint8_t code) noexcept { return static_cast<float>(code); }
};
/// Codes of 16 or 24 bits that represent integers.
struct wide_numbers {
  static constexpr bool exact_in_bytes = false;
  template<unsigned Bits>
  static constexpr number_range range = {0, static_cast<int>(Bits), Bits, false};
  static constexpr float zero_of_bytes = 0;
  [[nodiscard]] static float value(std::uint32_t code) noexcept { return static_cast<float>(code); }
};
/// Codes that are small floats. For e2m1, 2 * value + 12 is an integer from 0 to 24, so products with bytes are exact.
template<class Float>
struct small_floats {
  static constexpr bool exact_in_bytes = Float::whole_when_doubled;
  template<unsigned>
  static constexpr number_range range = [] {
    number_range r;
    for (unsigned c = 0; c < 1u << Float::bits; ++c) {
      const auto word = std::bit_cast<std::uint32_t>(Float::decode(static_cast<std::uint8_t>(c))) & 0x7fff'ffffu;
      if (word == 0 || word >= 0x7f80'0000u) continue;
      const int exponent = static_cast<int>(word >> 23) - 127,
                zeros = std::countr_zero((word & 0x7f'ffffu) | 0x80'0000u);
      const auto digits = static_cast<unsigned>(24 - zeros);
      r.last = exponent - 23 + zeros < r.last ? exponent - 23 + zeros : r.last;
      r.high = exponent + 1 > r.high ? exponent + 1 : r.high;
      r.digits = digits > r.digits ? digits : r.digits;
      r.few_or_all = r.few_or_all && (digits <= 4 || digits > 21);
    }
    return r;
  }();
  static constexpr float zero_of_bytes = exact_in_bytes ? 6 : 0;
  static constexpr auto table = [] {
    std::array<std::uint8_t, 16> all{};
    for (unsigned c = 0; exact_in_bytes && c < 16; ++c)
      all[c] = static_cast<std::uint8_t>(static_cast<int>(2 * Float::decode(static_cast<std::uint8_t>(c))) + 12);
    return all;
  }();
  template<class Code, unsigned Bits, unsigned At>
  [[nodiscard]] PRECIS_INLINE static typename Code::floats::vector value(typename Code::words codes) noexcept {
    return Code::template small_float<Float, At>(codes);
  }
  /// The entries of `table` for the codes in bytes.
  template<class Code>
  [[nodiscard]] PRECIS_INLINE static typename Code::words in_bytes(typename Code::words codes) noexcept {
    if constexpr (requires { Code::e2m1_nibbles(codes); })
      return Code::e2m1_nibbles(codes);
    else
      return Code::nibbles(codes, table.data());
  }
  [[nodiscard]] static constexpr float value(std::uint8_t code) noexcept { return Float::decode(code); }
};

/// Calls body(constant bits, whole_numbers, wide_numbers or small_floats) for the codes of a format.
template<class F>
void with_codes(const grid_format& f, F&& body) noexcept {
  if (f.is_float())
    with_float(f, [&](auto small) {
      body(std::integral_constant<unsigned, decltype(small)::bits>{}, small_floats<decltype(small)>{});
    });
  else if (f.code_bits == 16)
    body(std::integral_constant<unsigned, 16>{}, wide_numbers{});
  else if (f.code_bits == 24)
    body(std::integral_constant<unsigned, 24>{}, wide_numbers{});
  else
    with_bits(f.code_bits, [&](auto bits) { body(bits, whole_numbers{}); });
}

/// The same for a format that is a compile-time constant.
template<grid_format F, class Body>
void with_codes(Body&& body) noexcept {
  constexpr std::integral_constant<unsigned, F.code_bits> bits;
  if constexpr (F.rule == grid_rule::e4m3)
    body(bits, small_floats<float8_e4m3>{});
  else if constexpr (F.rule == grid_rule::e5m2)
    body(bits, small_floats<float8_e5m2>{});
  else if constexpr (F.rule == grid_rule::e2m1)
    body(bits, small_floats<float4_e2m1>{});
  else if constexpr (F.is_power())
    body(bits, small_floats<falling_power<F.code_bits, F.rule == grid_rule::log2 ? 1 : 2>>{});
  else if constexpr (F.wide())
    body(bits, wide_numbers{});
  else
    body(bits, whole_numbers{});
}

/// Which codes a function is instantiated for: those of every format, or those of one that is known at compile time.
struct every_code {
  template<class Body>
  static void with(const grid_format& f, Body&& body) noexcept {
    with_codes(f, body);
  }
};
template<grid_format F>
struct listed_code {
  template<class Body>
  static void with(const grid_format&, Body&& body) noexcept {
    with_codes<F>(body);
  }
};

inline constexpr std::size_t word_stride = tile_rows * 4;  ///< bytes between consecutive words of a row of a whole tile
using whole_step = std::integral_constant<std::size_t, word_stride>;
/// Bytes to prefetch ahead: hardware prefetchers do not run this far ahead of a loop that also unpacks.
inline constexpr std::size_t read_ahead = 2048;

/// Loads the words of one block of `Parts` parts (a part is as many rows as one vector holds), which are `step` bytes
/// apart, then calls begin(quad<K>) and body(quad<K>, part, codes) for each of the eight quads. Prefetches `ahead` bytes
/// ahead.
template<class Code, unsigned Bits, bool Loose, std::size_t Parts, class Begin, class Body, class Step = whole_step>
PRECIS_INLINE void each_codes(const std::byte* const (&block)[Parts], std::size_t offset, Begin&& begin, Body&& body,
                              Step step = {}, std::size_t ahead = read_ahead) noexcept {
  typename Code::words w[Parts][Bits];
  for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
    for_constants<Bits>([&](auto v) PRECIS_INLINE_LAMBDA {
      const std::byte* const at = block[p] + offset + v * step;
      w[p][v] = Code::load(at);
      if constexpr (Bits < 8 && requires { Code::held(w[p][v]); }) w[p][v] = Code::held(w[p][v]);
      if constexpr (Code::rows == tile_rows) __builtin_prefetch(at + ahead);  // each load is one cache line
    });
  });
  for_constants<8>([&](auto k) PRECIS_INLINE_LAMBDA {
    begin(quad<k>{});
    for_constants<Parts>([&](auto p)
                             PRECIS_INLINE_LAMBDA { body(quad<k>{}, p, codes_of<Code, Bits, k, Loose>(w[p])); });
  });
}

/// Calls body(quad<K>, part, j, value) for every column 4 K + j of a block of 16-bit or 24-bit codes. The codes are
/// assembled from bytes; floats hold them exactly, because they are below 2^24.
template<class Code, unsigned Bits, std::size_t Parts, class Body, class Step = whole_step>
PRECIS_INLINE void each_wide(const std::byte* const (&block)[Parts], std::size_t offset, Body&& body,
                             Step step = {}) noexcept {
  for_constants<8>([&](auto k) PRECIS_INLINE_LAMBDA {
    for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
      const auto plane = [&](std::size_t i)
                             PRECIS_INLINE_LAMBDA { return Code::load(block[p] + offset + (8 * i + k) * step); };
      const typename Code::words low = plane(0), middle = plane(1), high = plane(Bits / 8 - 1);
      for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
        constexpr int at = 8 * static_cast<int>(decltype(j)::value);
        typename Code::words code = Code::template digits<at, 0xFFu>(low);
        code = Code::template merge<at - 8, 0xFF00u>(code, middle);
        if constexpr (Bits == 24) code = Code::template merge<at - 16, 0xFF'0000u>(code, high);
        body(quad<k>{}, p, j, Code::to_float(code));
      });
    });
  });
}

/// Calls body(quad<K>, part, j, value) for every column 4 K + j of a block, whatever its codes represent.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts, class Body>
PRECIS_INLINE void each_value(const std::byte* const (&block)[Parts], std::size_t offset, Body&& body) noexcept {
  if constexpr (std::is_same_v<Numbers, wide_numbers>)
    each_wide<Code, Bits>(block, offset, body);
  else
    each_codes<Code, Bits, loose_codes<Bits>>(
        block, offset, [](auto) {},
        [&](auto k, auto p, typename Code::words codes) PRECIS_INLINE_LAMBDA {
          for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
            body(k, p, j, Numbers::template value<Code, Bits, loose_at<Bits, k> + 8 * j>(codes));
          });
        });
}

/// Calls body(k, part, j, value) for the columns 4 k + j of a tail as `unpack_tails` unpacks it: `quads` vectors of four
/// codes, one per byte; codes of more than 8 bits are a block.
template<class Code, unsigned Bits, class Numbers, std::size_t Parts, class Body>
PRECIS_INLINE void each_tail_value(const std::byte* const (&tail)[Parts], std::size_t quads, Body&& body) noexcept {
  if constexpr (std::is_same_v<Numbers, wide_numbers>)
    each_wide<Code, Bits>(tail, 0, body);
  else
    for (std::size_t k = 0; k < quads; ++k)
      for_constants<Parts>([&](auto p) PRECIS_INLINE_LAMBDA {
        const typename Code::words codes = Code::load(tail[p] + k * word_stride);
        for_constants<4>([&](auto j) PRECIS_INLINE_LAMBDA {
          body(k, p, j, Numbers::template value<Code, 8, 8 * decltype(j)::value>(codes));
        });
      });
}

PRECIS_IEEE_END
}  // namespace precis::kernel::detail

#endif  // PRECIS_KERNEL_CODE_VALUES
