#pragma once

#include <precis/codec/grid/group.hpp>
#include <precis/codec/grid/matrix.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/block_levels.hpp>
#include <precis/fit/level_table.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/kernel/packed_format.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// What signed rounding tunes in one encoded matrix: an offset V in [-1/2, 1/2] that is added to every weight before it is
/// rounded, and, in integer formats, a share in [1/2, 1] of the range that every group's grid spans.
///
///     value = step * level(clip(round(t(u) + V))) + offset,    t(u): u on the scale of the codes
///
/// The weights u are the target's; one that rounds to another code than that of the encoded matrix is moved to a quarter of
/// a step from the latter, so that tuning starts there, whatever chose it, and the first iterations do not undo it.
class rounding_variables {
 public:
  [[nodiscard]] static bool serves(const kernel::packed_format& f) {
    if (f.rank_percent != 0 || f.kept != kernel::kept_weights::all) return false;
    return f.codes == kernel::code_kind::grid ? has_levels(f.grid) : with_level_block(f, [](auto) {});
  }

  /// Starts from the codes and scales of `packed`, whose values are `decoded`. Requires serves(f), [out x in] both.
  template<class = void>
  rounding_variables(const kernel::packed_format& f, weight_view target, weight_view decoded,
                     std::span<const std::byte> packed)
      : format_(f), values(target.rows, target.cols), gradient(target.rows, target.cols), u_(target.rows, target.cols) {
    if (f.codes == kernel::code_kind::grid) {
      grids_ = codec::read_grids(f.grid, packed, target.rows, target.cols);
      table_ = levels_of(f.grid, as_span(std::as_const(grids_)), target.rows, target.cols);
    } else {
      with_level_block(f, [&](auto block) { table_ = levels_of(block, packed, target.rows, target.cols); });
    }
    shift_.assign(target.rows * target.cols, 0.f);
    codes_.assign(shift_.size(), 0);
    for (std::size_t r = 0; r < target.rows; ++r)
      for (std::size_t c = 0; c < target.cols; ++c) {
        const std::size_t at = table_.at(c / table_.length, r);
        const float step = table_.step[at], offset = table_.offset[at];
        u_(r, c) = target(r, c);
        if (step == 0.f) continue;
        const float code = rounded(coordinate((decoded(r, c) - offset) / step));
        const float wanted = coordinate((target(r, c) - offset) / step);
        // Beyond the ends of the grid the weight itself rounds to the code; it stays, so that a range can follow it.
        const bool clipped = (code == 0 && wanted < 0) || (code == table_.top && wanted > table_.top);
        if (clipped || rounded(wanted) == code) continue;
        u_(r, c) = step * level_at(std::clamp(wanted, code - moved, code + moved)) + offset;
      }
    start_ranges();
    round();
  }

  /// Rounds to `values` and the codes behind them.
  template<class = void>
  void round() {
    for (std::size_t r = 0; r < values.rows; ++r)
      for (std::size_t c = 0; c < values.cols; ++c) {
        const std::size_t at = table_.at(c / table_.length, r), i = r * values.cols + c;
        const float step = table_.step[at], offset = table_.offset[at];
        const float t = step == 0.f ? 0.f : coordinate((u_(r, c) - offset) / step) + shift_[i];
        const float code = std::clamp(rounded(t), 0.f, table_.top);
        codes_[i] = static_cast<std::uint8_t>(code);
        values(r, c) = step * level(code) + offset;
      }
  }

  /// One step of signed gradient descent of length `rate` with the loss's gradient at `values` in `gradient`, which passes
  /// through rounding as if it were not there, and does not pass through clipping.
  template<class = void>
  void descend(float rate) {
    std::vector<float> slope_lo(ranges_.size()), slope_hi(ranges_.size());
    for (std::size_t r = 0; r < values.rows; ++r)
      for (std::size_t c = 0; c < values.cols; ++c) {
        const std::size_t group = c / table_.length, at = table_.at(group, r), i = r * values.cols + c;
        const float step = table_.step[at], offset = table_.offset[at], g = gradient(r, c);
        if (step == 0.f) continue;
        const float t = coordinate((u_(r, c) - offset) / step), shifted = t + shift_[i];
        const bool below = shifted<-0.5f, above = shifted> table_.top + 0.5f;
        if (!below && !above) shift_[i] = std::clamp(shift_[i] - rate * sign(g * step), -0.5f, 0.5f);
        if (ranges_.empty()) continue;
        const range& of = ranges_[at];
        const float residual = static_cast<float>(codes_[i]) - t;
        slope_lo[at] += g * (below ? of.lo : above ? 0.f : -residual * of.lo / table_.top);
        slope_hi[at] += g * (above ? of.hi : below ? 0.f : residual * of.hi / table_.top);
      }
    for (std::size_t at = 0; at < ranges_.size(); ++at) {
      range& of = ranges_[at];
      if (one_share()) slope_lo[at] = slope_hi[at] = slope_lo[at] + slope_hi[at];
      of.share_lo = std::clamp(of.share_lo - rate * sign(slope_lo[at]), 0.5f, 1.f);
      of.share_hi = std::clamp(of.share_hi - rate * sign(slope_hi[at]), 0.5f, 1.f);
    }
    if (!ranges_.empty()) choose_grids();
    round();
  }

