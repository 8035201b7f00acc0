#pragma once

#include <precis/kernel/constants.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <cstdint>

/// PRECIS_LANE_LOOPS_BEGIN and PRECIS_LANE_LOOPS_END enclose functions whose innermost loops go over lanes: g++ makes
/// vectors of all of them with -O3 only.
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define PRECIS_LANE_LOOPS_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"O3\")")
#define PRECIS_LANE_LOOPS_END _Pragma("GCC pop_options")
#else
#define PRECIS_LANE_LOOPS_BEGIN
#define PRECIS_LANE_LOOPS_END
#endif

/// The searches for scales and codes behind ggml's reference encoders, to the bit.
///
/// ggml adds float sums in the order of the weights. Here `W` sub-blocks are searched side by side, one in each lane:
/// each lane adds in ggml's order, and the compiler makes vectors of the loops over lanes. Codes are whole floats.
///
/// Source  the specification of ggml's encoders in docs/methods/ggml.md.
namespace precis::codec::blocks {
PRECIS_IEEE_BEGIN
PRECIS_LANE_LOOPS_BEGIN

/// W sub-blocks of N weights, side by side, with the weight of each squared error.
template<std::size_t W, std::size_t N>
struct sub_blocks {
  alignas(64) float x[N][W];
  alignas(64) float w[N][W];
  alignas(64) float code[N][W];
  alignas(64) float scale[W];
  alignas(64) float minimum[W];  ///< what is subtracted: the negative of the least value

  /// Takes sub-block s from x[s * N ...].
  void load(const float* from) noexcept {
    for (std::size_t s = 0; s < W; ++s)
      for (std::size_t i = 0; i < N; ++i) x[i][s] = from[s * N + i];
  }
  /// Stores the codes in the order of the weights.
  void store(std::uint8_t* to) const noexcept {
    for (std::size_t s = 0; s < W; ++s)
      for (std::size_t i = 0; i < N; ++i) to[s * N + i] = static_cast<std::uint8_t>(code[i][s]);
  }
  /// The sum of the weights of each sub-block.
  void weigh(float* sums) const noexcept {
    for (std::size_t s = 0; s < W; ++s) sums[s] = 0;
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t s = 0; s < W; ++s) sums[s] += w[i][s];
  }
};

/// Below this magnitude a sub-block is zero.
inline constexpr float least_magnitude = 1e-15f;

/// The nearest whole number, ties to even. Requires |x| < 2^22; what is beyond stays beyond.
[[nodiscard]] PRECIS_INLINE constexpr float nearest(float x) noexcept { return (x + 12582912.f) - 12582912.f; }
/// NaN gives `least`.
[[nodiscard]] PRECIS_INLINE constexpr float clamped(float x, float least, float most) noexcept {
  const float up = x > least ? x : least;
  return up < most ? up : most;
}
[[nodiscard]] PRECIS_INLINE constexpr float magnitude(float x) noexcept { return x < 0 ? -x : x; }

/// x = scale code, codes of -top ... top - 1: nineteen scales around -top / m, where m is the weight of largest magnitude
/// with its sign; the one whose codes, with the scale of least squares, leave the least error. Codes are stored plus
/// top, but 0 in a sub-block of zeros.
template<std::size_t W, std::size_t N>
void search_symmetric(sub_blocks<W, N>& b, float top) noexcept {
  float peak[W] = {}, size[W] = {}, by[W], best[W], best_by[W], products[W], squares[W];
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float x = b.x[i][s], m = magnitude(x);
      peak[s] = m > size[s] ? x : peak[s];
      size[s] = m > size[s] ? m : size[s];
    }
  for (std::size_t s = 0; s < W; ++s) {
    peak[s] = size[s] < least_magnitude ? 1.f : peak[s];
    b.scale[s] = best[s] = best_by[s] = 0;
  }
  for (int trial = -10; trial <= 9; ++trial) {
    const bool first = trial == -10;
    if (trial == 0) continue;
    for (std::size_t s = 0; s < W; ++s) {
      by[s] = first ? -top / peak[s] : -(top + 0.1f * static_cast<float>(trial)) / peak[s];
      products[s] = squares[s] = 0;
    }
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t s = 0; s < W; ++s) {
        const float code = clamped(nearest(by[s] * b.x[i][s]), -top, top - 1);
        products[s] += b.w[i][s] * b.x[i][s] * code;
        squares[s] += b.w[i][s] * code * code;
      }
    for (std::size_t s = 0; s < W; ++s) {
      const bool some = squares[s] > 0;
      const bool better = first || (some && products[s] * products[s] > best[s] * squares[s]);
      const float scale = some ? products[s] / (some ? squares[s] : 1.f) : 0.f;
      b.scale[s] = better ? scale : b.scale[s];
      best[s] = better ? scale * products[s] : best[s];
      best_by[s] = better ? by[s] : best_by[s];
    }
  }
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float code = clamped(nearest(best_by[s] * b.x[i][s]), -top, top - 1) + top;
      b.code[i][s] = size[s] < least_magnitude ? 0.f : code;
    }
  for (std::size_t s = 0; s < W; ++s) b.scale[s] = size[s] < least_magnitude ? 0.f : b.scale[s];
}

