#include <precis/allocate/knapsack.hpp>

#include "allocate/tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

using namespace precis;
using allocate::knapsack;
using allocate::smallest;
using allocate::solution;

namespace {

knapsack within(std::size_t bytes) { return {.budget = at_most_bytes(bytes)}; }

std::vector<std::size_t> admissible_budgets(const cost_table& t) {
  const auto [least, most] = tables::range(t);
  std::vector<std::size_t> budgets{least, most, most + 1};
  for (std::size_t i = 1; i < 8; ++i) budgets.push_back(least + (most - least) * i / 8);
  std::ranges::sort(budgets);
  return budgets;
}

/// ResNet-18 in HAWQ: Hessian trace, squared change at 8 and at 4 bits, number of weights.
struct layer {
  double trace, at8, at4;
  std::size_t weights;
};
const std::vector<layer> resnet18{{0.06857826, 0.0235, 6.7430, 36864},    {0.03162379, 0.0125, 3.9691, 36864},
                                  {0.03298575, 0.0102, 3.3281, 36864},    {0.01205663, 0.0082, 2.6796, 36864},
                                  {0.02222431, 0.0145, 4.7277, 73728},    {0.00596336, 0.0344, 10.5966, 147456},
                                  {0.06931772, 0.0023, 0.6827, 8192},     {0.00807129, 0.0287, 9.0942, 147456},
                                  {0.00372905, 0.0148, 4.8857, 147456},   {0.00530698, 0.0333, 10.7599, 294912},
                                  {0.00209011, 0.0682, 21.7546, 589824},  {0.00737569, 0.0027, 0.8603, 32768},
                                  {0.00210454, 0.0448, 14.5324, 589824},  {0.00151197, 0.0336, 10.9651, 589824},
                                  {0.00158041, 0.0576, 18.7706, 1179648}, {0.00078146, 0.1130, 36.4044, 2359296},
                                  {0.00451841, 0.0102, 3.1572, 131072},   {0.00098745, 0.0947, 29.6994, 2359296},
                                  {0.00072944, 0.0532, 17.4016, 2359296}};

cost_table hawq() {
  std::vector<std::size_t> weights, bytes;
  std::vector<double> costs;
  for (const layer& l : resnet18) {
    weights.push_back(l.weights);
    bytes.insert(bytes.end(), {l.weights / 2, l.weights});
    costs.insert(costs.end(), {l.trace * l.at4, l.trace * l.at8});
  }
  return tables::by_hand({"four", "eight"}, weights, bytes, costs);
}

}  // namespace

TEST_CASE("the optimum of the small example at five budgets", "[allocate][knapsack][worked-example]") {
  struct expected {
    std::size_t bits;
    double cost;
    std::size_t taken;
    std::vector<std::size_t> entries;
  };
  for (const expected& e : {expected{1400, 23.0, 1400, {0, 0, 0}}, expected{2100, 9.5, 2000, {1, 1, 0}},
                            expected{2800, 6.0, 2800, {1, 1, 1}}, expected{3500, 4.1, 3200, {2, 1, 1}},
                            expected{4200, 2.8, 4000, {2, 2, 1}}}) {
    const solution s = within(e.bits / 8).solve(tables::tiny());
    CHECK(s.entries == e.entries);
    CHECK(s.cost == Approx(e.cost).epsilon(1e-12));
    CHECK(s.bytes == e.taken / 8);
    CHECK(s.limit == e.bits / 8);
    CHECK(s.optimal);
    CHECK(s.gap() == 0);
  }
}

TEST_CASE("a budget in bits per weight, bytes or percent", "[allocate][knapsack][worked-example]") {
  // 700 weights, 2800 bytes as float32: 4 bits per weight, 350 bytes and 12.5 % are the same.
  for (const budget& b : {bits_per_weight(4), at_most_bytes(350), percent_of_original(12.5)})
    CHECK(knapsack{.budget = b}.solve(tables::tiny()).entries == std::vector<std::size_t>{1, 1, 1});
}

