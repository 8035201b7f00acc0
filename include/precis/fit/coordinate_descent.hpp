#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/fit/compensated_rounding.hpp>
#include <precis/fit/level_table.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/measure/gram.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Improves the codes of a matrix one by one after any rounding: each takes the level that is best while all others stay.
///
///     p = H (v - w);  v_j becomes the level nearest to v_j - p_j / H_jj, if that lowers (v - w)' H (v - w)
///
/// Shapes    target [out x in]; a table, codes and values of the same shape; gram [in x in], H = G + ridge I.
/// Errors    a Gram matrix of another number of inputs.
/// Cost      per row in^2 multiply-adds in double, and `in` more per code that changes. The executor distributes rows.
/// Source    docs/methods/gptq.md: the coordinate descent of QuIP's greedy update, Chee et al. 2023, arXiv:2307.13304,
///           section 3.
/// @post     error never rises; bit-identical on any executor. With unlimited sweeps, no change of a single code lowers it.
struct coordinate_descent {
  std::size_t sweeps = 2;  ///< over all columns; ends earlier if a sweep changes nothing

  /// Changes `rounded`, including its error. Returns how many codes changed.
  template<executor Executor = sequential>
  std::size_t operator()(weight_view target, const level_table& table, const basic_matrix<double>& gram, double ridge,
                         rounded_matrix& rounded, Executor&& run = {}) const {
    PRECIS_EXPECTS(target.rows == table.rows && target.cols == table.cols, "levels of this matrix");
    PRECIS_EXPECTS(rounded.rows == table.rows && rounded.cols == table.cols, "codes of this matrix");
    if (gram.rows != target.cols || gram.cols != target.cols)
      refuse({.what = "statistics of " + std::to_string(gram.rows) + " inputs for rows of " +
                      std::to_string(target.cols) + " weights",
              .where = "fit::coordinate_descent",
              .expected = "those of this matrix's inputs"});
    std::vector<std::size_t> changed(target.rows);
    std::vector<double> errors(target.rows);
    run.for_each(target.rows,
                 [&](std::size_t r) { changed[r] = improve_row(r, target, table, gram, ridge, rounded, errors[r]); });
    std::size_t count = 0;
    rounded.error = 0;
    for (std::size_t r = 0; r < target.rows; ++r) {
      count += changed[r];
      rounded.error += errors[r];
    }
    return count;
  }

 private:
  template<class = void>
  std::size_t improve_row(std::size_t row, weight_view target, const level_table& t, const basic_matrix<double>& g,
                          double ridge, rounded_matrix& m, double& error) const {
    const std::size_t n = t.cols;
    std::vector<double> e(n), p(n);
    for (std::size_t j = 0; j < n; ++j)
      e[j] = static_cast<double>(m.values(row, j)) - static_cast<double>(target(row, j));
    for (std::size_t i = 0; i < n; ++i) p[i] = ridge * e[i];
    for (std::size_t j = 0; j < n; ++j) add(e[j], g.row(j), p);
    std::size_t changed = 0;
    for (std::size_t sweep = 0, last = 1; sweep < sweeps && last != 0; ++sweep) {
      last = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const double diagonal = g(j, j) + ridge;
        if (!(diagonal > 0)) continue;
        const double v = static_cast<double>(m.values(row, j));
        const std::uint8_t code = nearest(t, row, j, v - p[j] / diagonal);
        const float value = value_of(t, row, j, code);
        const double change = static_cast<double>(value) - v;
        if (!(2 * change * p[j] + change * change * diagonal < 0)) continue;
        m.values(row, j) = value;
        m.codes[row * n + j] = code;
        e[j] += change;
        add(change, g.row(j), p);
        p[j] += ridge * change;
        ++last;
      }
      changed += last;
    }
    error = 0;
    for (std::size_t j = 0; j < n; ++j) error += e[j] * p[j];
    error = std::max(0.0, error);
    return changed;
  }
  template<class = void>
  static void add(double by, std::span<const double> row, std::vector<double>& to) noexcept {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += by * row[i];
  }
  [[nodiscard]] static float value_of(const level_table& t, std::size_t row, std::size_t j,
                                      std::uint8_t code) noexcept {
    const std::size_t at = t.at(j / t.length, row);
    return t.step[at] * (t.levels.empty() ? static_cast<float>(code) : t.levels[code]) + t.offset[at];
  }
  template<class = void>
  [[nodiscard]] static std::uint8_t nearest(const level_table& t, std::size_t row, std::size_t j,
                                            double wanted) noexcept {
    const std::size_t at = t.at(j / t.length, row);
    if (t.step[at] == 0.f) return 0;
    const double x = (wanted - static_cast<double>(t.offset[at])) / static_cast<double>(t.step[at]);
    if (t.levels.empty())
      return static_cast<std::uint8_t>(math::floor(std::clamp(x, 0.0, static_cast<double>(t.top)) + 0.5));
    std::size_t best = 0;
    while (best + 1 < t.levels.size() &&
           x > 0.5 * (static_cast<double>(t.levels[best]) + static_cast<double>(t.levels[best + 1])))
      ++best;
    return static_cast<std::uint8_t>(best);
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