/// How affine scales are tried.
struct affine_trials {
  float first = 0, step = 0;
  int steps = 0;
  bool absolute = false;  ///< the error is the sum of w |x - y| instead of w (x - y)^2
};

/// x = scale code - minimum, codes of 0 ... top: for each trial the codes with top + first + step t steps in the range of
/// the weights, then scale and minimum by weighted least squares; the trial of least error.
///
/// The range starts at 0 or below. It is that of the best trial so far, as in ggml, so the order of trials matters.
template<std::size_t W, std::size_t N>
void search_affine(sub_blocks<W, N>& b, float top, affine_trials trials) noexcept {
  float least[W], most[W], weight[W], mean[W], error[W], best[W], best_by[W], best_least[W];
  float by[W], codes[W], squares[W], products[W];
  bool flat[W];
  for (std::size_t s = 0; s < W; ++s) {
    least[s] = most[s] = b.x[0][s];
    weight[s] = mean[s] = best[s] = 0;
  }
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float x = b.x[i][s];
      least[s] = x < least[s] ? x : least[s];
      most[s] = x > most[s] ? x : most[s];
      weight[s] += b.w[i][s];
      mean[s] += b.w[i][s] * x;
    }
  for (std::size_t s = 0; s < W; ++s) {
    least[s] = least[s] > 0 ? 0.f : least[s];
    flat[s] = most[s] <= least[s];
    most[s] = flat[s] ? least[s] + 1 : most[s];
    best_by[s] = top / (most[s] - least[s]);
    best_least[s] = least[s];
    b.scale[s] = 1 / best_by[s];
  }
  const auto error_of = [&](float difference) PRECIS_INLINE_LAMBDA {
    return trials.absolute ? magnitude(difference) : difference * difference;
  };
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float code = clamped(nearest(best_by[s] * (b.x[i][s] - least[s])), 0, top);
      best[s] += b.w[i][s] * error_of(b.scale[s] * code + least[s] - b.x[i][s]);
    }
  for (int trial = 0; trial <= trials.steps; ++trial) {
    for (std::size_t s = 0; s < W; ++s) {
      by[s] = (trials.first + trials.step * static_cast<float>(trial) + top) / (most[s] - least[s]);
      codes[s] = squares[s] = products[s] = error[s] = 0;
    }
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t s = 0; s < W; ++s) {
        const float code = clamped(nearest(by[s] * (b.x[i][s] - least[s])), 0, top), w = b.w[i][s];
        b.code[i][s] = code;
        codes[s] += w * code;
        squares[s] += w * code * code;
        products[s] += w * code * b.x[i][s];
      }
    float scale[W], low[W];
    bool solvable[W];
    for (std::size_t s = 0; s < W; ++s) {
      const float determinant = weight[s] * squares[s] - codes[s] * codes[s];
      solvable[s] = determinant > 0 && !flat[s];
      const float by_determinant = solvable[s] ? determinant : 1.f;
      const float by_squares = solvable[s] ? squares[s] : 1.f;
      scale[s] = (weight[s] * products[s] - mean[s] * codes[s]) / by_determinant;
      low[s] = (squares[s] * mean[s] - codes[s] * products[s]) / by_determinant;
      scale[s] = low[s] > 0 ? products[s] / by_squares : scale[s];
      low[s] = low[s] > 0 ? 0.f : low[s];
    }
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t s = 0; s < W; ++s)
        error[s] += b.w[i][s] * error_of(scale[s] * b.code[i][s] + low[s] - b.x[i][s]);
    for (std::size_t s = 0; s < W; ++s) {
      const bool better = solvable[s] && error[s] < best[s];
      best[s] = better ? error[s] : best[s];
      best_by[s] = better ? by[s] : best_by[s];
      best_least[s] = better ? least[s] : best_least[s];
      b.scale[s] = better ? scale[s] : b.scale[s];
      least[s] = better ? low[s] : least[s];
    }
  }
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float code = clamped(nearest(best_by[s] * (b.x[i][s] - best_least[s])), 0, top);
      b.code[i][s] = flat[s] ? 0.f : code;
    }
  for (std::size_t s = 0; s < W; ++s) {
    b.scale[s] = flat[s] ? 0.f : b.scale[s];
    b.minimum[s] = -least[s];
  }
}

/// ggml keeps the codes of scales in bytes without sign: -1 is read back as 255.
[[nodiscard]] PRECIS_INLINE constexpr float as_byte(float code) noexcept {
  if (code >= 0) return code;
  return code > -0x1p22f ? code - 256 * __builtin_floorf(code / 256) : 0.f;
}