TEST_CASE("the plan names entries, and its note states the cost and that it is optimal",
          "[allocate][knapsack][worked-example]") {
  const plan p = knapsack{.budget = bits_per_weight(4.5)}(tables::tiny());
  CHECK(p.model == "8c1f");
  REQUIRE(p.choices.size() == 3);
  CHECK(p.choices[2] == choice{.unit = "block.2", .codec = "four", .sparsity = 0, .rank = 0});
  // 393 bytes: (4, 4, 4) takes 350, and raising the first unit would take 400.
  CHECK(p.notes == std::vector<std::string>{"knapsack 4.5bpw of hand: cost 6 nats, 350 bytes of 393, optimal"});
  CHECK(parse_plan(to_text(p)) == p);
}

TEST_CASE("ResNet-18 of HAWQ, with and without shared widths", "[allocate][knapsack][worked-example]") {
  const cost_table t = hawq();
  std::vector<std::size_t> expected(19, 1);
  expected[15] = expected[17] = expected[18] = 0;
  for (const allocate::linked_units& links :
       {allocate::linked_units{},
        allocate::linked_units{{"block.4", "block.6"}, {"block.9", "block.11"}, {"block.14", "block.16"}}}) {
    const solution s = knapsack{.budget = at_most_bytes(66945024 / 8), .linked = links}.solve(t);
    CHECK(s.entries == expected);
    CHECK(s.cost == Approx(0.074505929638).epsilon(1e-10));  // the published value has twelve digits
    CHECK(s.bytes == 60948480 / 8);
    CHECK(s.optimal);
  }
}

TEST_CASE("linked units take one entry that is admissible for all of them", "[allocate][knapsack][oracle]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    cost_table t = tables::random(seed, 5, 3);
    if (t.units.size() < 3) continue;
    // The same table with units 0 and 2 summed into one row.
    cost_table joined = tables::by_hand(t.entries, std::vector<std::size_t>(t.units.size() - 1, 8), {}, {});
    for (std::size_t u = 0; u < t.units.size(); ++u) {
      if (u == 2) continue;
      for (std::size_t e = 0; e < t.entries.size(); ++e) {
        joined.bytes.push_back(t.bytes_of(u)[e] + (u == 0 ? t.bytes_of(2)[e] : 0));
        joined.costs.push_back(t.costs_of(u)[e] + (u == 0 ? t.costs_of(2)[e] : 0));
      }
    }
    const std::size_t limit = (tables::range(joined).first + tables::range(joined).second) / 2;
    const solution s =
        knapsack{.budget = at_most_bytes(limit), .linked = {{"block.2", "block.0"}, {"block.0"}}}.solve(t);
    CHECK(s.entries[0] == s.entries[2]);
    CHECK(s.cost == tables::exhaustive(joined, limit).cost);
  }
}

TEST_CASE("knapsack equals trying every combination", "[allocate][knapsack][oracle]") {
  for (std::uint64_t seed = 0; seed < 1500; ++seed) {
    const cost_table t = tables::random(seed);
    for (const std::size_t limit : admissible_budgets(t)) {
      const solution s = within(limit).solve(t);
      const tables::optimum best = tables::exhaustive(t, limit);
      CAPTURE(seed, limit);
      REQUIRE(s.optimal);
      REQUIRE(s.cost == best.cost);
      REQUIRE(s.bytes == best.bytes);  // of equal cost, the fewest bytes
      REQUIRE(s.bytes <= limit);
    }
  }
}

TEST_CASE("knapsack equals trying every combination if costs are not integers", "[allocate][knapsack][oracle]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    cost_table t = tables::random(seed, 6, 4);
    const random_stream stream(seed, purpose("costs"));
    for (std::size_t c = 0; c < t.costs.size(); ++c)
      if (t.costs[c] < not_admitted) t.costs[c] = stream.normal(2 * c) * std::exp(5 * stream.normal(2 * c + 1));
    for (const std::size_t limit : admissible_budgets(t)) {
      const double best = tables::exhaustive(t, limit).cost, cost = within(limit).solve(t).cost;
      double largest = 0;  // sums are rounded in the order of addition: seven terms, half a unit in the last place each
      for (const double c : t.costs)
        if (c < not_admitted) largest = std::max(largest, std::abs(c));
      REQUIRE(std::abs(cost - best) <= 1e-14 * largest);
    }
  }
}

