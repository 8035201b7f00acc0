#include <precis/score/eigen_attribution.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"
#include "score/small_task.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;
using score::eigen_attribution;
using score::matrix_slice;

namespace {

std::vector<matrix_slice> whole(std::span<const matrix_info> matrices) {
  std::vector<matrix_slice> all;
  for (std::size_t m = 0; m < matrices.size(); ++m) all.push_back(score::whole_matrix(matrices, m, "map"));
  return all;
}

/// Effects straight from the definition: rank-one parts are formed and applied.
std::vector<double> by_definition(const small_task& task, const score::singular_parts& parts,
                                  const std::vector<std::pair<std::size_t, std::size_t>>& pairs, bool sums) {
  std::vector<double> best(parts.size(), -std::numeric_limits<double>::infinity());
  for (std::size_t r = 0; r < parts.size(); ++r)
    for (const auto& [i, j] : pairs) {
      double sum = 0;
      for (std::size_t t = 0; t < 2; ++t) {
        double d = 0;
        for (std::size_t o = 0; o < 2; ++o)
          for (std::size_t c = 0; c < 3; ++c)
            d += static_cast<double>(task.g[i][2 * t + o]) * parts.left(r, o) * parts.right(r, c) *
                 (static_cast<double>(task.x[j][3 * t + c]) - static_cast<double>(task.x[i][3 * t + c]));
        sum += d;
        if (!sums) best[r] = std::max(best[r], d);
      }
      if (sums) best[r] = std::max(best[r], sum);
    }
  return best;
}

}  // namespace

TEST_CASE("effects of the singular values of methods B8", "[score][eigen_attribution][worked-example]") {
  const small_task task;
  for (const std::size_t at_a_time : {1u, 2u, 3u, 8u}) {
    const auto found =
        eigen_attribution{.in_order = true, .at_a_time = at_a_time}(task, small_samples(), whole(task.infos));
    REQUIRE(found.slices.size() == 1);
    const auto& s = found.slices[0];
    CHECK(s.parts.values[0] == Approx(2.302776).margin(1e-6));
    CHECK(s.parts.values[1] == Approx(1.302776).margin(1e-6));
    CHECK(s.effects[0] == Approx(0.561325).margin(1e-6));
    CHECK(s.effects[1] == Approx(0.838675).margin(1e-6));
    const auto sums = eigen_attribution{.reduce = eigen_attribution::reduction::largest_sum,
                                        .in_order = true,
                                        .at_a_time = at_a_time}(task, small_samples(), whole(task.infos));
    CHECK(sums.slices[0].effects[0] == Approx(0.752927).margin(1e-6));
    CHECK(sums.slices[0].effects[1] == Approx(0.947073).margin(1e-6));
    CHECK(found.means[0].by_token(0, 0) == Approx(1));
    CHECK(found.means[0].by_token(1, 0) == Approx(2.0 / 3));
    CHECK(found.means[0].by_token(1, 2) == Approx(0).margin(1e-12));
  }
}

TEST_CASE("all pairs, and a random order, by the definition", "[score][eigen_attribution][oracle]") {
  const small_task task;
  std::vector<std::pair<std::size_t, std::size_t>> all, forward{{0, 2}, {1, 0}, {2, 1}}, back{{0, 1}, {1, 2}, {2, 0}};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      if (i != j) all.emplace_back(i, j);
  for (const bool sums : {false, true}) {
    const auto reduce = sums ? eigen_attribution::reduction::largest_sum : eigen_attribution::reduction::largest;
    const auto near = [](const std::vector<double>& a, const std::vector<double>& b) {
      for (std::size_t r = 0; r < a.size(); ++r)
        if (std::abs(a[r] - b[r]) > 1e-12) return false;
      return true;
    };
    const auto found = eigen_attribution{.pairs = eigen_attribution::pairing::all, .reduce = reduce}(
        task, small_samples(), whole(task.infos));
    CHECK(near(found.slices[0].effects, by_definition(task, found.slices[0].parts, all, sums)));
    for (std::uint64_t seed = 0; seed < 5; ++seed) {  // of three samples there are two cycles
      const auto one = eigen_attribution{.reduce = reduce, .seed = seed}(task, small_samples(), whole(task.infos));
      CHECK((near(one.slices[0].effects, by_definition(task, one.slices[0].parts, forward, sums)) ||
             near(one.slices[0].effects, by_definition(task, one.slices[0].parts, back, sums))));
    }
  }
}

