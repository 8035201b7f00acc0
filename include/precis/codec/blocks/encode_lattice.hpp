#pragma once

#include <precis/codec/blocks/code_book.hpp>
#include <precis/codec/blocks/searches.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/kernel/blocks/lattice_blocks.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>

/// Encoders of ggml's IQ1, IQ2 and IQ3, byte for byte those of ggml.
///
/// Requires  256 finite weights at `x`; 256 importances, null for iq2_s, iq3_xxs, iq3_s and iq1_m only; the type's `bytes`
///           at `to`.
/// Source    docs/methods/ggml.md.
namespace precis::codec::blocks {

using namespace kernel::blocks;

PRECIS_IEEE_BEGIN

namespace detail {

namespace tables = kernel::blocks::lattice_tables;

/// Which tuples are chosen again with the final scale.
enum class second_pass { off_grid, all_if_any_off_grid, all };

/// N weights of one scale: their magnitudes, coded by tuples of a code book, and their signs.
template<std::size_t N>
struct lattice_block {
  float x[N], w[N], root_w[N];
  unsigned code[N];
  std::uint16_t entry[N / 4];  ///< for each tuple
  unsigned minus[N / 8];       ///< signs of eight weights
  float scale = 0;

  /// Takes the magnitudes and signs. `even`: an odd number of minus signs is made even by turning the weight whose
  /// sign matters least.
  void split(const float* from, bool even) noexcept {
    for (std::size_t k = 0; k < N / 8; ++k) {
      minus[k] = 0;
      unsigned count = 0;
      for (std::size_t i = 8 * k; i < 8 * k + 8; ++i) {
        const bool negative = !(from[i] >= 0);
        x[i] = negative ? -from[i] : from[i];
        minus[k] |= (negative ? 1u : 0u) << i % 8;
        count += negative ? 1u : 0u;
      }
      if (!even || count % 2 == 0) continue;
      std::size_t least = 8 * k;
      for (std::size_t i = 8 * k + 1; i < 8 * k + 8; ++i)
        if (w[i] * from[i] * from[i] < w[least] * from[least] * from[least]) least = i;
      x[least] = -x[least];
      minus[k] ^= 1u << least % 8;
    }
    for (std::size_t i = 0; i < N; ++i) root_w[i] = __builtin_sqrtf(w[i]);
  }
  [[nodiscard]] float largest() const noexcept {
    float most = x[0];
    for (const float v : x) most = v > most ? v : most;
    return most;
  }
  void clear() noexcept {
    for (unsigned& c : code) c = 0;
    scale = 0;
  }

  /// The codes that scale 1 / by gives, moved to the code book. @return whether tuple k was in it.
  template<unsigned Values>
  [[nodiscard]] bool choose(const code_book& book, std::size_t k, float by, float this_scale,
                            unsigned* to) const noexcept {
    constexpr unsigned bits = 16 / Values == 2 ? 2 : 3, levels = bits == 2 ? 3 : 8;
    const std::size_t at = k * Values;
    std::size_t tuple = 0;
    for (unsigned i = 0; i < Values; ++i) {
      to[at + i] = static_cast<unsigned>(clamped(nearest(0.5f * (by * x[at + i] - 1)), 0, float{levels - 1}));
      tuple |= std::size_t{to[at + i]} << bits * i;
    }
    if (book.holds(tuple)) return true;
    float error[Values][levels];  // of each value at each level: the terms of a candidate's distance
    for (unsigned i = 0; i < Values; ++i)
      for (unsigned c = 0; c < levels; ++c) {
        const float difference = this_scale * static_cast<float>(2 * c + 1) - x[at + i];
        error[i][c] = root_w[at + i] * difference * difference;
      }
    float least = std::numeric_limits<float>::max();
    const std::uint8_t* best = book.codes_of(book.candidates(tuple)[0]);
    for (const std::uint16_t e : book.candidates(tuple)) {
      const std::uint8_t* const other = book.codes_of(e);
      float distance = 0;
      for (unsigned i = 0; i < Values; ++i) distance += error[i][other[i]];
      best = distance < least ? other : best;
      least = distance < least ? distance : least;
    }
    for (unsigned i = 0; i < Values; ++i) to[at + i] = best[i];
    return false;
  }

