#include <precis/fit/rounding_tile.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;
using fit::detail::rounding_rows;

TEST_CASE("a column is rounded after the errors of all columns before it were added",
          "[fit][compensated_rounding][oracle]") {
  // More than one tile of rows and one block of columns, each with a rest.
  constexpr std::size_t rows = 70, cols = 272, unit = 2;
  const float_matrix target = encoded::weights(rows, cols, 3), factors = encoded::weights(cols, cols, 4);
  fit::compensation by{.order = std::vector<std::size_t>(cols), .factor = float_matrix(cols, cols)};
  for (std::size_t j = 0; j < cols; ++j) {
    by.order[j] = cols - 1 - j;
    for (std::size_t k = j + 1; k < cols; ++k) by.factor(j, k) = 0.1f * factors(j, k);
  }
  const auto error_of = [](double wanted) { return 0.25 * std::sin(wanted); };

  basic_matrix<double> expected(rows, cols);  // the definition, in the order of rounding
  double squares = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = 0; j < cols; ++j) {
      double& x = expected(r, j);
      x = static_cast<double>(target(r, by.order[j]));
      for (std::size_t i = 0; i < j; ++i) x += static_cast<double>(by.factor(i, j)) * error_of(expected(r, i));
      squares += error_of(x) * error_of(x);
    }

  basic_matrix<double> found(rows, cols);
  const auto round = [&](fit::detail::rounding_tile<>& tile, std::size_t first, std::size_t end) {
    double sum = 0;
    for (std::size_t j = first; j < first + unit; ++j) {
      for (std::size_t r = 0; r < rounding_rows; ++r)
        tile.error(j)[r] = static_cast<float>(error_of(static_cast<double>(tile.wanted(j)[r])));
      for (std::size_t r = 0; r < tile.rows; ++r) found(tile.first + r, j) = static_cast<double>(tile.wanted(j)[r]);
      tile.push(j, end);
      sum += tile.squares(j);
    }
    return sum;
  };
  CHECK(fit::detail::round_in_tiles(target.view(), by, unit, sequential{}, round) == Approx(squares).epsilon(1e-5));
  double worst = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i)
    worst = std::max(worst, std::abs(expected.values[i] - found.values[i]));
  CHECK(worst < 1e-4);
}
