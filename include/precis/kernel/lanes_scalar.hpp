#if !defined(PRECIS_KERNEL_LANES_SCALAR)
#define PRECIS_KERNEL_LANES_SCALAR

#include <precis/kernel/code_planes.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// One lane and std::fma. This defines the result: every other lane type must agree bit for bit.
struct scalar_lanes {
  using value = float;
  using vector = float;
  static constexpr std::size_t width = 1;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return 0.f; }
  [[nodiscard]] static vector broadcast(const float* p) noexcept { return *p; }
  [[nodiscard]] static vector load(const float* p) noexcept { return *p; }
  [[nodiscard]] static vector load_part(const float*, std::size_t) noexcept { return 0.f; }
  static void store(float* p, vector v) noexcept { *p = v; }
  static void store_part(float*, vector, std::size_t) noexcept {}
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return __builtin_fmaf(a, b, c); }
  [[nodiscard]] static vector all(float x) noexcept { return x; }
  [[nodiscard]] static vector held(vector v) noexcept { return v; }
  [[nodiscard]] static vector add(vector a, vector b) noexcept { return a + b; }
  [[nodiscard]] static vector subtract(vector a, vector b) noexcept { return a - b; }
  [[nodiscard]] static vector multiply(vector a, vector b) noexcept { return a * b; }
  [[nodiscard]] static vector divide(vector a, vector b) noexcept { return a / b; }
  [[nodiscard]] static vector larger(vector a, vector b) noexcept { return a > b ? a : b; }
  [[nodiscard]] static vector larger_size(vector a, vector b) noexcept {
    const std::uint32_t old = kernel::bit_cast<std::uint32_t>(a),
                        size = kernel::bit_cast<std::uint32_t>(b) & 0x7fff'ffffu;
    return kernel::bit_cast<float>(old > size ? old : size);
  }
  [[nodiscard]] static vector smaller(vector a, vector b) noexcept { return a < b ? a : b; }
  [[nodiscard]] static vector times_power_of_two(vector a, vector n) noexcept {
    constexpr float shift = 0x1.8p23f;  // adding it moves a small integer to the low bits; a NaN stays a NaN
    const std::int32_t power = kernel::bit_cast<std::int32_t>(n + shift) - kernel::bit_cast<std::int32_t>(shift);
    const std::int32_t half = power >> 1;
    const auto factor = [](std::int32_t p) {
      return kernel::bit_cast<float>(static_cast<std::uint32_t>(p + 127) << 23);
    };
    return a * factor(half) * factor(power - half);
  }
  [[nodiscard]] static vector exponent(vector a) noexcept {
    return static_cast<float>(static_cast<std::int32_t>(kernel::bit_cast<std::uint32_t>(a) >> 23) - 127);
  }
  [[nodiscard]] static float largest(vector v) noexcept { return v; }
  [[nodiscard]] static float total(vector v) noexcept { return v; }
  template<class F>
  [[nodiscard]] static vector fold_rows(vector (&r)[1], F&&) noexcept {
    return r[0];
  }
  static void transpose(vector (&)[1]) noexcept {}
};

/// The same over double.
struct scalar_double_lanes {
  using value = double;
  using vector = double;
  static constexpr std::size_t width = 1;
  static constexpr std::size_t registers = 16;

  [[nodiscard]] static vector zero() noexcept { return 0; }
  [[nodiscard]] static vector broadcast(const double* p) noexcept { return *p; }
  [[nodiscard]] static vector load(const double* p) noexcept { return *p; }
  [[nodiscard]] static vector load_floats(const float* p) noexcept { return static_cast<double>(*p); }
  [[nodiscard]] static vector load_part(const double*, std::size_t) noexcept { return 0; }
  static void store(double* p, vector v) noexcept { *p = v; }
  static void store_part(double*, vector, std::size_t) noexcept {}
  [[nodiscard]] static vector fma(vector a, vector b, vector c) noexcept { return __builtin_fma(a, b, c); }
  static void transpose(vector (&)[1]) noexcept {}
};

/// One row of packed codes per word. This defines the result of all code lanes.
struct scalar_code_lanes {
  using floats = scalar_lanes;
  using words = std::uint32_t;
  static constexpr std::size_t rows = 1;
  static constexpr std::size_t tiles = 1;
  static constexpr std::size_t parts = 1;
  static constexpr std::size_t columns = 1;

  [[nodiscard]] static words load(const std::byte* p) noexcept { return get_word32(p); }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words digits(words w) noexcept {
    return (Right >= 0 ? w >> (Right & 31) : w << (-Right & 31)) & Mask;
  }
  template<int Right, std::uint32_t Mask>
  [[nodiscard]] static words merge(words low, words w) noexcept {
    return (low & ~Mask) | digits<Right, Mask>(w);
  }
  [[nodiscard]] static const std::int8_t* broadcast_quad(const std::int8_t* x) noexcept { return x; }
  template<unsigned Bits>
  struct products {
    std::int32_t total;
    explicit products(std::int32_t start = 0) noexcept : total(start) {}
    template<std::size_t K>
    void add(quad<K>, words codes, const std::int8_t* x) noexcept {
      for (unsigned j = 0; j < 4; ++j) total += static_cast<std::int32_t>(codes >> (8 * j) & 0xFFu) * x[j];
    }
    void end_block() noexcept {}
    [[nodiscard]] words sum() const noexcept { return static_cast<words>(total); }
  };
  [[nodiscard]] static float to_float(words w) noexcept { return static_cast<float>(static_cast<std::int32_t>(w)); }
  template<unsigned Bits, unsigned At>
  [[nodiscard]] static float number(words w) noexcept {
    return static_cast<float>(static_cast<std::int32_t>(w >> At & ((1u << Bits) - 1u)));
  }
  template<class Float, unsigned At>
  [[nodiscard]] static float small_float(words w) noexcept {
    return Float::decode(static_cast<std::uint8_t>(w >> At & ((1u << Float::bits) - 1u)));
  }
  template<unsigned Bits, std::size_t J>
  [[nodiscard]] static float look_up(words codes, const float* table, std::size_t) noexcept {
    return table[codes >> (8 * J) & 0xFFu];
  }
  [[nodiscard]] static words nibbles(words codes, const std::uint8_t* table) noexcept {
    words found = 0;
    for (unsigned j = 0; j < 4; ++j) found |= static_cast<words>(table[codes >> (8 * j) & 15u]) << (8 * j);
    return found;
  }
  [[nodiscard]] static float load_floats(const std::byte* p) noexcept { return kernel::bit_cast<float>(get_word32(p)); }
  [[nodiscard]] static float load_halves(const std::byte* p) noexcept { return half_to_float(get_word16(p)); }
  [[nodiscard]] static float load_bfloat16s(const std::byte* p) noexcept { return bfloat16_to_float(get_word16(p)); }
  template<unsigned Bits>
  [[nodiscard]] static float zero_points(const std::byte* run, std::size_t first) noexcept {
    return static_cast<float>(static_cast<std::int32_t>(code_at<Bits>(run, first)));
  }
  static void store_low_bytes(std::int8_t* p, float v) noexcept {
    *p = static_cast<std::int8_t>(kernel::bit_cast<std::uint32_t>(v) & 0xFFu);
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_LANES_SCALAR