  /// The sums behind the scale of least squares.
  void sums(const unsigned* codes, float& products, float& squares) const noexcept {
    products = squares = 0;
    for (std::size_t i = 0; i < N; ++i) {
      const auto q = static_cast<float>(2 * codes[i] + 1);
      products += w[i] * x[i] * q;
      squares += w[i] * q * q;
    }
  }

  /// Tries the scales most / (levels + step t) for |t| <= tries, then chooses tuples again with the best scale.
  template<unsigned Values>
  void search(const code_book& book, float most, float step, int tries, second_pass again) noexcept {
    constexpr std::size_t tuples = N / Values;
    constexpr float levels = Values == 8 ? 5 : 15;
    bool on_grid[N / 4];
    for (bool& on : on_grid) on = again != second_pass::all_if_any_off_grid;
    float best = 0, products, squares;
    for (int t = -tries; t <= tries; ++t) {
      const float by = (levels + static_cast<float>(t) * step) / most, this_scale = 1 / by;
      unsigned trial[N];
      bool on[N / 4];
      for (std::size_t k = 0; k < tuples; ++k) on[k] = choose<Values>(book, k, by, this_scale, trial);
      sums(trial, products, squares);
      if (!(squares > 0) || !(products * products > best * squares)) continue;
      scale = products / squares;
      best = scale * products;
      std::copy_n(trial, N, code);
      std::copy_n(on, tuples, on_grid);
    }
    const bool any = again == second_pass::all || std::count(on_grid, on_grid + tuples, false) > 0;
    if (any && scale > 0) {
      for (std::size_t k = 0; k < tuples; ++k)
        if (again != second_pass::off_grid || !on_grid[k])
          static_cast<void>(choose<Values>(book, k, 1 / scale, scale, code));
      sums(code, products, squares);
      if (squares > 0) scale = products / squares;
    }
    if (scale < 0) {
      scale = -scale;
      for (unsigned& m : minus) m = ~m & 255u;
    }
  }

