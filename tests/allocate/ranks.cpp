#include <precis/allocate/ranks.hpp>

#include <precis/allocate/knapsack.hpp>
#include <precis/codec/affine.hpp>
#include <precis/codec/low_rank.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/random.hpp>
#include <precis/cost/entry.hpp>
#include <precis/pack.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <span>
#include <utility>
#include <vector>

using namespace precis;
using allocate::rank_unit;

namespace {

/// A 3 x 4 matrix with singular values 5, 3, 1, and a 3 x 8 matrix with 4, 2, 2.
std::vector<rank_unit> example() { return {{"a", 3, 4, {5, 3, 1}}, {"b", 3, 8, {4, 2, 2}}}; }

std::vector<rank_unit> random_units(std::size_t count, std::uint64_t seed) {
  const random_stream draw(seed, purpose("rank units"));
  std::vector<rank_unit> units;
  for (std::size_t u = 0; u < count; ++u) {
    rank_unit one{"u" + std::to_string(u), 2 + draw.below(8 * u, 4), 2 + draw.below(8 * u + 1, 4), {}};
    for (std::size_t r = 0; r < std::min(one.out, one.in); ++r) one.values.push_back(3 * draw.uniform(8 * u + 2 + r));
    std::ranges::sort(one.values, std::greater<>{});
    one.weight = 0.5 + draw.uniform(8 * u + 7);
    units.push_back(std::move(one));
  }
  return units;
}

}  // namespace

TEST_CASE("rank_items: six items by falling gain per price", "[allocate][ranks][worked-example]") {
  const std::vector<allocate::rank_item> items = allocate::rank_items(example());
  const std::pair<std::size_t, std::size_t> order[] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}, {1, 2}, {0, 2}};
  const double ratios[] = {3.5714, 1.4545, 1.2857, 0.3636, 0.3636, 0.1429};
  REQUIRE(items.size() == 6);
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(std::pair(items[i].unit, items[i].value) == order[i]);
    CHECK(std::abs(items[i].ratio() - ratios[i]) < 5e-5);
  }
}

TEST_CASE("ranks takes a prefix of the items", "[allocate][ranks][worked-example]") {
  using chosen = std::vector<std::size_t>;
  const std::vector<rank_unit> units = example();
  CHECK(allocate::ranks{6}(units) == chosen{0, 0});
  CHECK(allocate::ranks{7}(units) == chosen{1, 0});
  CHECK(allocate::ranks{17}(units) == chosen{1, 0});
  CHECK(allocate::ranks{18}(units) == chosen{1, 1});
  CHECK(allocate::ranks{25}(units) == chosen{2, 1});
  CHECK(allocate::ranks{1000}(units) == chosen{3, 3});
}

TEST_CASE("ranks_by_energy: the smallest rank that keeps the share", "[allocate][ranks][worked-example]") {
  // 25 + 9 + 1 = 35 and 16 + 4 + 4 = 24: rank 2 keeps 34/35 = 0.971 and 20/24 = 0.833.
  using chosen = std::vector<std::size_t>;
  const std::vector<rank_unit> units = example();
  CHECK(allocate::ranks_by_energy{0.03}(units) == chosen{2, 3});
  CHECK(allocate::ranks_by_energy{0.2}(units) == chosen{2, 2});
  CHECK(allocate::ranks_by_energy{0.5}(units) == chosen{1, 1});
  CHECK(allocate::ranks_by_energy{0}(units) == chosen{3, 3});
  const std::vector<rank_unit> zeros{{"z", 2, 2, {0, 0}}};
  CHECK(allocate::ranks_by_energy{}(zeros) == chosen{0});
}

TEST_CASE("ranks @post: never more than `weights`; a larger bound never lowers a rank", "[allocate][ranks][property]") {
  const std::vector<rank_unit> units = random_units(12, GENERATE(1u, 2u, 3u));
  std::vector<std::size_t> before(units.size());
  for (std::size_t bound = 0; bound < 300; bound += 7) {
    const std::vector<std::size_t> now = allocate::ranks{bound}(units);
    std::size_t stored = 0;
    for (std::size_t u = 0; u < units.size(); ++u) {
      stored += now[u] * (units[u].out + units[u].in);
      CHECK(now[u] >= before[u]);
    }
    CHECK(stored <= bound);
    before = now;
  }
}

