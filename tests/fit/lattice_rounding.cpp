#include <precis/fit/lattice_rounding.hpp>

#include <precis/core/thread_pool.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;

namespace {

/// Pairs of levels 1 and 3 in four dimensions: 16 points.
fit::lattice_table small_book(std::size_t rows, std::size_t cols, bool even) {
  fit::lattice_table t{.rows = rows, .cols = cols, .dimensions = 4, .even_signs = even};
  for (unsigned e = 0; e < 16; ++e)
    for (unsigned i = 0; i < 4; ++i) t.points.push_back((e >> i & 1u) != 0 ? 3.f : 1.f);
  t.step.assign(cols / 8 * rows, 0.03f);
  return t;
}
basic_matrix<double> identity(std::size_t n) {
  basic_matrix<double> g(n, n);
  for (std::size_t i = 0; i < n; ++i) g(i, i) = 1;
  return g;
}

}  // namespace

TEST_CASE("lattice rounding @post: with a diagonal H every point is the nearest one",
          "[fit][lattice_rounding][oracle]") {
  const std::size_t rows = 70, cols = 136;
  const float_matrix w = encoded::weights(rows, cols);
  const fit::lattice_table t = small_book(rows, cols, false);
  const fit::compensation by = fit::compensate(identity(cols), {.unit = 8});
  const fit::lattice_rounded found = fit::round_to_lattice(w.view(), t, by);
  double error = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < cols; c += 4) {
      double best = std::numeric_limits<double>::infinity();
      for (std::size_t e = 0; e < 16; ++e) {
        double sum = 0;
        for (std::size_t i = 0; i < 4; ++i) {
          const double x = std::abs(static_cast<double>(w(r, c + i))) - 0.03 * static_cast<double>(t.points[e * 4 + i]);
          sum += x * x;
        }
        best = std::min(best, sum);
      }
      error += best;
    }
  CHECK(found.error == Approx(error * (1 + by.ridge)).epsilon(1e-5));
  const fit::lattice_rounded pooled = fit::round_to_lattice(w.view(), t, by, thread_pool{2});
  CHECK(pooled.entries == found.entries);
  CHECK(pooled.signs == found.signs);
}

TEST_CASE("lattice rounding: the number of minus signs is even where the format demands it",
          "[fit][lattice_rounding]") {
  const float_matrix w = encoded::weights(9, 64);
  const fit::lattice_rounded found =
      fit::round_to_lattice(w.view(), small_book(9, 64, true), fit::compensate(identity(64), {.unit = 8}));
  for (const std::uint8_t signs : found.signs) {
    unsigned minus = 0;
    for (unsigned i = 0; i < 8; ++i) minus += signs >> i & 1u;
    CHECK(minus % 2 == 0);
  }
}
