#include <precis/score/eigenpruning/effects.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

using namespace precis;
namespace eigenpruning = score::eigenpruning;
using eigenpruning::reduction;

namespace {

/// The factors of diag(3, 2): its singular vectors are unit vectors.
eigenpruning::tracked diagonal() {
  const float_matrix w(2, 2, std::vector<float>{3, 0, 0, 2});
  return {{.name = "w", .out = 2, .in = 2}, linear_algebra::singular_values(w.view())};
}

}  // namespace

TEST_CASE("effects are products of projections, reduced over rows or over pairs",
          "[score][eigenpruning][worked-example]") {
  std::vector<eigenpruning::tracked> slices{diagonal()};
  REQUIRE(slices[0].rank() == 2);
  const std::vector<eigenpruning::columns> ranges = eigenpruning::cut(slices);
  REQUIRE(ranges.size() == 1);
  // Gradients (1, 0), (0, 1), (1, 1) and differences of inputs (1, 1), (2, -1), (-1, 1): the effects of the two
  // singular values are 3 g0 d0 and 2 g1 d1.
  const float_matrix g(3, 2, std::vector<float>{1, 0, 0, 1, 1, 1}), d(3, 2, std::vector<float>{1, 1, 2, -1, -1, 1});
  std::vector<float> workspace(kernel::product_workspace);
  const float_matrix p = eigenpruning::project(g.view(), slices[0].left, 0, ranges[0], workspace);
  const float_matrix q = eigenpruning::project(d.view(), slices[0].right, 0, ranges[0], workspace);

  const std::vector<std::size_t> ends{2, 3};  // rows 0 and 1 are the tokens of one pair, row 2 is another pair
  eigenpruning::add_pairs(p, q, ranges[0], ends, reduction::max_over_pairs_and_tokens);
  CHECK(slices[0].most[0] == Approx(3));  // 3, 0, -3
  CHECK(slices[0].most[1] == Approx(2));  // 0, -2, 2
  eigenpruning::add_pairs(p, q, ranges[0], ends, reduction::sum_tokens_then_max);
  CHECK(slices[0].sums[0] == Approx(3));  // 3 + 0, -3
  CHECK(slices[0].sums[1] == Approx(2));  // 0 - 2, 2
}

TEST_CASE("wide slices are cut into ranges that cover every part once", "[score][eigenpruning][property]") {
  linear_algebra::singular_system parts;
  constexpr std::size_t rank = 2 * eigenpruning::columns_at_a_time + 1;
  parts.values.assign(rank, 1.0);
  parts.left = basic_matrix<double>(rank, 1);
  parts.right = basic_matrix<double>(rank, 1);
  std::vector<eigenpruning::tracked> slices;
  slices.emplace_back(matrix_slice{.name = "w", .out = 1, .in = 1}, parts);
  std::size_t next = 0;
  for (const eigenpruning::columns& c : eigenpruning::cut(slices)) {
    CHECK(c.of == &slices[0]);
    CHECK(c.first == next);
    CHECK(c.count <= eigenpruning::columns_at_a_time);
    next += c.count;
  }
  CHECK(next == rank);
}

TEST_CASE("rows are weighted differences, and rows that are not finite are noticed",
          "[score][eigenpruning][worked-example]") {
  const float a[] = {3, 5}, b[] = {1, 1}, bad[] = {0, std::numeric_limits<float>::infinity()};
  std::vector<float> row(2);
  CHECK(eigenpruning::copy_row(a, b, 0.5f, row));
  CHECK(row == std::vector<float>{1, 2});
  CHECK(eigenpruning::copy_row(a, nullptr, 2, row));
  CHECK(row == std::vector<float>{6, 10});
  CHECK_FALSE(eigenpruning::copy_row(bad, nullptr, 1, row));
  CHECK(refusal([] { eigenpruning::refuse_row("an input", "w", 2, 1); }) ==
        "score::eigen_attribution: an input of w at sample 2, token 1 is not finite; expected finite activations and "
        "gradients");
}