/// Moves codes, of -below ... most, one after another to where they fit best, until nothing changes or five times.
/// `products` and `squares` are the sums of w x code and w code^2, and stay so. With `below` 0, codes are bytes.
template<std::size_t W, std::size_t N>
void sweep(const float (&x)[N][W], const float (&w)[N][W], float below, float most, float (&code)[N][W],
           float (&products)[W], float (&squares)[W]) noexcept {
  for (int round = 0; round < 5; ++round) {
    unsigned moves = 0;
    for (std::size_t i = 0; i < N; ++i)
      for (std::size_t s = 0; s < W; ++s) {
        const float weighted = w[i][s] * x[i][s];
        const float p = products[s] - weighted * code[i][s], q = squares[s] - w[i][s] * code[i][s] * code[i][s];
        const bool free = p > 0 && (below > 0 || q > 0);
        const float wanted = nearest(x[i][s] * q / (free ? p : 1.f)), limited = wanted < most ? wanted : most;
        const float moved = below > 0 && limited < -below ? -below : limited;
        const float new_p = p + weighted * moved, new_q = q + w[i][s] * moved * moved;
        const bool better = free && moved != code[i][s] && (below <= 0 || new_q > 0) &&
                            new_p * new_p * squares[s] > products[s] * products[s] * new_q;
        code[i][s] = better ? (below > 0 ? moved : as_byte(moved)) : code[i][s];
        products[s] = better ? new_p : products[s];
        squares[s] = better ? new_q : squares[s];
        moves += better ? 1u : 0u;
      }
    if (moves == 0) break;
  }
}

/// As search_symmetric, with one scale, -top / m, and then sweeps. The weights are x^2.
template<std::size_t W, std::size_t N>
void sweep_symmetric(sub_blocks<W, N>& b, float top) noexcept {
  float peak[W] = {}, size[W] = {}, products[W] = {}, squares[W] = {};
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float x = b.x[i][s], m = magnitude(x);
      peak[s] = m > size[s] ? x : peak[s];
      size[s] = m > size[s] ? m : size[s];
    }
  for (std::size_t s = 0; s < W; ++s) peak[s] = size[s] < least_magnitude ? 1.f : peak[s];
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) {
      const float x = b.x[i][s], code = clamped(nearest(-top / peak[s] * x), -top, top - 1);
      b.code[i][s] = code;
      b.w[i][s] = x * x;
      products[s] += b.w[i][s] * x * code;
      squares[s] += b.w[i][s] * code * code;
    }
  sweep(b.x, b.w, top, top - 1, b.code, products, squares);
  for (std::size_t i = 0; i < N; ++i)
    for (std::size_t s = 0; s < W; ++s) b.code[i][s] = size[s] < least_magnitude ? 0.f : b.code[i][s] + top;
  for (std::size_t s = 0; s < W; ++s) {
    const bool some = squares[s] > 0 && size[s] >= least_magnitude;
    b.scale[s] = some ? products[s] / (some ? squares[s] : 1.f) : 0.f;
  }
}

/// x = scale code for x >= 0, codes of 0 ... top: the scales of a block's sub-blocks. Nine steps, then sweeps.
/// @return the scale.
template<std::size_t N>
[[nodiscard]] inline float search_scales(const float* x, const float* w, float top, float* code) noexcept {
  float most = 0;
  for (std::size_t i = 0; i < N; ++i) most = x[i] > most ? x[i] : most;
  if (most < least_magnitude) {
    for (std::size_t i = 0; i < N; ++i) code[i] = 0;
    return 0;
  }
  float best = 0, best_by = 0;
  for (int trial = -5; trial <= 4; ++trial) {
    if (trial == 0) continue;
    const bool first = trial == -5;
    const float by = first ? top / most : (0.1f * static_cast<float>(trial) + top) / most, scale = 1 / by;
    float error = 0;
    for (std::size_t i = 0; i < N; ++i) {
      const float rounded = nearest(by * x[i]), limited = first ? as_byte(rounded) : rounded < top ? rounded : top;
      const float difference = x[i] - scale * limited;
      error += w[i] * difference * difference;
    }
    if (!first && !(error < best)) continue;
    best = error;
    best_by = by;
  }
  float values[N][1], weights[N][1], codes[N][1], products[1] = {}, squares[1] = {};
  for (std::size_t i = 0; i < N; ++i) {
    values[i][0] = x[i];
    weights[i][0] = w[i];
    const float rounded = nearest(best_by * x[i]), limited = rounded < top ? rounded : top;
    codes[i][0] = as_byte(limited);
    products[0] += w[i] * x[i] * limited;
    squares[0] += w[i] * limited * limited;
  }
  sweep(values, weights, 0, top, codes, products, squares);
  for (std::size_t i = 0; i < N; ++i) code[i] = codes[i][0];
  return squares[0] > 0 ? products[0] / squares[0] : 0.f;
}

PRECIS_LANE_LOOPS_END
PRECIS_IEEE_END
}  // namespace precis::codec::blocks