TEST_CASE("rank_costs with knapsack equals trying every combination of ranks and dense matrices",
          "[allocate][ranks][oracle]") {
  const std::vector<rank_unit> units = random_units(4, GENERATE(4u, 5u, 6u));
  const cost_table t = allocate::rank_costs(units, 2);
  CHECK(t.entries.back() == "dense");
  check(t);
  for (const std::size_t bound : {10u, 40u, 80u, 120u}) {
    const allocate::solution s = allocate::knapsack{.budget = at_most_bytes(bound)}.solve(t);
    double best = std::numeric_limits<double>::infinity();
    std::vector<std::size_t> at(units.size());
    for (bool more = true; more;) {  // every combination of entries
      std::size_t bytes = 0;
      double cost = 0;
      for (std::size_t u = 0; u < units.size(); ++u) {
        // From the definition: rank r costs the squares beyond it, and the last entry is the dense matrix.
        const bool dense = at[u] + 1 == t.entries.size();
        if (!dense && at[u] * (units[u].out + units[u].in) >= units[u].out * units[u].in) cost = best + 1;
        bytes += 2 * (dense ? units[u].out * units[u].in : at[u] * (units[u].out + units[u].in));
        for (std::size_t r = at[u]; !dense && r < units[u].values.size(); ++r)
          cost += units[u].weight * units[u].values[r] * units[u].values[r];
      }
      if (bytes <= bound) best = std::min(best, cost);
      more = false;
      for (std::size_t u = 0; u < units.size() && !more; ++u) {
        at[u] = (at[u] + 1) % t.entries.size();
        more = at[u] != 0;
      }
    }
    CHECK(s.optimal);
    CHECK(s.bytes <= bound);
    CHECK(s.cost == Approx(best).epsilon(1e-12));
  }
}

TEST_CASE("ranks and bits compete in one budget", "[allocate][ranks][property]") {
  using low = codec::low_rank<10, codec::affine<8, 32>>;
  using formats = menu<codec::affine<2, 32>, codec::affine<4, 32>, low>;
  struct two_matrices {
    std::vector<matrix_info> infos{{"thin", 0, part::mlp, 64, 96}, {"full", 0, part::mlp, 64, 96}};
    float_matrix values[2] = {float_matrix(64, 96), float_matrix(64, 96)};
    [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
    [[nodiscard]] weight_view weights(std::size_t m) const { return values[m].view(); }
  } model;
  const random_stream draw(5, purpose("ranks and bits"));
  for (std::size_t o = 0; o < 64; ++o)
    for (std::size_t i = 0; i < 96; ++i) {
      for (std::size_t k = 0; k < 6; ++k)  // rank 6 is a tenth of 64
        model.values[0](o, i) +=
            static_cast<float>(draw.normal(100'000 + k * 64 + o) * draw.normal(200'000 + k * 96 + i));
      model.values[1](o, i) = static_cast<float>(draw.normal(o * 96 + i));
    }
  cost_table t = cost::blank_table<formats>(model.matrices(), unit_kind::matrix, {}, 32, "squares");
  t.maker = t.measure = "squared error";
  for (std::size_t u = 0; u < 2; ++u)
    for (std::size_t e = 0; e < formats::size; ++e) {
      std::vector<std::byte> packed(formats::bytes(e, 64, 96));
      formats::encode(e, model.weights(u), packed);
      float_matrix back(64, 96);
      formats::decode(e, packed, back.view());
      double squares = 0;
      for (std::size_t i = 0; i < back.values.size(); ++i)
        squares += std::pow(static_cast<double>(back.values[i]) - static_cast<double>(model.values[u].values[i]), 2);
      t.costs[u * formats::size + e] = squares;
    }
  // The matrix of rank 6 as two factors takes fewer bytes than its 2-bit codes and has almost no error, so the bytes go
  // to the matrix of full rank.
  REQUIRE(low::bytes(64, 96) < codec::affine<2, 32>::bytes(64, 96));
  const std::size_t budget = low::bytes(64, 96) + codec::affine<4, 32>::bytes(64, 96);
  const plan p = allocate::knapsack{.budget = at_most_bytes(budget)}(t);
  CHECK(p.find("thin")->codec == low::name());
  CHECK(p.find("full")->codec == codec::affine<4, 32>::name());
  const packed_model packed = pack<formats>(model, p);
  CHECK(packed.size.packed_bytes == budget);
}

TEST_CASE("rank allocators refuse invalid units and shares", "[allocate][ranks][refusal]") {
  std::vector<rank_unit> units = example();
  units[1].values = {1, 2, 3};
  CHECK(refusal([&] { static_cast<void>(allocate::ranks{9}(units)); }) ==
        "allocate::rank_items: unit b of 3 x 8 with 3 singular values and weight 1; expected min(out, in) finite "
        "values, largest first, and a weight of at least 0");
  CHECK(refusal([&] { static_cast<void>(allocate::ranks_by_energy{1}(example())); }) ==
        "allocate::ranks_by_energy: a lost share of 1; expected at least 0 and below 1");
}