  /// Stores the current codes and grids. Requires the bytes that the object was made from, or of their format and shape.
  template<class = void>
  void store(std::span<std::byte> packed) const {
    if (format_.codes == kernel::code_kind::grid)
      codec::encode_on_grids(format_.grid, values.view(), packed, codec::choose_given{as_span(grids_)});
    else
      with_level_block(format_, [&](auto block) { put_codes(block, as_span(codes_), packed); });
  }

  kernel::packed_format format_;
  float_matrix values;    ///< [out x in] what the codes stand for
  float_matrix gradient;  ///< [out x in] of the loss at `values`

 private:
  struct range {
    float lo = 0, hi = 0;  ///< of the target's weights, with 0 in between
    float share_lo = 1, share_hi = 1;
  };

  static constexpr float moved = 0.25f;  ///< distance from its code of a weight that rounds to another one
  [[nodiscard]] static float sign(float x) noexcept { return x > 0.f ? 1.f : x < 0.f ? -1.f : 0.f; }
  /// To the nearest integer, for |t| < 2^22.
  [[nodiscard]] static float rounded(float t) noexcept {
    constexpr float shift = 0x1.8p23f;
    return t > 0x1p20f ? 0x1p20f : t < -0x1p20f ? -0x1p20f : (t + shift) - shift;
  }
  [[nodiscard]] float level(float code) const noexcept {
    return table_.levels.empty() ? code : table_.levels[static_cast<std::size_t>(code)];
  }
  /// A multiple of the step on the scale of the codes: linear between levels.
  template<class = void>
  [[nodiscard]] float coordinate(float x) const noexcept {
    const std::vector<float>& l = table_.levels;
    if (l.empty()) return x;
    std::size_t i = 0;
    while (i + 2 < l.size() && x >= l[i + 1]) ++i;
    return static_cast<float>(i) + (x - l[i]) / (l[i + 1] - l[i]);
  }
  /// Its inverse inside the levels.
  template<class = void>
  [[nodiscard]] float level_at(float t) const noexcept {
    const std::vector<float>& l = table_.levels;
    if (l.empty()) return t;
    const auto i = std::min(static_cast<std::size_t>(std::max(t, 0.f)), l.size() - 2);
    return l[i] + (t - static_cast<float>(i)) * (l[i + 1] - l[i]);
  }

  [[nodiscard]] bool one_share() const noexcept { return format_.grid.rule == codec::grid_rule::symmetric; }
  /// Only ranges of integer grids with one range per row and group are tuned.
  template<class = void>
  void start_ranges() {
    const codec::grid_rule rule = format_.grid.rule;
    if (format_.codes != kernel::code_kind::grid || format_.grid.group == codec::per_tensor ||
        (rule != codec::grid_rule::affine && rule != codec::grid_rule::symmetric))
      return;
    ranges_.resize(table_.step.size());
    for (std::size_t r = 0; r < u_.rows; ++r)
      for (std::size_t k = 0; k < table_.groups(); ++k) {
        const codec::grid& g = grids_[r * table_.groups() + k];
        range& of = ranges_[table_.at(k, r)];
        of.lo = -g.scale * static_cast<float>(g.zero_point);
        of.hi = g.scale * (table_.top - static_cast<float>(g.zero_point));
      }
  }
  template<class = void>
  void choose_grids() {
    for (std::size_t r = 0; r < u_.rows; ++r)
      for (std::size_t k = 0; k < table_.groups(); ++k) {
        const range& of = ranges_[table_.at(k, r)];
        if (of.share_lo == 1.f && of.share_hi == 1.f) continue;
        const codec::grid g =
            codec::spanning_grid(format_.grid, {.lo = static_cast<double>(of.share_lo) * static_cast<double>(of.lo),
                                                .hi = static_cast<double>(of.share_hi) * static_cast<double>(of.hi)});
        grids_[r * table_.groups() + k] = g;
        table_.step[table_.at(k, r)] = g.scale;
        table_.offset[table_.at(k, r)] = -g.scale * static_cast<float>(g.zero_point);
      }
  }

  float_matrix u_;
  level_table table_;
  std::vector<codec::grid> grids_;  ///< of integer and small-float formats
  std::vector<range> ranges_;       ///< [groups x rows] as in the table; empty: ranges are not tuned
  std::vector<float> shift_;        ///< [out x in] V
  std::vector<std::uint8_t> codes_;
};

PRECIS_IEEE_END
}  // namespace precis::fit
