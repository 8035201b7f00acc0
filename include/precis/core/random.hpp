#pragma once

#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstdint>
#include <numbers>
#include <string_view>

namespace precis {
PRECIS_IEEE_BEGIN

/// One step of splitmix64: a bijection of 64-bit words in which every input bit affects every output bit.
///
/// Source   Vigna's splitmix64, after Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014).
[[nodiscard]] constexpr std::uint64_t mix64(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// The FNV-1a hash of a name, so that streams are named by words: random_stream(seed, purpose("noise")).
[[nodiscard]] constexpr std::uint64_t purpose(std::string_view name) noexcept {
  std::uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

/// A counter-based random stream: draw i depends only on (seed, purpose, i), never on earlier draws.
///
/// Errors   none: noexcept.
/// Cost     O(1) per draw.
/// Source   splitmix64 over (seed, stream, index); normals by Box and Muller (1958), in double.
struct random_stream {
  std::uint64_t key = 0;

  constexpr random_stream(std::uint64_t seed, std::uint64_t stream) noexcept : key(mix64(mix64(seed) ^ stream)) {}

  /// 64 random bits.
  [[nodiscard]] constexpr std::uint64_t at(std::uint64_t index) const noexcept { return mix64(key ^ mix64(index)); }
  /// Uniform in [0, 1), 53 bits.
  [[nodiscard]] constexpr double uniform(std::uint64_t index) const noexcept {
    return static_cast<double>(at(index) >> 11) * 0x1.0p-53;
  }
  /// Uniform integer in [0, n), n > 0: the high word of a 128-bit product, with bias below n / 2^64.
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t index, std::uint64_t n) const noexcept {
    const std::uint64_t x = at(index);
    const std::uint64_t low = (x & 0xFFFFFFFFull) * (n & 0xFFFFFFFFull);
    const std::uint64_t cross = (x >> 32) * (n & 0xFFFFFFFFull) + (low >> 32);
    const std::uint64_t other_cross = (x & 0xFFFFFFFFull) * (n >> 32) + (cross & 0xFFFFFFFFull);
    return (x >> 32) * (n >> 32) + (cross >> 32) + (other_cross >> 32);
  }
  /// Standard normal. Draws 2j and 2j + 1 are the two halves of one Box-Muller pair.
  [[nodiscard]] double normal(std::uint64_t index) const noexcept {
    const std::uint64_t pair = index / 2;
    const double u = 1.0 - uniform(2 * pair);  // (0, 1]: log is finite
    const double angle = 2.0 * std::numbers::pi * uniform(2 * pair + 1);
    const double radius = math::sqrt(-2.0 * math::log(u));
    return radius * (index % 2 == 0 ? math::cos(angle) : math::sin(angle));
  }
};

/// The Mersenne twister that std::mt19937 is as well, without the cost of including its header.
///
/// Errors   none: noexcept.
/// Cost     2.5 KiB, O(1) per draw.
/// Source   Matsumoto and Nishimura, "Mersenne Twister: A 623-Dimensionally Equidistributed Uniform Pseudo-Random Number
///          Generator" (1998): w = 32, n = 624, m = 397, r = 31; the initialization of the authors' 2002 revision.
/// @post    equal to std::mt19937 draw for draw.
class mersenne_twister {
 public:
  explicit constexpr mersenne_twister(std::uint32_t seed) noexcept {
    state_[0] = seed;
    for (std::uint32_t i = 1; i < size; ++i) state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }

  constexpr std::uint32_t operator()() noexcept {
    if (next_ == size) advance();
    std::uint32_t x = state_[next_++];
    x ^= x >> 11;
    x ^= (x << 7) & 0x9D2C5680u;
    x ^= (x << 15) & 0xEFC60000u;
    return x ^ (x >> 18);
  }

 private:
  static constexpr std::uint32_t size = 624, middle = 397;

  constexpr void advance() noexcept {
    for (std::uint32_t i = 0; i < size; ++i) {
      const std::uint32_t joined = (state_[i] & 0x80000000u) | (state_[(i + 1) % size] & 0x7FFFFFFFu);
      state_[i] = state_[(i + middle) % size] ^ (joined >> 1) ^ ((joined & 1u) != 0 ? 0x9908B0DFu : 0u);
    }
    next_ = 0;
  }

  std::uint32_t state_[size] = {};
  std::uint32_t next_ = size;
};

/// A uniform double in [0, 1) from two draws of a Mersenne twister, as in NumPy's RandomState. The engine is a
/// mersenne_twister or a std::mt19937.
template<class Engine>
[[nodiscard]] double legacy_uniform(Engine& engine) {
  const auto a = static_cast<double>(engine() >> 5);
  const auto b = static_cast<double>(engine() >> 6);
  return (a * 67108864.0 + b) / 9007199254740992.0;
}

/// The normal generator of NumPy's RandomState, which ROME uses: Mersenne twister and Marsaglia's polar method.
///
/// Draws are sequential. It exists to reproduce published noise; everything else uses `random_stream`.
///
/// Source   numpy.random.RandomState(seed).randn, equal draw for draw; kmeng01/rome, experiments/causal_trace.py.
class legacy_gaussian {
 public:
  explicit legacy_gaussian(std::uint32_t seed) : engine_(seed) {}

  [[nodiscard]] double operator()() {
    if (kept_) {
      kept_ = false;
      return saved_;
    }
    double x1 = 0, x2 = 0, r = 0;
    do {
      x1 = 2.0 * legacy_uniform(engine_) - 1.0;
      x2 = 2.0 * legacy_uniform(engine_) - 1.0;
      r = x1 * x1 + x2 * x2;
    } while (r >= 1.0 || r == 0.0);
    const double f = math::sqrt(-2.0 * math::log(r) / r);
    saved_ = f * x1;
    kept_ = true;
    return f * x2;
  }

 private:
  mersenne_twister engine_;
  double saved_ = 0;
  bool kept_ = false;
};

PRECIS_IEEE_END
}  // namespace precis