TEST_CASE("parts add up to the matrix, whatever its shape", "[score][eigen_attribution][property]") {
  const random_stream random(2, purpose("decompose"));
  std::uint64_t draw = 0;
  for (const auto& [rows, cols] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {1, 7}, {7, 1}, {5, 9}, {9, 5}, {40, 40}, {64, 33}}) {
    float_matrix w(rows, cols);
    for (float& v : w.values) v = static_cast<float>(random.normal(draw++));
    for (std::size_t c = 0; c < cols && rows > 4; ++c) w(3, c) = w(1, c);  // of lower rank
    const score::singular_parts parts = score::decompose(std::as_const(w).view(), "w");
    REQUIRE(parts.size() == std::min(rows, cols));
    CHECK(std::ranges::is_sorted(parts.values, std::greater{}));
    double worst = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c) {
        double sum = 0;
        for (std::size_t k = 0; k < parts.size(); ++k) sum += parts.left(k, r) * parts.right(k, c);
        worst = std::max(worst, std::abs(sum - static_cast<double>(w(r, c))));
      }
    CHECK(worst < 1e-12 * std::max(1.0, parts.values[0]));
    double squares = 0, values = 0;
    for (const float v : w.values) squares += static_cast<double>(v) * static_cast<double>(v);
    for (const double v : parts.values) values += v * v;
    CHECK(values == Approx(squares).epsilon(1e-12));
  }
}

TEST_CASE("equal singular values are a cluster", "[score][eigen_attribution]") {
  const float_matrix w(3, 3, {2, 0, 0, 0, 0, 2, 0, -1, 0});
  const auto parts = score::decompose(w.view(), "w");
  CHECK(parts.clusters() == std::vector<std::pair<std::size_t, std::size_t>>{{0, 1}});
}

TEST_CASE("slices of a matrix are matrices of their own", "[score][eigen_attribution][property]") {
  const small_task task;
  std::vector<matrix_slice> rows;
  for (std::size_t h = 0; h < 2; ++h)
    rows.push_back({.name = "head " + std::to_string(h),
                    .component = "key",
                    .matrix = 0,
                    .first_row = h,
                    .rows = 1,
                    .first_col = 0,
                    .cols = 3});
  const auto found = eigen_attribution{.in_order = true}(task, small_samples(), rows);
  CHECK(found.means.size() == 1);
  // Of one row there is one singular value, its norm; its effect is the row's whole attribution.
  CHECK(found.slices[0].parts.values[0] == Approx(std::sqrt(5.0)));
  double best = -1;
  for (const auto& [i, j] : {std::pair<std::size_t, std::size_t>{0, 2}, {1, 0}, {2, 1}})
    for (std::size_t t = 0; t < 2; ++t) {
      double d = 0;
      for (std::size_t c = 0; c < 3; ++c)
        d += static_cast<double>(task.w(0, c)) *
             (static_cast<double>(task.x[j][3 * t + c]) - static_cast<double>(task.x[i][3 * t + c]));
      best = std::max(best, d * static_cast<double>(task.g[i][2 * t]));
    }
  CHECK(found.slices[0].effects[0] == Approx(best).epsilon(1e-9));
}

TEST_CASE("eigen_attribution refuses what has no effect", "[score][eigen_attribution][refusal]") {
  small_task task;
  const auto all = whole(task.infos);
  CHECK_THAT(refusal([&] { (void)eigen_attribution{}(task, small_samples(1), all); }), ContainsSubstring("1 samples"));
  CHECK_THAT(refusal([&] { (void)eigen_attribution{}(task, small_samples(), std::vector<matrix_slice>{}); }),
             ContainsSubstring("no slices"));
  auto outside = all;
  outside[0].first_row = 1;
  CHECK_THAT(refusal([&] { (void)eigen_attribution{}(task, small_samples(), outside); }),
             ContainsSubstring("inside a matrix"));
  task.g[1][2] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THAT(refusal([&] { (void)eigen_attribution{}(task, small_samples(), all); }),
             ContainsSubstring("a gradient at the output of key"));
}
