#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/exponential.hpp>
#include <precis/measure/lane_sum.hpp>

#include <cstddef>
#include <span>

namespace precis::measure {
PRECIS_IEEE_BEGIN

namespace detail {

/// The largest value; NaNs may be ignored. Requires at least one value.
template<class = void>
[[nodiscard]] inline float largest(std::span<const float> values) noexcept {
  float top[lane_sum::lanes];
  std::fill_n(top, lane_sum::lanes, values.front());
  const std::size_t whole = values.size() / lane_sum::lanes * lane_sum::lanes;
  for (std::size_t i = 0; i < whole; i += lane_sum::lanes)
    for (std::size_t l = 0; l < lane_sum::lanes; ++l) top[l] = values[i + l] > top[l] ? values[i + l] : top[l];
  for (std::size_t i = whole; i < values.size(); ++i) top[0] = std::max(top[0], values[i]);
  return *std::max_element(top, top + lane_sum::lanes);
}

}  // namespace detail

/// log(sum exp z), in double; does not overflow for any finite logits. NaN if a logit is NaN.
///
/// Requires  at least one logit.
template<class = void>
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits) noexcept {
  const auto top = static_cast<double>(detail::largest(logits));
  lane_sum sum;
  sum.add(logits.size(), [&](std::size_t i) { return exponential(static_cast<double>(logits[i]) - top); });
  return top + math::log(sum.value());
}

PRECIS_IEEE_END
}  // namespace precis::measure