TEST_CASE("knapsack @post: the optimum never rises as the budget grows, and does not depend on the order of the units",
          "[allocate][knapsack][property]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const random_stream stream(seed, purpose("larger"));
    cost_table t = tables::by_hand({"a", "b", "c", "d"}, std::vector<std::size_t>(300, 1), {}, {});
    for (std::size_t u = 0; u < 300; ++u)
      for (std::size_t e = 0; e < 4; ++e) {
        t.bytes.push_back((1 + stream.below(2 * (4 * u + e), 50)) * (e + 1));
        t.costs.push_back(static_cast<double>(stream.below(2 * (4 * u + e) + 1, 1000)) / (1 << (2 * e)));
      }
    std::vector<std::size_t> order(300);  // a shuffled copy
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = 300; i-- > 1;) std::swap(order[i], order[stream.below(100000 + i, i + 1)]);
    cost_table shuffled = tables::by_hand(t.entries, std::vector<std::size_t>(300, 1), {}, {});
    for (const std::size_t u : order)
      for (std::size_t e = 0; e < 4; ++e) {
        shuffled.bytes.push_back(t.bytes_of(u)[e]);
        shuffled.costs.push_back(t.costs_of(u)[e]);
      }
    double before = not_admitted;
    for (const std::size_t limit : admissible_budgets(t)) {
      const solution s = within(limit).solve(t), other = within(limit).solve(shuffled);
      CHECK(s.optimal);
      CHECK(s.cost <= before);
      before = s.cost;
      CHECK(other.cost == s.cost);
      CHECK(other.bytes == s.bytes);
      for (std::size_t i = 0; i < 300; ++i) CHECK(other.entries[i] == s.entries[order[i]]);
    }
  }
}

TEST_CASE("thousands of identical units are solved to optimality", "[allocate][knapsack][worked-example]") {
  // 4000 units that save 3 for 16 bytes each: 100 bytes above the minimum allow six steps and leave four bytes unused.
  std::vector<std::size_t> bytes;
  std::vector<double> costs;
  for (std::size_t u = 0; u < 4000; ++u) {
    bytes.insert(bytes.end(), {16, 32});
    costs.insert(costs.end(), {4, 1});
  }
  const cost_table t = tables::by_hand({"small", "large"}, std::vector<std::size_t>(4000, 8), bytes, costs);
  const solution s = within(4000 * 16 + 100).solve(t);
  CHECK(s.optimal);
  CHECK(s.cost == 4000 * 4 - 6 * 3);
  CHECK(s.bytes == 4000 * 16 + 96);
}

TEST_CASE("a search that reaches its limits reports a valid gap", "[allocate][knapsack][property]") {
  // All entries gain almost equally per byte and sizes have no common divisor: the hardest case, with tiny limits.
  const random_stream stream(1, purpose("hard"));
  cost_table t = tables::by_hand({"a", "b", "c"}, std::vector<std::size_t>(40, 1), {}, {});
  std::vector<double> gains;
  for (std::size_t u = 0; u < 40; ++u) {
    const auto size = static_cast<std::size_t>(100000 + stream.below(u, 900000));
    for (const std::size_t width : {2u, 3u, 5u}) {
      t.bytes.push_back(size * width);
      t.costs.push_back(-static_cast<double>(size * width) * (1 + 1e-3 * stream.uniform(1000 + 3 * u + width)));
    }
  }
  const std::size_t limit = (tables::range(t).first + tables::range(t).second) / 2;
  const solution full = within(limit).solve(t);
  const solution cut =
      knapsack{.budget = at_most_bytes(limit), .linked = {}, .limits = {.states = 2, .examined = 64}}.solve(t);
  CHECK(cut.bytes <= limit);
  CHECK_FALSE(cut.optimal);
  CHECK(cut.gap() > 0);
  CHECK(cut.bound <= full.cost);
  CHECK(full.cost <= cut.cost);
  CHECK(full.bound <= full.cost);
  CHECK_THAT(to_plan(t, cut, "x", certificate(cut)).notes.front(), ContainsSubstring("above the optimum"));
}

TEST_CASE("no units, one unit, one entry", "[allocate][knapsack][worked-example]") {
  const cost_table none = tables::by_hand({"a"}, {}, {}, {});
  CHECK(within(10).solve(none).entries.empty());
  CHECK(within(10).solve(none).optimal);
  const cost_table one = tables::by_hand({"a"}, {8}, {8}, {-1});
  CHECK(within(8).solve(one).entries == std::vector<std::size_t>{0});
}

