#include <precis/allocate/solver/core_search.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using namespace precis;
using core_search = allocate::solver::core_search<>;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Members with options of any weight w and value -price * w + loss, loss >= 0: what the relaxation leaves undecided.
struct instance {
  double price = 3;
  double room = 0;
  std::vector<core_search::member> members = {};
  std::vector<std::size_t> first{0};
  std::vector<core_search::option> options = {};

  explicit instance(std::uint64_t seed, std::size_t most_members = 7) {
    const random_stream draw(seed, purpose("core search"));
    std::uint64_t i = 0;
    const std::size_t count = 1 + draw.below(i++, most_members);
    room = static_cast<double>(draw.below(i++, 12));
    for (std::uint32_t m = 0; m < count; ++m) {
      double up = 0, down = infinity;
      const std::size_t choices = 1 + draw.below(i++, 3);
      for (std::uint32_t e = 1; e <= choices; ++e) {
        double weight = static_cast<double>(1 + draw.below(i++, 9));
        if (draw.below(i++, 2) == 0) weight = -weight;
        const double value = -price * weight + static_cast<double>(draw.below(i++, 8));
        if (weight > 0) up = std::max(up, -value / weight);
        if (weight < 0) down = std::min(down, value / -weight);
        options.push_back({weight, value, m, e});
      }
      first.push_back(options.size());
      members.push_back({m, up, down, std::min(price - up, down - price)});
    }
  }

  struct optimum {
    double value = 0, weight = 0;
  };
  /// Every combination of options.
  [[nodiscard]] optimum exhaustive() const {
    optimum best;
    extend(0, {}, best);
    return best;
  }
  void extend(std::size_t m, optimum sum, optimum& best) const {
    if (m == members.size()) {
      if (sum.weight > room) return;
      if (sum.value < best.value || (sum.value == best.value && sum.weight < best.weight)) best = sum;
      return;
    }
    extend(m + 1, sum, best);
    for (std::size_t o = first[m]; o < first[m + 1]; ++o)
      extend(m + 1, {sum.value + options[o].value, sum.weight + options[o].weight}, best);
  }
  [[nodiscard]] optimum total(const core_search& search) const {
    optimum sum;
    for (const auto& [unit, entry] : search.changes())
      for (const core_search::option& o : options)
        if (o.unit == unit && o.entry == entry) {
          sum.value += o.value;
          sum.weight += o.weight;
        }
    return sum;
  }
};

}  // namespace

TEST_CASE("core_search: two small steps beat a large one", "[allocate][solver][worked-example]") {
  // Room for 4: the first step alone gains 4, the other two together gain 3 + 2.
  const std::vector<core_search::member> members{{5, 4.0 / 3, infinity, 0}, {6, 1.5, infinity, 0}, {8, 1, infinity, 0}};
  core_search search(members, {0, 1, 2, 3}, {{3, -4, 5, 1}, {2, -3, 6, 2}, {2, -2, 8, 3}}, 1.5, 4);
  search.run(1000, 1000);
  auto changes = search.changes();
  std::ranges::sort(changes);
  CHECK(changes == std::vector<std::pair<std::uint32_t, std::uint32_t>>{{6, 2}, {8, 3}});
  CHECK(search.value() == -5);
  CHECK(search.bound() == -5);
  CHECK(search.complete());
}

TEST_CASE("core_search equals trying every combination", "[allocate][solver][oracle]") {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const instance in(seed);
    core_search search(in.members, in.first, in.options, in.price, in.room);
    search.run(1 << 16, 1 << 20);
    CAPTURE(seed);
    const instance::optimum best = in.exhaustive(), found = in.total(search);
    REQUIRE(search.complete());
    REQUIRE(search.value() == best.value);  // small integers: exact
    REQUIRE(found.value == best.value);
    REQUIRE(found.weight == best.weight);  // of equal value the least weight
  }
}

TEST_CASE("core_search: a search that is cut short has a valid bound and keeps its start",
          "[allocate][solver][property]") {
  std::size_t incomplete = 0;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const instance in(seed, 9);
    core_search full(in.members, in.first, in.options, in.price, in.room);
    full.run(1 << 16, 1 << 20);
    core_search cut(in.members, in.first, in.options, in.price, in.room);
    cut.run(2, 8);
    CAPTURE(seed);
    CHECK(cut.value() >= full.value());
    CHECK(cut.bound() <= full.value() + 1e-9);  // values are scaled to 48 bits
    CHECK(in.total(cut).weight <= in.room);
    incomplete += cut.complete() ? 0u : 1u;

    core_search started(in.members, in.first, in.options, in.price, in.room);
    started.start_from(full.changes());
    CHECK(started.value() == full.value());
    started.run(2, 8);
    CHECK(started.value() == full.value());
  }
  CHECK(incomplete > 0);
}

TEST_CASE("core_search: a start that does not fit or is unknown is ignored", "[allocate][solver][worked-example]") {
  core_search search({{0, 1, infinity, 0}}, {0, 1}, {{3, -3, 0, 1}}, 1, 2);
  search.start_from({{0, 1}});  // weight 3 in a room of 2
  CHECK(search.changes().empty());
  search.start_from({{7, 1}});
  CHECK(search.changes().empty());
  search.run(10, 10);
  CHECK(search.value() == 0);
  CHECK(search.complete());
}
