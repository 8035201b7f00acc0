#include <precis/allocate/z_tiers.hpp>

#include "catch.hpp"

#include <limits>
#include <vector>

using namespace precis;
using allocate::deviation;
using allocate::tier;
using allocate::z_tiers;

namespace {
constexpr tier low = tier::low, medium = tier::medium, high = tier::high;

scores table(std::vector<double> values) {
  scores s{.model = "8c1f", .scorer = "by hand", .measure = "none", .units = {}, .values = std::move(values)};
  for (std::size_t i = 0; i < s.values.size(); ++i)
    s.units.push_back({.name = "block." + std::to_string(i),
                       .layer = i,
                       .kind = unit_kind::block,
                       .part = part::other,
                       .matrices = {i},
                       .weights = 1});
  return s;
}
}  // namespace

TEST_CASE("tiers of 3, 1, 2, 2, 6, 4 by population and by sample deviation", "[allocate][z_tiers][worked-example]") {
  const std::vector<double> s{3, 1, 2, 2, 6, 4};
  const std::vector<double> population{0, -1.224745, -0.612372, -0.612372, 1.837117, 0.612372};
  const std::vector<double> sample{0, -1.118034, -0.559017, -0.559017, 1.677051, 0.559017};
  const auto zp = z_tiers{}.z(s), zs = z_tiers{.std = deviation::sample}.z(s);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(zp[i] == Approx(population[i]).margin(1e-6));
    CHECK(zs[i] == Approx(sample[i]).margin(1e-6));
  }
  // The deviations themselves, 1.6329931619 and 1.7888543820: (6 - 3) / z.
  CHECK(3 / zp[4] == Approx(1.6329931619).epsilon(1e-10));
  CHECK(3 / zs[4] == Approx(1.7888543820).epsilon(1e-10));
  const std::vector<tier> expected{medium, low, low, low, high, high};
  CHECK(z_tiers{}.tiers(s) == expected);
  CHECK(z_tiers{.std = deviation::sample}.tiers(s) == expected);
}

TEST_CASE("scores for which population and sample deviation give different tiers",
          "[allocate][z_tiers][worked-example]") {
  const std::vector<double> s{0, 5, 7, 7, 8};
  CHECK(z_tiers{}.z(s)[2] == Approx(0.557386).margin(1e-6));
  CHECK(z_tiers{.std = deviation::sample}.z(s)[2] == Approx(0.498542).margin(1e-6));
  CHECK(z_tiers{}.tiers(s)[2] == high);
  CHECK(z_tiers{.std = deviation::sample}.tiers(s)[2] == medium);
}

TEST_CASE("equal scores and a single unit are medium", "[allocate][z_tiers][worked-example]") {
  CHECK(z_tiers{}.tiers(std::vector<double>{}) == std::vector<tier>{});
  CHECK(z_tiers{}.tiers(std::vector<double>{7}) == std::vector<tier>{medium});
  CHECK(z_tiers{}.tiers(std::vector<double>{0, 0, 0}) == std::vector<tier>(3, medium));
  CHECK(z_tiers{}.tiers(std::vector<double>{0.1, 0.1, 0.1 + 1e-17}) == std::vector<tier>(3, medium));
  CHECK(z_tiers{}.tiers(std::vector<double>{1e308, 1e308, 1e308}) == std::vector<tier>(3, medium));
}

TEST_CASE("z-scores at a threshold are medium", "[allocate][z_tiers][worked-example]") {
  // z = -1, 1, exactly: with thresholds there, nothing is low or high.
  CHECK(z_tiers{.below = -1, .above = 1}.tiers(std::vector<double>{1, 3}) == std::vector<tier>{medium, medium});
  CHECK(z_tiers{.below = -0.999, .above = 0.999}.tiers(std::vector<double>{1, 3}) == std::vector<tier>{low, high});
}

TEST_CASE("z_tiers @post: S -> a S + b with a > 0 changes no tier", "[allocate][z_tiers][property]") {
  const std::vector<double> s{3, -1, 2, 2.5, 6, 4, -7, 0};
  for (const double a : {0.001, 1.0, 37.0, 1e9})
    for (const double b : {-5.0, 0.0, 100.0}) {
      std::vector<double> moved;
      for (const double v : s) moved.push_back(a * v + b);
      CHECK(z_tiers{}.tiers(moved) == z_tiers{}.tiers(s));
    }
}

TEST_CASE("the plan gives every unit the options of its tier", "[allocate][z_tiers][worked-example]") {
  const z_tiers method{.low = {.codec = "affine4.row", .sparsity = 0.3},
                       .medium = {.codec = "affine8.row", .sparsity = 0.2},
                       .high = {.codec = "float16", .sparsity = 0.1}};
  const plan p = method(table({3, 1, 2, 2, 6, 4}));
  CHECK(p.model == "8c1f");
  CHECK(p.units == unit_kind::block);
  REQUIRE(p.choices.size() == 6);
  CHECK(p.choices[0] == choice{.unit = "block.0", .codec = "affine8.row", .sparsity = 0.2, .rank = 0});
  CHECK(p.choices[1] == choice{.unit = "block.1", .codec = "affine4.row", .sparsity = 0.3, .rank = 0});
  CHECK(p.choices[4] == choice{.unit = "block.4", .codec = "float16", .sparsity = 0.1, .rank = 0});
  CHECK(p.notes == std::vector<std::string>{"z_tiers of by hand: 3 low, 1 medium, 2 high"});
  CHECK(parse_plan(to_text(p)) == p);
}

TEST_CASE("z_tiers refuses scores that are not finite and thresholds that cross", "[allocate][z_tiers][refusal]") {
  CHECK_THROWS_WITH(z_tiers{}(table({1, std::numeric_limits<double>::quiet_NaN()})), ContainsSubstring("block.1"));
  CHECK_THROWS_WITH((z_tiers{.below = 1, .above = 0}(table({1, 2}))), ContainsSubstring("below <= above"));
}