  /// Finds the entries of the codes.
  void find_entries(const code_book& book) noexcept {
    for (std::size_t k = 0; k < N / book.values(); ++k) {
      std::size_t tuple = 0;
      for (unsigned i = 0; i < book.values(); ++i) tuple |= std::size_t{code[k * book.values() + i]} << book.bits() * i;
      entry[k] = book.candidates(tuple)[0];
    }
  }
};

[[nodiscard]] inline float mean_of_squares(const float* x) noexcept {
  float sum = 0;
  for (std::size_t i = 0; i < 256; ++i) sum += x[i] * x[i];
  return sum / 256;
}
[[nodiscard]] inline float importance_weight(float importance, float variance, float x) noexcept {
  return importance * __builtin_sqrtf(variance + x * x);
}
/// The code of a scale in steps of 2 d, from d: nearest((scale / d - 1) / 2) within 0 ... top.
[[nodiscard]] inline unsigned scale_code(float by, float scale, float top) noexcept {
  return static_cast<unsigned>(clamped(nearest(0.5f * (by * scale - 1)), 0, top));
}

template<class = void>
[[nodiscard]] const code_book& iq2_xxs_book() {
  static const code_book book(tables::iq2_xxs, 8, 2);
  return book;
}
template<class = void>
[[nodiscard]] const code_book& iq2_xs_book() {
  static const code_book book(tables::iq2_xs, 8, 2);
  return book;
}
template<class = void>
[[nodiscard]] const code_book& iq2_s_book() {
  static const code_book book(tables::iq2_s, 8, 1);
  return book;
}
template<class = void>
[[nodiscard]] const code_book& iq3_xxs_book() {
  static const code_book book(tables::iq3_xxs, 4, 2);
  return book;
}
template<class = void>
[[nodiscard]] const code_book& iq3_s_book() {
  static const code_book book(tables::iq3_s, 4, 3);
  return book;
}
template<class = void>
[[nodiscard]] const code_book& iq1_book() {
  static const code_book book(tables::iq1_s, 8, 3);
  return book;
}

}  // namespace detail

template<class = void>
void encode(iq2_xxs, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq2_xxs_book();
  const float variance = detail::mean_of_squares(x);
  float scales[8], most_scale = 0;
  std::uint32_t words[8];
  std::fill_n(to, iq2_xxs::bytes, std::byte{0});
  for (std::size_t j = 0; j < 8; ++j) {
    detail::lattice_block<32> b;
    for (std::size_t i = 0; i < 32; ++i)
      b.w[i] = detail::importance_weight(importance[32 * j + i], variance, x[32 * j + i]);
    b.split(x + 32 * j, true);
    b.clear();
    if (b.largest() >= least_magnitude) {
      float code[32];
      b.scale = search_scales<32>(b.x, b.w, 4, code);
      for (std::size_t i = 0; i < 32; ++i) b.code[i] = static_cast<unsigned>(code[i]);
      const float most = b.scale * 3;
      if (most > 0)
        b.search<8>(book, most, 0.1f, 6, detail::second_pass::all);
      else
        b.clear();
    }
    words[j] = 0;
    scales[j] = b.scale;
    if (!(b.scale > 0)) continue;
    b.find_entries(book);
    for (unsigned k = 0; k < 4; ++k) {
      to[2 + 8 * j + k] = static_cast<std::byte>(b.entry[k]);
      words[j] |= std::uint32_t{b.minus[k] & 127u} << 7 * k;
    }
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) {
    std::fill_n(to, iq2_xxs::bytes, std::byte{0});
    return;
  }
  const float d = most_scale / 31;
  kernel::put_word16(kernel::float_to_half(d), to);
  for (std::size_t j = 0; j < 8; ++j)
    kernel::put_word32(words[j] | std::uint32_t{detail::scale_code(1 / d, scales[j], 15)} << 28, to + 2 + 8 * j + 4);
}

template<class = void>
void encode(iq2_xs, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq2_xs_book();
  const float variance = detail::mean_of_squares(x);
  float scales[16], most_scale = 0;
  std::fill_n(to, iq2_xs::bytes, std::byte{0});
  for (std::size_t j = 0; j < 16; ++j) {
    detail::lattice_block<16> b;
    for (std::size_t i = 0; i < 16; ++i)
      b.w[i] = detail::importance_weight(importance[16 * j + i], variance, x[16 * j + i]);
    b.split(x + 16 * j, true);
    b.clear();
    const float most = b.largest();
    if (most >= least_magnitude) {
      b.scale = most / 5;
      b.search<8>(book, most, 0.1f, 9, detail::second_pass::off_grid);
    }
    b.find_entries(book);
    for (std::size_t k = 0; k < 2; ++k)
      kernel::put_word16(static_cast<std::uint16_t>(b.entry[k] | (b.minus[k] & 127u) << 9), to + 2 + 4 * j + 2 * k);
    scales[j] = b.scale;
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) {
    std::fill_n(to, iq2_xs::bytes, std::byte{0});
    return;
  }
  const float d = most_scale / 31;
  kernel::put_word16(kernel::float_to_half(d), to);
  for (std::size_t j = 0; j < 16; ++j)
    to[66 + j / 2] |= static_cast<std::byte>(detail::scale_code(1 / d, scales[j], 15) << 4 * (j % 2));
}

template<class = void>
void encode(iq2_s, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq2_s_book();
  const float variance = 2 * detail::mean_of_squares(x);
  float scales[16], most_scale = 0;
  std::fill_n(to, iq2_s::bytes, std::byte{0});
  for (std::size_t j = 0; j < 16; ++j) {
    detail::lattice_block<16> b;
    for (std::size_t i = 0; i < 16; ++i) {
      const float v = x[16 * j + i];
      b.w[i] = importance != nullptr ? detail::importance_weight(importance[16 * j + i], variance, v)
                                     : 0.25f * variance + v * v;
    }
    b.split(x + 16 * j, false);
    b.clear();
    const float most = b.largest();
    scales[j] = 0;
    if (most < 1e-8f) continue;
    b.scale = most / 5;
    b.search<8>(book, most, 0.1f, 9, detail::second_pass::off_grid);
    b.find_entries(book);
    for (std::size_t k = 0; k < 2; ++k) {
      to[2 + 2 * j + k] = static_cast<std::byte>(b.entry[k] & 255u);
      to[34 + 2 * j + k] = static_cast<std::byte>(b.minus[k]);
      to[66 + j / 2] |= static_cast<std::byte>(b.entry[k] >> 8 << 2 * ((2 * j + k) % 4));
    }
    scales[j] = b.scale;
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) return;
  const float d = most_scale / 31;
  kernel::put_word16(kernel::float_to_half(d * 0.9875f), to);
  for (std::size_t j = 0; j < 16; ++j)
    to[74 + j / 2] |= static_cast<std::byte>(detail::scale_code(1 / d, scales[j], 15) << 4 * (j % 2));
}

template<class = void>
void encode(iq3_xxs, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq3_xxs_book();
  const float variance = 2 * detail::mean_of_squares(x);
  float scales[8], most_scale = 0;
  std::uint32_t words[8];
  std::fill_n(to, iq3_xxs::bytes, std::byte{0});
  for (std::size_t j = 0; j < 8; ++j) {
    detail::lattice_block<32> b;
    for (std::size_t i = 0; i < 32; ++i) {
      const float v = x[32 * j + i];
      b.w[i] = importance != nullptr ? detail::importance_weight(importance[32 * j + i], variance, v) : v * v;
    }
    b.split(x + 32 * j, true);
    b.clear();
    const float most = b.largest();
    if (most >= 1e-8f) {
      b.scale = most / 15;
      b.search<4>(book, most, 0.2f, 15, detail::second_pass::off_grid);
    }
    b.find_entries(book);
    for (std::size_t k = 0; k < 8; ++k) to[2 + 8 * j + k] = static_cast<std::byte>(b.entry[k]);
    words[j] = 0;
    for (unsigned k = 0; k < 4; ++k) words[j] |= std::uint32_t{b.minus[k] & 127u} << 7 * k;
    scales[j] = b.scale;
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) {
    std::fill_n(to, iq3_xxs::bytes, std::byte{0});
    return;
  }
  const float d = most_scale / 31;
  kernel::put_word16(kernel::float_to_half(d * 1.0125f), to);
  for (std::size_t j = 0; j < 8; ++j)
    kernel::put_word32(words[j] | std::uint32_t{detail::scale_code(1 / d, scales[j], 15)} << 28, to + 66 + 4 * j);
}

template<class = void>
void encode(iq3_s, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq3_s_book();
  const float variance = 2 * detail::mean_of_squares(x);
  float scales[8], most_scale = 0;
  std::fill_n(to, iq3_s::bytes, std::byte{0});
  std::size_t at = 0;  // as in ggml, entries and signs of later sub-blocks move up where a sub-block is zero
  for (std::size_t j = 0; j < 8; ++j) {
    detail::lattice_block<32> b;
    for (std::size_t i = 0; i < 32; ++i) {
      const float v = x[32 * j + i];
      b.w[i] = importance != nullptr ? detail::importance_weight(importance[32 * j + i], variance, v) : v * v;
    }
    b.split(x + 32 * j, false);
    b.clear();
    const float most = b.largest();
    scales[j] = 0;
    if (!(most > 0)) continue;
    b.scale = most / 15;
    b.search<4>(book, most, 0.2f, 9, detail::second_pass::all_if_any_off_grid);
    b.find_entries(book);
    for (std::size_t k = 0; k < 8; ++k) {
      to[2 + 8 * at + k] = static_cast<std::byte>(b.entry[k] & 255u);
      to[66 + j] |= static_cast<std::byte>(b.entry[k] >> 8 << k);
    }
    for (std::size_t k = 0; k < 4; ++k) to[74 + 4 * at + k] = static_cast<std::byte>(b.minus[k]);
    ++at;
    scales[j] = b.scale;
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) return;
  const float d = most_scale / 31;
  kernel::put_word16(kernel::float_to_half(d * 1.033f), to);
  for (std::size_t j = 0; j < 8; ++j)
    to[106 + j / 2] |= static_cast<std::byte>(detail::scale_code(1 / d, scales[j], 15) << 4 * (j % 2));
}

namespace detail {

/// The three values of IQ1 with a shift of +1/8 or -1/8, and the entries of N weights chosen for them.
template<std::size_t N>
struct ternary_block {
  float x[N], w[N];
  unsigned code[N];
  std::uint16_t entry[N / 8];
  bool down[N / 8];  ///< whether the shift of eight weights is -1/8
  float scale = 0;

