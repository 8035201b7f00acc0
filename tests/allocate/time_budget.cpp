#include <precis/allocate/evolve.hpp>
#include <precis/allocate/greedy.hpp>
#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/lagrangian.hpp>
#include <precis/allocate/minimax.hpp>
#include <precis/allocate/norm_sweep.hpp>
#include <precis/allocate/uniform.hpp>

#include "allocate/timed_tables.hpp"
#include "catch.hpp"
#include "refusal.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using namespace precis::allocate;

// Budgets in time, with every allocator.

namespace {

std::vector<std::string> codecs(const plan& p) {
  std::vector<std::string> all;
  for (const choice& c : p.choices) all.push_back(c.codec);
  return all;
}
using names = std::vector<std::string>;

}  // namespace

TEST_CASE("a budget in bytes and one in time choose differently", "[allocate][time][worked-example]") {
  const cost_table t = tables::timed();
  // 70 bytes: not four and four (80), so one unit takes three: 5 + 3 = 8 or 2 + 9 = 11. It takes 87 + 35 = 122 ns.
  const plan by_bytes = knapsack{.budget = at_most_bytes(70)}(t);
  CHECK(codecs(by_bytes) == names{"three", "four"});
  CHECK(by_bytes.notes.front() == "knapsack 70B of hand: cost 8 nats, 70 bytes of 70, 122 ns per token, optimal");
  // 100 ns: three takes 87, which leaves no time for the other unit. Four and eight: 2 + 0 = 2 or 0 + 3 = 3 in 96 ns.
  const plan by_time = knapsack{.budget = at_most_nanoseconds(100)}(t);
  CHECK(codecs(by_time) == names{"four", "eight"});
  CHECK(by_time.notes.front() == "knapsack 100ns of hand: cost 2 nats, 120 bytes, 96 ns per token of 100, optimal");
  // The fastest at a cost of at most 4: four and four cost 5, so 96 ns, at the lower cost; the smallest: 110 bytes.
  CHECK(codecs(smallest{.cost = 4, .of = resource::nanoseconds}(t)) == names{"four", "eight"});
  CHECK(smallest{.cost = 4, .of = resource::nanoseconds}.solve(t).objective == 96);
  CHECK(smallest{.cost = 5}.solve(t).objective == 80);
  // Steps along the hull by gain per ns from four and four: unit 1 gains 3 and unit 0 gains 2 in 26 ns; one fits.
  CHECK(codecs(greedy{.budget = at_most_nanoseconds(100)}(t)) == names{"four", "eight"});
  CHECK(codecs(lagrangian{.budget = at_most_nanoseconds(100)}(t)) == names{"four", "eight"});
  CHECK(codecs(minimax{.budget = at_most_nanoseconds(100)}(t)) == names{"four", "eight"});
  CHECK(codecs(norm_sweep{.budget = at_most_nanoseconds(100)}(t)) == names{"four", "eight"});
  CHECK(codecs(uniform{.budget = at_most_nanoseconds(100)}(t)) == names{"four", "four"});
}

TEST_CASE("two budgets, in bytes and in time", "[allocate][time][worked-example]") {
  const cost_table t = tables::timed();
  const auto both = [&](std::size_t bytes, double ns) {
    return codecs(knapsack{.budget = at_most_bytes(bytes), .also = at_most_nanoseconds(ns)}(t));
  };
  CHECK(both(120, 100) == names{"four", "eight"});
  CHECK(both(110, 100) == names{"four", "four"});  // three and eight take 110 bytes, but 148 ns
  CHECK(both(160, 1000) == names{"eight", "eight"});
  CHECK(codecs(knapsack{.budget = at_most_nanoseconds(100), .also = at_most_bytes(110)}(t)) == names{"four", "four"});
  CHECK(knapsack{.budget = at_most_bytes(120), .also = at_most_nanoseconds(100)}(t).notes.front().starts_with(
      "knapsack 120B and 100ns of hand: cost 2 nats"));
}

TEST_CASE("allocators within a time: feasible, and the knapsack is optimal", "[allocate][time][oracle]") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    const cost_table t = tables::random_timed(seed);
    const auto [low, high] = tables::time_range(t);
    for (const std::size_t limit : {low, (low + high) / 2, high}) {
      const budget within = at_most_nanoseconds(static_cast<double>(limit));
      const double best = tables::least_cost(t, std::numeric_limits<std::size_t>::max(), limit);
      const solution exact = knapsack{.budget = within}.solve(t);
      CHECK(exact.cost == best);
      CHECK(exact.optimal);
      for (const solution& s : {exact, greedy{.budget = within}.solve(t), lagrangian{.budget = within}.solve(t),
                                minimax{.budget = within}.solve(t)}) {
        CHECK(s.nanoseconds <= limit);
        CHECK(s.cost >= best);
        for (std::size_t u = 0; u < t.units.size(); ++u) CHECK(t.nanoseconds_of(u)[s.entries[u]] != not_timed);
      }
    }
  }
}

TEST_CASE("impossible budgets in time are refused with what to do", "[allocate][time][refusal]") {
  cost_table t = tables::timed();
  CHECK(refusal([&] { (void)knapsack{.budget = at_most_nanoseconds(60)}(t); }) ==
        "allocate::knapsack: a budget of 60ns per token; expected at least 70ns, the time of the fastest admissible "
        "entries (the slowest take 174ns): allow more time, add faster formats, or measure with more threads");
  CHECK(
      refusal([&] { (void)uniform{.budget = at_most_nanoseconds(60)}(t); }).starts_with("allocate::uniform: a budget"));
  CHECK(refusal([&] { (void)knapsack{.budget = at_most_bytes(60), .also = at_most_nanoseconds(100)}(t); }) ==
        "allocate::knapsack: a budget of 60B and 100ns; expected a larger one: within the first, the least of the "
        "second is 174ns per token");
  CHECK(refusal([&] { (void)knapsack{.budget = at_most_bytes(60), .also = bits_per_weight(4)}(t); }) ==
        "allocate::knapsack: the budgets 60B and 4bpw; expected a size and a time");
  CHECK_THAT(refusal([&] {
               (void)evolve{.budget = at_most_nanoseconds(100)}.solve(
                   t, std::vector<std::size_t>{1}, [](auto&&, auto&&) { return std::vector<double>{}; });
             }),
             ContainsSubstring("allocate::evolve: a budget of 100ns; expected a budget in bytes"));
  t.nanoseconds[3] = t.nanoseconds[4] = t.nanoseconds[5] = not_timed;
  CHECK(refusal([&] { (void)greedy{.budget = at_most_nanoseconds(100)}(t); }) ==
        "allocate::greedy: unit block.1 has no admissible entry whose time is known; expected entries that a kernel "
        "multiplies, or a budget in bytes");
  CHECK(knapsack{.budget = at_most_bytes(70)}(t).notes.front().find("ns") == std::string::npos);  // not all are known
  t.nanoseconds.clear();
  for (const std::string& said : {refusal([&] { (void)minimax{.budget = at_most_nanoseconds(100)}(t); }),
                                  refusal([&] { (void)uniform{.budget = at_most_nanoseconds(100)}(t); })})
    CHECK_THAT(said, ContainsSubstring("a budget in time, but the cost table has no times; expected nanoseconds in the "
                                       "table (cost::product_times, precis cost --time), or a budget in bytes"));
}
