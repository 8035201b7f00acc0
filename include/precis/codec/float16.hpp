#pragma once

#include <precis/codec/dense_copy.hpp>
#include <precis/codec/weight_checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/dense_format.hpp>
#include <precis/kernel/half.hpp>
#include <precis/kernel/ieee.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

namespace precis::codec {
PRECIS_IEEE_BEGIN

namespace detail {

template<class Word>
void store_word(Word word, std::byte* at) noexcept {
  if constexpr (std::endian::native == std::endian::little)
    std::memcpy(at, &word, sizeof word);
  else
    for (unsigned i = 0; i < sizeof(Word); ++i) at[i] = static_cast<std::byte>(word >> (8 * i) & 0xFFu);
}
template<class Word>
[[nodiscard]] Word load_word(const std::byte* at) noexcept {
  Word word = 0;
  if constexpr (std::endian::native == std::endian::little)
    std::memcpy(&word, at, sizeof word);
  else
    for (unsigned i = 0; i < sizeof(Word); ++i) word = static_cast<Word>(word | static_cast<Word>(at[i]) << (8 * i));
  return word;
}

/// Stores one little-endian `Word` per weight, row-major. `to` converts a weight to its word.
template<class Word, class To>
void encode_numbers(const std::string& name, weight_view weights, std::span<std::byte> packed, To to) {
  check_size(name, packed.size(), weights.size() * sizeof(Word), weights);
  const with_contiguous_rows contiguous(weights);
  const weight_view w = contiguous.view();
  // All exponent bits are set in NaN, infinity and numbers that overflowed. The flags are accumulated, so that the loop
  // has no early exit.
  Word overflow = 0;
  constexpr Word exponent = to.exponent;
  for (std::size_t r = 0; r < w.rows; ++r) {
    const float* x = w.row(r).data();
    std::byte* row = packed.data() + r * w.cols * sizeof(Word);
    for (std::size_t c = 0; c < w.cols; ++c) {
      const Word word = to(x[c]);
      overflow |= static_cast<Word>((word & exponent) == exponent);
      store_word(word, row + c * sizeof(Word));
    }
  }
  if (overflow == 0) return;
  check_finite(weights, "codec " + name);
  for (std::size_t r = 0; r < weights.rows; ++r)
    for (std::size_t c = 0; c < weights.cols; ++c)
      if ((to(weights(r, c)) & exponent) == exponent)
        refuse({.what = "the weight in row " + std::to_string(r) + ", column " + std::to_string(c) + ", " +
                        std::to_string(weights(r, c)) + ", is too large",
                .where = "codec " + name,
                .expected = "weights that " + name + " can hold"});
}

/// Reads what encode_numbers stored. `from` converts a word to a weight.
template<class Word, class From>
void decode_numbers(const std::string& name, std::span<const std::byte> packed, mutable_weight_view weights,
                    From from) {
  check_size(name, packed.size(), weights.size() * sizeof(Word), weights);
  std::vector<float> scratch;
  mutable_weight_view w = weights;
  if (!weights.rows_contiguous()) {
    scratch.resize(weights.size());
    w = {scratch, weights.rows, weights.cols};
  }
  for (std::size_t r = 0; r < w.rows; ++r) {
    float* x = w.row(r).data();
    const std::byte* row = packed.data() + r * w.cols * sizeof(Word);
    for (std::size_t c = 0; c < w.cols; ++c) x[c] = from(load_word<Word>(row + c * sizeof(Word)));
  }
  if (!scratch.empty()) copy_values(w, weights);
}

struct to_float16 {
  static constexpr std::uint16_t exponent = 0x7C00;
  std::uint16_t operator()(float x) const noexcept { return kernel::float_to_half(x); }
};
struct to_bfloat16 {
  static constexpr std::uint16_t exponent = 0x7F80;
  std::uint16_t operator()(float x) const noexcept { return kernel::float_to_bfloat16(x); }
};
struct to_float32 {
  static constexpr std::uint32_t exponent = 0x7F80'0000;
  std::uint32_t operator()(float x) const noexcept { return kernel::bit_cast<std::uint32_t>(x); }
};

}  // namespace detail

/// IEEE half precision: 16 bits per weight, rounded to nearest even. Layout: row-major, little-endian.
///
/// Errors   weights that are not finite or that round to more than 65504, by row and column.
/// Cost     one read.
struct float16 {
  static constexpr bool keeps_zero = true;
  static constexpr kernel::dense_type format = kernel::dense_type::float16;

  [[nodiscard]] static std::string name() { return "float16"; }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in * 2; }
  template<class = void>
  static void encode(weight_view weights, std::span<std::byte> packed) {
    detail::encode_numbers<std::uint16_t>(name(), weights, packed, detail::to_float16{});
  }
  template<class = void>
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    detail::decode_numbers<std::uint16_t>(name(), packed, weights,
                                          [](std::uint16_t h) { return kernel::half_to_float(h); });
  }
};

/// The upper half of a float32, rounded to nearest even: the range of float32 with 8 bits of precision. Layout: as
/// float16.
struct bfloat16 {
  static constexpr bool keeps_zero = true;
  static constexpr kernel::dense_type format = kernel::dense_type::bfloat16;

  [[nodiscard]] static std::string name() { return "bfloat16"; }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in * 2; }
  template<class = void>
  static void encode(weight_view weights, std::span<std::byte> packed) {
    detail::encode_numbers<std::uint16_t>(name(), weights, packed, detail::to_bfloat16{});
  }
  template<class = void>
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    detail::decode_numbers<std::uint16_t>(name(), packed, weights,
                                          [](std::uint16_t b) { return kernel::bfloat16_to_float(b); });
  }
};

/// The weights unchanged. Layout: row-major, little-endian.
struct float32 {
  static constexpr bool keeps_zero = true;
  static constexpr kernel::dense_type format = kernel::dense_type::float32;

  [[nodiscard]] static std::string name() { return "float32"; }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in * 4; }
  template<class = void>
  static void encode(weight_view weights, std::span<std::byte> packed) {
    detail::encode_numbers<std::uint32_t>(name(), weights, packed, detail::to_float32{});
  }
  template<class = void>
  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    detail::decode_numbers<std::uint32_t>(name(), packed, weights,
                                          [](std::uint32_t x) { return kernel::bit_cast<float>(x); });
  }
};

PRECIS_IEEE_END
}  // namespace precis::codec
