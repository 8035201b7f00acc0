#pragma once

#include <precis/codec/blocks/code_book.hpp>
#include <precis/codec/blocks/searches.hpp>
#include <precis/kernel/blocks/lattice.hpp>

#include <algorithm>
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
  bool choose(const code_book& book, std::size_t k, float by, float this_scale, unsigned* to) noexcept {
    const std::size_t n = book.values(), at = k * n;
    const float top = book.bits() == 2 ? 2 : 7;
    std::size_t tuple = 0;
    for (unsigned i = 0; i < n; ++i) {
      to[at + i] = static_cast<unsigned>(clamped(nearest(0.5f * (by * x[at + i] - 1)), 0, top));
      tuple |= std::size_t{to[at + i]} << book.bits() * i;
    }
    if (book.holds(tuple)) return true;
    float least = std::numeric_limits<float>::max();
    std::size_t best = book.tuple_of(book.candidates(tuple)[0]);
    for (const std::uint16_t e : book.candidates(tuple)) {
      const std::size_t other = book.tuple_of(e);
      float distance = 0;
      for (unsigned i = 0; i < n; ++i) {
        const float difference = this_scale * static_cast<float>(2 * book.code(other, i) + 1) - x[at + i];
        distance += root_w[at + i] * difference * difference;
      }
      if (!(distance < least)) continue;
      least = distance;
      best = other;
    }
    for (unsigned i = 0; i < n; ++i) to[at + i] = book.code(best, i);
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
  void search(const code_book& book, float most, float step, int tries, second_pass again) noexcept {
    const std::size_t tuples = N / book.values();
    const float levels = book.bits() == 2 ? 5 : 15;
    bool on_grid[N / 4];
    for (bool& on : on_grid) on = again != second_pass::all_if_any_off_grid;
    float best = 0, products, squares;
    for (int t = -tries; t <= tries; ++t) {
      const float by = (levels + static_cast<float>(t) * step) / most, this_scale = 1 / by;
      unsigned trial[N];
      bool on[N / 4];
      for (std::size_t k = 0; k < tuples; ++k) on[k] = choose(book, k, by, this_scale, trial);
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
        if (again != second_pass::off_grid || !on_grid[k]) static_cast<void>(choose(book, k, 1 / scale, scale, code));
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
      for (unsigned i = 0; i < book.values(); ++i)
        tuple |= std::size_t{code[k * book.values() + i]} << book.bits() * i;
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
        b.search(book, most, 0.1f, 6, detail::second_pass::all);
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
      b.search(book, most, 0.1f, 9, detail::second_pass::off_grid);
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
    b.search(book, most, 0.1f, 9, detail::second_pass::off_grid);
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
      b.search(book, most, 0.2f, 15, detail::second_pass::off_grid);
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
    b.search(book, most, 0.2f, 9, detail::second_pass::all_if_any_off_grid);
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

PRECIS_IEEE_END
}  // namespace precis::codec::blocks
