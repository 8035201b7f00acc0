#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Moves outliers of activations into the weights that read them:
///
///     s_j = max|x_j|^share / max|W_:j|^(1 - share)
///
/// Inputs are divided by s (what makes them absorbs 1/s) and the columns of every matrix that reads them are multiplied.
///
/// Shapes    largest_input [in]: max|x_j| over tokens; largest_weight [in]: max|W_rj| over the rows of all matrices that
///           read the input.
/// Errors    spans of different sizes; numbers that are negative or not finite; a share outside [0, 1].
/// Cost      one pass.
/// Source    docs/methods/awq.md: Xiao et al. 2022, arXiv:2211.10438, equation 4.
/// Differs   An input that is always zero gets 1; the authors' floor would multiply the weight of the norm by 1e5.
/// @post     share 1/2: max|x_j| / s_j = max|W_:j| s_j.
struct smooth {
  double share = 0.5;
  double smallest = 1e-5;  ///< floor of the weights' maxima and of s

  template<class = void>
  [[nodiscard]] std::vector<double> operator()(std::span<const double> largest_input,
                                               std::span<const double> largest_weight) const {
    const auto bad = [](std::string what, std::string expected) {
      refuse({.what = std::move(what), .where = "fit::smooth", .expected = std::move(expected)});
    };
    if (largest_input.size() != largest_weight.size())
      bad("maxima of " + std::to_string(largest_input.size()) + " inputs and " + std::to_string(largest_weight.size()) +
              " columns",
          "one of each per input");
    if (!(share >= 0 && share <= 1)) bad("a share of " + std::to_string(share), "0 to 1; 0.5 in the paper");
    std::vector<double> s;
    for (std::size_t j = 0; j < largest_input.size(); ++j) {
      const double x = largest_input[j], w = largest_weight[j];
      if (!(x >= 0 && w >= 0) || !kernel::is_finite(x) || !kernel::is_finite(w))
        bad("a maximum of input " + std::to_string(j) + " that is negative or not finite",
            "finite numbers of 0 or more");
      s.push_back(x == 0 ? 1.0 : std::max(math::pow(x, share) / math::pow(std::max(w, smallest), 1 - share), smallest));
    }
    return s;
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