TEST_CASE("knapsack refuses infeasible budgets and links, and shows the feasible range",
          "[allocate][knapsack][refusal]") {
  const cost_table t = tables::tiny();
  CHECK(refusal([&] { (void)within(174).solve(t); }) ==
        "allocate::knapsack: a budget of 174B, 174 bytes; expected at least 175B (2bpw), the size of the smallest "
        "admissible entries; the largest take 700B (8bpw)");
  CHECK_THAT(refusal([&] { (void)knapsack{.budget = bits_per_weight(1.99)}.solve(t); }),
             ContainsSubstring("a budget of 1.99bpw, 174 bytes"));
  CHECK_THAT(refusal([&] { (void)knapsack{.linked = {{"block.0", "block.9"}}}.solve(t); }),
             ContainsSubstring("unit 'block.9' is linked but not in the table"));
  cost_table apart = t;
  apart.costs[1] = apart.costs[2] = apart.costs[3] = not_admitted;
  CHECK_THAT(refusal([&] { (void)knapsack{.linked = {{"block.0", "block.1"}}}.solve(apart); }),
             ContainsSubstring("unit block.0 and the units linked to it have no common admissible entry"));
  cost_table no_original = t;
  no_original.original_bytes = 0;
  CHECK_THAT(refusal([&] { (void)knapsack{.budget = percent_of_original(50)}.solve(no_original); }),
             ContainsSubstring("has no original size"));
  apart.costs[0] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(refusal([&] { (void)within(500).solve(apart); }),
             ContainsSubstring("allocate::knapsack: the cost of unit"));
}

TEST_CASE("the smallest model within a cost, for the small example", "[allocate][smallest][worked-example]") {
  // The optima of the small example with cost and bytes exchanged; between two of them, the next larger model.
  for (const auto& [cost, bits] : {std::pair{23.0, 1400}, {9.5, 2000}, {6.0, 2800}, {4.2, 3200}, {0.7, 5600}}) {
    const solution s = smallest{.cost = cost}.solve(tables::tiny());
    CHECK(s.bytes == static_cast<std::size_t>(bits / 8));
    CHECK(s.cost <= cost);
    CHECK(s.optimal);
  }
  CHECK(smallest{.cost = 6}(tables::tiny()).notes ==
        std::vector<std::string>{"smallest 6 of hand: cost 6 nats, 350 bytes, optimal"});
}

TEST_CASE("the smallest model equals trying every combination", "[allocate][smallest][oracle]") {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const cost_table t = tables::random(seed);
    const auto [least, most] = tables::range(t);
    for (const std::size_t limit : {least, (least + most) / 2, most}) {
      const double cost = tables::exhaustive(t, limit).cost;  // exactly reachable
      const solution s = smallest{.cost = cost}.solve(t);
      CAPTURE(seed, cost);
      REQUIRE(s.bytes == tables::exhaustive(t, 0, cost).fewest);
      REQUIRE(s.cost <= cost);
    }
  }
}

TEST_CASE("smallest @post: a knapsack with one byte less cannot stay within `cost`", "[allocate][smallest][property]") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    cost_table t = tables::random(seed);
    const random_stream stream(seed, purpose("costs"));
    for (std::size_t c = 0; c < t.costs.size(); ++c)
      if (t.costs[c] < not_admitted) t.costs[c] = std::exp(stream.normal(c));
    const auto [least, most] = tables::range(t);
    const double cost = within((least + most) / 2).solve(t).cost;
    const solution s = smallest{.cost = cost}.solve(t);
    CHECK(s.cost <= cost);
    if (s.bytes > least) CHECK(within(s.bytes - 1).solve(t).cost > cost);
  }
}

TEST_CASE("smallest refuses a cost that no choice reaches", "[allocate][smallest][refusal]") {
  CHECK(refusal([] { (void)smallest{.cost = 0.5}.solve(tables::tiny()); }) ==
        "allocate::smallest: a cost of at most 0.5; expected at least 0.6, the least cost that "
        "this table allows");
  CHECK_THAT(refusal([] { (void)smallest{.cost = std::nan("")}.solve(tables::tiny()); }),
             ContainsSubstring("a cost of at most nan"));
}