  [[nodiscard]] static constexpr float value(unsigned code, bool down) noexcept {
    return static_cast<float>(static_cast<int>(code) - 1) + (down ? -0.125f : 0.125f);
  }
  [[nodiscard]] float largest() const noexcept {
    float most = 0;
    for (const float v : x) most = magnitude(v) > most ? magnitude(v) : most;
    return most;
  }
  /// The positions of the weights in increasing order; equal weights keep theirs.
  void sort(std::size_t* order) const {
    for (std::size_t i = 0; i < N; ++i) order[i] = i;
    std::stable_sort(order, order + N, [&](std::size_t a, std::size_t b) { return x[a] < x[b]; });
  }
  /// The lowest `first` weights get code 0, those up to `second` 1, the rest 2; all turned round if the scale is
  /// negative.
  void split(const std::size_t* order, std::size_t first, std::size_t second) noexcept {
    for (std::size_t i = 0; i < N; ++i) code[order[i]] = i < first ? 0 : i < second ? 1 : 2;
    if (!(scale < 0)) return;
    for (unsigned& c : code) c = 2 - c;
    scale = -scale;
    for (bool& d : down) d = !d;
  }
  /// Moves codes to the code book; if any moved, the scale becomes that of least squares.
  void choose(const code_book& book) noexcept {
    bool on_grid = true;
    for (std::size_t k = 0; k < N / 8; ++k) {
      std::size_t tuple = 0;
      for (unsigned i = 0; i < 8; ++i) tuple |= std::size_t{code[8 * k + i]} << 2 * i;
      on_grid = on_grid && book.holds(tuple);
      float least = std::numeric_limits<float>::max();
      entry[k] = book.candidates(tuple)[0];
      if (book.holds(tuple)) continue;
      for (const std::uint16_t e : book.candidates(tuple)) {
        float distance = 0;
        for (unsigned i = 0; i < 8; ++i) {
          const float difference = scale * value(book.code(book.tuple_of(e), i), down[k]) - x[8 * k + i];
          distance += w[8 * k + i] * difference * difference;
        }
        if (!(distance < least)) continue;
        least = distance;
        entry[k] = e;
      }
    }
    if (on_grid) return;
    float products = 0, squares = 0;
    sums(book, products, squares, 1);
    if (products > 0 && squares > 0) scale = products / squares;
  }
  /// Adds to the sums behind the scale of least squares, with all values times `by`.
  void sums(const code_book& book, float& products, float& squares, float by) const noexcept {
    for (std::size_t k = 0; k < N / 8; ++k)
      for (unsigned i = 0; i < 8; ++i) {
        const float q = value(book.code(book.tuple_of(entry[k]), i), down[k]) * by;
        products += w[8 * k + i] * q * x[8 * k + i];
        squares += w[8 * k + i] * q * q;
      }
  }
};

}  // namespace detail

template<class = void>
void encode(iq1_s, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq1_book();
  const float variance = 2 * detail::mean_of_squares(x);
  float scales[8], most_scale = 0;
  bool down[8];
  std::fill_n(to, iq1_s::bytes, std::byte{0});
  for (std::size_t j = 0; j < 8; ++j) {
    detail::ternary_block<32> b;
    std::copy_n(x + 32 * j, 32, b.x);
    for (std::size_t i = 0; i < 32; ++i) b.w[i] = detail::importance_weight(importance[32 * j + i], variance, b.x[i]);
    scales[j] = 0;
    down[j] = false;
    const float most = b.largest();
    if (most < 1e-12f) continue;
    std::size_t order[32];
    b.sort(order);
    float sum_x[33] = {}, sum_w[33] = {};
    for (std::size_t i = 0; i < 32; ++i) {
      sum_x[i + 1] = sum_x[i] + b.w[order[i]] * b.x[order[i]];
      sum_w[i + 1] = sum_w[i] + b.w[order[i]];
    }
    float best = -std::numeric_limits<float>::max();
    std::size_t first = 0, second = 0;
    bool shift_down = false;
    b.scale = most;
    for (std::size_t i1 = 0; i1 <= 32; ++i1)
      for (std::size_t i2 = i1; i2 <= 32; ++i2)
        for (const bool shift : {false, true}) {
          const float v[3] = {b.value(0, shift), b.value(1, shift), b.value(2, shift)};
          const float products =
              (sum_x[i1] - sum_x[0]) * v[0] + (sum_x[i2] - sum_x[i1]) * v[1] + (sum_x[32] - sum_x[i2]) * v[2];
          const float squares = (sum_w[i1] - sum_w[0]) * v[0] * v[0] + (sum_w[i2] - sum_w[i1]) * v[1] * v[1] +
                                (sum_w[32] - sum_w[i2]) * v[2] * v[2];
          if (!(squares > 0) || !(products * products > best * squares)) continue;
          b.scale = products / squares;
          best = b.scale * products;
          first = i1;
          second = i2;
          shift_down = shift;
        }
    if (best < 0) continue;
    for (bool& d : b.down) d = shift_down;
    b.split(order, first, second);
    b.choose(book);
    unsigned word = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      to[2 + 4 * j + k] = static_cast<std::byte>(b.entry[k] & 255u);
      word |= unsigned{b.entry[k]} >> 8 << 3 * k;
    }
    kernel::put_word16(static_cast<std::uint16_t>(word), to + 34 + 2 * j);
    scales[j] = b.scale;
    down[j] = b.down[0];
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) return;
  const float d = most_scale / 15;
  kernel::put_word16(kernel::float_to_half(d * 1.125f), to);
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned code = detail::scale_code(1 / d, scales[j], 7) | (down[j] ? 8u : 0u);
    kernel::put_word16(static_cast<std::uint16_t>(kernel::get_word16(to + 34 + 2 * j) | code << 12), to + 34 + 2 * j);
  }
}

