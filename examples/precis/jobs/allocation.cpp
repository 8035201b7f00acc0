#include "jobs/allocation.hpp"

#include "jobs/formats.hpp"
#include "jobs/lists.hpp"

#include <precis/allocate/greedy.hpp>
#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/lagrangian.hpp>
#include <precis/allocate/minimax.hpp>
#include <precis/allocate/norm_sweep.hpp>
#include <precis/allocate/z_tiers.hpp>
#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace program {

using precis::cost_table;
using precis::plan;

const std::vector<std::string>& allocator_names() {
  static const std::vector<std::string> names{"knapsack",   "lagrangian",   "greedy", "minimax",
                                              "norm_sweep", "kmeans_tiers", "z_tiers"};
  return names;
}

bool is_tiers(const std::string& allocator) { return allocator == "kmeans_tiers" || allocator == "z_tiers"; }

std::vector<std::size_t> ladder(const cost_table& t) {
  std::vector<std::pair<std::size_t, std::size_t>> sizes;
  for (std::size_t e = 0; e < t.entries.size(); ++e) {
    std::size_t sum = 0;
    for (std::size_t u = 0; u < t.units.size(); ++u) sum += t.bytes_of(u)[e];
    sizes.emplace_back(sum, e);
  }
  std::ranges::sort(sizes);
  std::vector<std::size_t> out;
  for (const auto& [bytes, entry] : sizes) out.push_back(entry);
  return out;
}

plan fill_in_order(const cost_table& t, const std::vector<std::size_t>& order, const precis::budget& budget,
                   const std::string& maker) {
  const std::vector<std::size_t> steps = ladder(t);
  const std::size_t limit = budget.bytes(t.weights(), t.original_bytes);
  const auto total = [&](std::size_t e) {
    std::size_t sum = 0;
    for (std::size_t u = 0; u < t.units.size(); ++u) sum += t.bytes_of(u)[e];
    return sum;
  };
  std::size_t fits = 0;
  while (fits + 1 < steps.size() && total(steps[fits + 1]) <= limit) ++fits;
  const std::size_t low = steps[fits == 0 ? 0 : fits - 1], high = steps[std::min(fits + 2, steps.size() - 1)];
  std::size_t used = total(low);
  plan p{.model = t.model, .units = t.units.front().kind, .notes = {maker}, .choices = {}};
  for (const precis::unit& u : t.units) p.choices.push_back({.unit = u.name, .codec = t.entries[low]});
  for (const std::size_t u : order) {
    const std::size_t more = t.bytes_of(u)[high] - std::min(t.bytes_of(u)[high], t.bytes_of(u)[low]);
    if (used + more > limit) continue;
    used += more;
    p.choices[u].codec = t.entries[high];
  }
  return p;
}

namespace {

/// Tiers order units but do not say how far apart their formats are. Here the medium tier is as many steps of the
/// ladder above the low tier as the high tier is above it: the smallest number of steps, at least two, that fills 97 %
/// of the budget; if there is none, the plan that fills most of it.
[[nodiscard]] plan fill_tiers(const cost_table& t, const std::vector<std::size_t>& tier, const precis::budget& budget,
                              const std::string& maker) {
  const std::vector<std::size_t> steps = ladder(t);
  std::vector<std::array<std::size_t, 3>> bytes(steps.size());
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (std::size_t e = 0; e < steps.size(); ++e) bytes[e][tier[u]] += t.bytes_of(u)[steps[e]];
  const std::size_t limit = budget.bytes(t.weights(), t.original_bytes);
  std::size_t best = 0;
  std::array<std::size_t, 3> chosen{};
  bool found = false;
  const auto consider = [&](std::size_t low, std::size_t contrast) {
    const std::size_t medium = low + contrast, high = std::min(medium + contrast, steps.size() - 1);
    if (medium >= steps.size()) return;
    const std::size_t sum = bytes[low][0] + bytes[medium][1] + bytes[high][2];
    if (sum > limit || (found && sum <= best)) return;
    best = sum;
    chosen = {low, medium, high};
    found = true;
  };
  for (std::size_t contrast = 2; contrast < steps.size() && 100 * best < 97 * limit; ++contrast)
    for (std::size_t low = 0; low < steps.size(); ++low) consider(low, contrast);
  for (const std::size_t contrast : {1u, 0u})  // a short ladder, or a budget near its smallest step
    for (std::size_t low = 0; low < steps.size() && !found; ++low) consider(low, contrast);
  if (!found)
    precis::refuse({.what = "a budget of " + to_string(budget),
                    .where = maker,
                    .expected = fmt::format("at least {} bytes", bytes[0][0] + bytes[0][1] + bytes[0][2])});
  plan p{.model = t.model, .units = t.units.front().kind, .notes = {maker + " of " + t.maker}, .choices = {}};
  for (std::size_t u = 0; u < t.units.size(); ++u)
    p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[steps[chosen[tier[u]]]]});
  return p;
}