template<class = void>
void encode(iq1_m, const float* x, const float* importance, std::byte* to) {
  const code_book& book = detail::iq1_book();
  const float variance = 2 * detail::mean_of_squares(x);
  detail::ternary_block<16> blocks[16];
  float most_scale = 0;
  std::fill_n(to, iq1_m::bytes, std::byte{0});
  for (std::size_t j = 0; j < 16; ++j) {
    detail::ternary_block<16>& b = blocks[j];
    std::copy_n(x + 16 * j, 16, b.x);
    for (std::size_t i = 0; i < 16; ++i)
      b.w[i] =
          importance != nullptr ? detail::importance_weight(importance[16 * j + i], variance, b.x[i]) : b.x[i] * b.x[i];
    b.scale = 0;
    b.entry[0] = b.entry[1] = 0;
    b.down[0] = b.down[1] = false;
    const float most = b.largest();
    if (most < 1e-7f) continue;
    std::size_t order[16];
    b.sort(order);
    float best = -std::numeric_limits<float>::max();
    std::size_t first = 0, second = 0;
    b.scale = most;
    unsigned shifts = 0;
    for (std::size_t i1 = 0; i1 <= 16; ++i1)
      for (std::size_t i2 = i1; i2 <= 16; ++i2) {
        float products[4] = {}, squares[4] = {};
        for (std::size_t p = 0; p < 16; ++p) {
          const std::size_t i = order[p];
          const unsigned code = p < i1 ? 0 : p < i2 ? 1 : 2;
          for (unsigned k = 0; k < 4; ++k) {
            const float v = b.value(code, (i < 8 ? k / 2 : k % 2) != 0);
            products[k] += b.w[i] * v * b.x[i];
            squares[k] += b.w[i] * v * v;
          }
        }
        for (unsigned k = 0; k < 4; ++k) {
          if (!(squares[k] > 0) || !(products[k] * products[k] > best * squares[k])) continue;
          b.scale = products[k] / squares[k];
          best = b.scale * products[k];
          first = i1;
          second = i2;
          shifts = k;
        }
      }
    if (best < 0) {
      b.scale = 0;
      continue;
    }
    b.down[0] = shifts / 2 != 0;
    b.down[1] = shifts % 2 != 0;
    b.split(order, first, second);
    b.choose(book);
    for (std::size_t k = 0; k < 2; ++k) to[2 * j + k] = static_cast<std::byte>(b.entry[k] & 255u);
    to[32 + j] = static_cast<std::byte>(b.entry[0] >> 8 | b.entry[1] >> 8 << 4);
    most_scale = b.scale > most_scale ? b.scale : most_scale;
  }
  if (!(most_scale > 0)) return;
  float d = most_scale / 15, products = 0, squares = 0;
  unsigned words[4] = {};
  for (std::size_t j = 0; j < 16; ++j) {
    const detail::ternary_block<16>& b = blocks[j];
    const unsigned code = detail::scale_code(1 / d, b.scale, 7);
    words[j / 4] |= code << 3 * (j % 4);
    to[32 + j] |= static_cast<std::byte>((b.down[0] ? 0x08u : 0u) | (b.down[1] ? 0x80u : 0u));
    b.sums(book, products, squares, static_cast<float>(2 * code + 1));
  }
  if (squares > 0) d = products / squares;
  const unsigned half = kernel::float_to_half(d * 1.1125f);
  for (std::size_t i = 0; i < 4; ++i)
    kernel::put_word16(static_cast<std::uint16_t>(words[i] | (half >> 4 * i & 15u) << 12), to + iq1_m::scales + 2 * i);
}

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