template<class Allocator>
[[nodiscard]] allocation solved(const Allocator& with, const cost_table& t) {
  const precis::allocate::solution s = with.solve(t);
  return {.plan = with.to_plan(t, s), .predicted = s.cost, .optimal = s.optimal};
}

[[nodiscard]] double predicted_cost(const cost_table& t, const plan& p) {
  double sum = 0;
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (std::size_t e = 0; e < t.entries.size(); ++e)
      if (t.entries[e] == p.choices[u].codec) sum += t.costs_of(u)[e];
  return sum;
}

}  // namespace

allocation allocate_plan(const std::string& allocator, const candidate& c, const precis::budget& budget,
                         const std::optional<precis::budget>& also) {
  namespace allocate = precis::allocate;
  if (allocator == "knapsack") return solved(allocate::knapsack{.budget = budget, .also = also}, c.costs);
  if (allocator == "lagrangian") return solved(allocate::lagrangian{.budget = budget}, c.costs);
  if (allocator == "greedy") return solved(allocate::greedy{.budget = budget}, c.costs);
  if (allocator == "norm_sweep") return solved(allocate::norm_sweep{.budget = budget}, c.costs);
  if (allocator == "minimax") return solved(allocate::minimax{.budget = budget}, c.costs);
  if (!is_tiers(allocator)) {
    precis::refuse({.what = "no allocator called '" + allocator + "'",
                    .where = "--allocator",
                    .expected = fmt::format("one of {}", fmt::join(allocator_names(), ", "))});
  }
  if (!c.has_scores())
    precis::refuse({.what = allocator + " needs scores, but " + c.name + " is a cost table",
                    .where = "--allocator",
                    .expected = "knapsack, lagrangian, greedy, minimax or norm_sweep"});
  if (budget.bounds() != precis::resource::bytes)
    precis::refuse({.what = allocator + " within " + to_string(budget),
                    .where = "--allocator",
                    .expected = "a budget in size, or knapsack, lagrangian, greedy, minimax or norm_sweep"});
  std::vector<std::size_t> scored;
  if (allocator == "z_tiers") {
    for (const allocate::tier t : allocate::z_tiers{}.tiers(c.scores.values))
      scored.push_back(static_cast<std::size_t>(t));
  } else {
    scored = allocate::kmeans_tiers{}.tiers(c.scores.values);
  }
  std::vector<std::size_t> tiers;  // units without a score are in the highest
  for (std::size_t u = 0, next = 0; u < c.costs.units.size(); ++u) {
    const bool has_score = next < scored.size() && c.scores.units[next].name == c.costs.units[u].name;
    tiers.push_back(has_score ? scored[next++] : 2);
  }
  allocation out{.plan = fill_tiers(c.costs, tiers, budget, allocator)};
  out.predicted = predicted_cost(c.costs, out.plan);
  return out;
}

std::vector<std::string> default_entries() {
  std::vector<std::string> names;
  for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 8u})
    for (const unsigned group : {128u, 64u, 32u}) names.push_back(fmt::format("affine{}.g{}.h", bits, group));
  return names;
}

/// float16 for rows that are not whole blocks of any type.
std::vector<std::string> gguf_entries() {
  return {"iq2_xxs", "iq2_xs", "iq2_s", "q2_k", "iq3_xxs", "iq3_s", "q3_k", "iq4_xs", "mxfp4",  "iq4_nl",
          "q4_0",    "q4_1",   "q4_k",  "q5_0", "q5_1",    "q5_k",  "q6_k", "q8_0",   "float16"};
}
std::vector<std::string> own_entries() {
  std::vector<std::string> all = default_entries();
  for (std::string& name : gguf_entries()) all.push_back(std::move(name));
  return all;
}

std::vector<std::string> read_entries(const std::string& text, const std::string& option) {
  if (text.empty()) return default_entries();
  std::vector<std::string> names = split_commas(text);
  for (const std::string& name : names)
    if (!formats::contains(name) || std::ranges::count(names, name) > 1)
      precis::refuse({.what = "'" + name + "'",
                      .where = option,
                      .expected = "comma-separated formats, each once: affine3.g64.h,affine4.g64.h,float16"});
  return names;
}

}  // namespace program
