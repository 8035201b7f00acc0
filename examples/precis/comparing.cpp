#include "comparing.hpp"

#include "checkpoint.hpp"
#include "facts.hpp"
#include "planning.hpp"
#include "verdicts.hpp"

#include <report/chart.hpp>
#include <report/sweep.hpp>

#include <precis/allocate/greedy.hpp>
#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/allocate/knapsack.hpp>
#include <precis/allocate/lagrangian.hpp>
#include <precis/allocate/minimax.hpp>
#include <precis/allocate/norm_sweep.hpp>
#include <precis/allocate/uniform.hpp>
#include <precis/allocate/z_tiers.hpp>
#include <precis/core/random.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/evaluate/kl_divergence.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace program {

using precis::cost_table;
using precis::plan;
using precis::evaluate::interval;

double quality::perplexity() const { return std::exp(nll); }

bool comparison_request::wants_verdicts(const compared& row) {
  const bool costs = row.candidate == "measured" || row.candidate == "reconstruction";
  return row.candidate == "uniform" || row.allocator == "kmeans_tiers" || (costs && row.allocator == "knapsack");
}

std::string compared::method() const { return allocator.empty() ? candidate : candidate + ", " + allocator; }

interval comparison::difference(const compared& a, const compared& b) const {
  std::vector<double> d = a.quality.windows;
  for (std::size_t i = 0; i < d.size(); ++i) d[i] -= b.quality.windows[i];
  return precis::evaluate::mean_interval(d);
}
interval comparison::excess(const compared& row) const {
  std::vector<double> d = row.quality.windows;
  for (std::size_t i = 0; i < d.size(); ++i) d[i] -= original.windows[i];
  return precis::evaluate::mean_interval(d);
}
const compared* comparison::find(std::size_t budget, const std::string& candidate, const std::string& allocator) const {
  for (const compared& row : rows)
    if (row.budget == budget && row.candidate == candidate && (allocator.empty() || row.allocator == allocator))
      return &row;
  return nullptr;
}

const std::vector<std::string>& allocator_names() {
  static const std::vector<std::string> names{"knapsack",   "lagrangian",   "greedy", "minimax",
                                              "norm_sweep", "kmeans_tiers", "z_tiers"};
  return names;
}

namespace {

[[nodiscard]] bool is_tiers(const std::string& allocator) {
  return allocator == "kmeans_tiers" || allocator == "z_tiers";
}

/// The entries of a table that all units may take, fewest bytes first, without those that another one beats in size and
/// place: tiers only need more or less.
[[nodiscard]] std::vector<std::size_t> ladder(const cost_table& t) {
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

/// Tiers say who gets more, not how much. Here the medium tier is as many steps of the ladder above the low one as the
/// high tier above it: as few as fill the budget to 97 %, and at least two; without such steps, the fullest that fits.
[[nodiscard]] plan fill_tiers(const cost_table& t, const std::vector<std::size_t>& tier, const precis::budget& budget,
                              const std::string& who) {
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
  for (const std::size_t contrast : {1u, 0u})  // a short ladder, or a budget at its foot
    for (std::size_t low = 0; low < steps.size() && !found; ++low) consider(low, contrast);
  if (!found)
    precis::refuse({.what = "a budget of " + to_string(budget),
                    .where = who,
                    .expected = fmt::format("at least {} bytes", bytes[0][0] + bytes[0][1] + bytes[0][2])});
  plan p{.model = t.model, .units = t.units.front().kind, .notes = {who + " of " + t.maker}, .choices = {}};
  for (std::size_t u = 0; u < t.units.size(); ++u)
    p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[steps[chosen[tier[u]]]]});
  return p;
}

template<class Allocator>
[[nodiscard]] allocation solved(const Allocator& with, const cost_table& t) {
  const precis::allocate::solution s = with.solve(t);
  return {.plan = with(t), .predicted = s.cost, .optimal = s.optimal};
}

[[nodiscard]] double predicted_cost(const cost_table& t, const plan& p) {
  double sum = 0;
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (std::size_t e = 0; e < t.entries.size(); ++e)
      if (t.entries[e] == p.choices[u].codec) sum += t.costs_of(u)[e];
  return sum;
}

/// Units in an order of somebody's choosing: from the first on, each gets the largest entry as long as the rest still
/// fits with the smallest, and the one at the edge what is left.
[[nodiscard]] plan fill_in_order(const cost_table& t, const std::vector<std::size_t>& order,
                                 const precis::budget& budget, const std::string& who) {
  // Two neighbours of the ladder around the budget: everybody the lower, some the upper; more contrast breaks a model.
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
  plan p{.model = t.model, .units = t.units.front().kind, .notes = {who}, .choices = {}};
  for (const precis::unit& u : t.units) p.choices.push_back({.unit = u.name, .codec = t.entries[low]});
  for (const std::size_t u : order) {
    const std::size_t more = t.bytes_of(u)[high] - std::min(t.bytes_of(u)[high], t.bytes_of(u)[low]);
    if (used + more > limit) continue;
    used += more;
    p.choices[u].codec = t.entries[high];
  }
  return p;
}

/// Loss, divergence and accuracy of one forward a window.
class judge {
 public:
  judge(const session& s, const text_windows& text, const fact_file* facts, const questions* verdicts,
        const common_options& o)
      : text_(text), verdicts_(verdicts), options_(o), original_(text.windows.size()), norms_(text.windows.size()) {
    if (facts != nullptr) facts_ = ask(*facts, "facts").batches;
    options_.pool().for_each(text.windows.size(), [&](std::size_t w) {
      original_[w] = s.model.logits(text.windows[w], precis::positions::all);
      for (std::size_t i = 0; i < original_[w].rows; ++i)
        norms_[w].push_back(precis::evaluate::log_sum_exp(original_[w].row(i)));
    });
  }

  [[nodiscard]] quality operator()(const engine::transformer& model, bool with_verdicts) const {
    struct part {
      double nll = 0, kl = 0;
      std::size_t right = 0, count = 0;
    };
    std::vector<part> parts(text_.windows.size());
    options_.pool().for_each(parts.size(), [&](std::size_t w) {
      const precis::token_batch& window = text_.windows[w];
      const precis::float_matrix logits = model.logits(window, precis::positions::all);
      for (std::size_t i = 0; i < window.targets.size(); ++i) {
        if (window.targets[i] == precis::no_target) continue;
        const auto target = static_cast<std::size_t>(window.targets[i]);
        const std::span<const float> row = logits.row(i);
        const double norm = precis::evaluate::log_sum_exp(row);
        parts[w].nll += norm - static_cast<double>(row[target]);
        parts[w].kl += precis::evaluate::kl_of_logits(original_[w].row(i), norms_[w][i], row, norm);
        parts[w].right += precis::evaluate::argmax(row) == target ? 1u : 0u;
        ++parts[w].count;
      }
    });
    quality q;
    part all;
    for (const part& p : parts) {
      q.windows.push_back(p.nll / static_cast<double>(p.count));
      all.nll += p.nll;
      all.kl += p.kl;
      all.right += p.right;
      all.count += p.count;
    }
    const auto count = static_cast<double>(all.count);
    q.nll = all.nll / count;
    q.kl = all.kl / count;
    q.accuracy = static_cast<double>(all.right) / count;
    if (!facts_.empty()) q.facts = precis::evaluate::accuracy{}(model, facts_, options_.pool()).correct;
    if (with_verdicts && verdicts_ != nullptr)
      q.verdicts = precis::evaluate::accuracy{.among = verdicts_->among}(model, verdicts_->batches, options_.pool());
    return q;
  }

 private:
  const text_windows& text_;
  const questions* verdicts_;
  const common_options& options_;
  std::vector<precis::float_matrix> original_;
  std::vector<std::vector<double>> norms_;  ///< log_sum_exp of each row of it
  std::vector<precis::token_batch> facts_;
};

[[nodiscard]] engine::json to_json(const quality& q) {
  engine::json j{{"windows", q.windows}, {"nll", q.nll}, {"kl", q.kl}, {"accuracy", q.accuracy}, {"facts", q.facts}};
  if (q.verdicts) j.update({{"verdicts_right", q.verdicts->correct}, {"verdicts", q.verdicts->count}});
  return j;
}
[[nodiscard]] quality quality_from(const engine::json& j) {
  quality q{.windows = j.at("windows").get<std::vector<double>>(),
            .nll = j.at("nll"),
            .kl = j.at("kl"),
            .accuracy = j.at("accuracy"),
            .facts = j.at("facts")};
  if (j.contains("verdicts")) q.verdicts = {.correct = j.at("verdicts_right"), .count = j.at("verdicts")};
  return q;
}

constexpr std::string_view above = "uniform above";

/// Every plan of a comparison, without what it does.
[[nodiscard]] std::vector<compared> all_plans(const session& s, comparison& c) {
  std::vector<compared> rows;
  const comparison_request& r = c.request;
  const std::vector<precis::unit> units = precis::group_units(s.model.matrices(), precis::unit_kind::matrix);
  cost_table bare{.model = s.fingerprint,
                  .maker = "sizes",
                  .measure = "bytes",
                  .original_bytes = stored_bytes(s),
                  .entries = r.entries,
                  .units = units,
                  .bytes = precis::exact_bytes<precis::codec::standard>(s.model.matrices(), units, r.entries),
                  .costs = std::vector<double>(units.size() * r.entries.size(), 0.0)};
  const auto add = [&](std::string who, std::string allocator, std::size_t budget, allocation a) {
    const resolved_plan resolved = resolve(s, a.plan);
    rows.push_back({.candidate = std::move(who),
                    .allocator = std::move(allocator),
                    .budget = budget,
                    .plan = std::move(a.plan),
                    .bytes = resolved.size.packed_bytes,
                    .bits_per_weight = resolved.size.bits_per_weight(),
                    .predicted = a.predicted,
                    .optimal = a.optimal,
                    .quality = {}});
  };
  for (std::size_t b = 0; b < r.budgets.size(); ++b) {
    const std::size_t limit = r.budgets[b].bytes(c.weights, c.original_bytes);
    add("uniform", "", b, solved(precis::allocate::uniform{.budget = r.budgets[b]}, bare));
    std::vector<std::size_t> steps = ladder(bare);
    for (const std::size_t e : steps) {  // so that nobody can say uniform had fewer bytes
      const plan p = uniform_plan(s, precis::unit_kind::matrix, r.entries[e], 0);
      if (resolve(s, p).size.packed_bytes <= limit) continue;
      add(std::string(above), "", b, {.plan = p});
      break;
    }
    std::vector<std::size_t> order(units.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    add("first layers", "", b, {.plan = fill_in_order(bare, order, r.budgets[b], "first layers first")});
    std::ranges::reverse(order);
    add("last layers", "", b, {.plan = fill_in_order(bare, order, r.budgets[b], "last layers first")});
    for (std::size_t i = 0; i < r.random_plans; ++i) {
      std::iota(order.begin(), order.end(), std::size_t{0});
      const precis::random_stream random(r.seed, precis::purpose("random plan") + i);
      for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random.below(k, k)]);
      add(fmt::format("random {}", i + 1), "", b, {.plan = fill_in_order(bare, order, r.budgets[b], "random")});
    }
    for (const candidate& each : c.candidates)
      for (const std::string& allocator : r.allocators)
        if (each.scored() || !is_tiers(allocator))
          add(each.name, allocator, b, allocate_plan(allocator, each, r.budgets[b]));
  }
  return rows;
}

}  // namespace

allocation allocate_plan(const std::string& allocator, const candidate& c, const precis::budget& budget) {
  namespace allocate = precis::allocate;
  if (allocator == "knapsack") return solved(allocate::knapsack{.budget = budget}, c.costs);
  if (allocator == "lagrangian") return solved(allocate::lagrangian{.budget = budget}, c.costs);
  if (allocator == "greedy") return solved(allocate::greedy{.budget = budget}, c.costs);
  if (allocator == "norm_sweep") return solved(allocate::norm_sweep{.budget = budget}, c.costs);
  if (allocator == "minimax") return solved(allocate::minimax{.budget = budget}, c.costs);
  if (!is_tiers(allocator)) {
    std::string names;
    for (const std::string& n : allocator_names()) names += (names.empty() ? "" : ", ") + n;
    precis::refuse({.what = "no allocator called '" + allocator + "'", .where = "--allocator", .expected = names});
  }
  if (!c.scored())
    precis::refuse({.what = allocator + " needs scores, and " + c.name + " are costs",
                    .where = "--allocator",
                    .expected = "knapsack, lagrangian, greedy, minimax or norm_sweep"});
  std::vector<std::size_t> tiers;
  if (allocator == "z_tiers") {
    for (const allocate::tier t : allocate::z_tiers{}.tiers(c.scores.values))
      tiers.push_back(static_cast<std::size_t>(t));
  } else {
    tiers = allocate::kmeans_tiers{}.tiers(c.scores.values);
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

std::vector<std::string> read_entries(const std::string& text, const std::string& option) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    names.push_back(text.substr(at, comma - at));
    at = comma + 1;
    if (!precis::codec::standard::contains(names.back()) || std::ranges::count(names, names.back()) > 1)
      precis::refuse({.what = "'" + names.back() + "'",
                      .where = option,
                      .expected = "codec names, each once, with commas: affine3.g64.h,affine4.g64.h,float16"});
  }
  return names;
}

comparison run_comparison(const session& s, comparison_request request, std::vector<candidate> candidates,
                          const text_windows& text, const fact_file* facts, const questions* verdicts,
                          const common_options& o, checkpoint* saved) {
  comparison c{.request = std::move(request),
               .model = s.name,
               .text = text.name,
               .fact_count = facts == nullptr ? 0 : facts->facts.size(),
               .weights = weight_count(s),
               .original_bytes = stored_bytes(s),
               .original = {},
               .candidates = std::move(candidates)};
  c.rows = all_plans(s, c);
  const judge measure(s, text, facts, verdicts, o);
  c.original = measure(s.model, true);

  std::map<std::string, std::size_t> seen;  // different methods often make the same plan
  std::vector<std::string> keys;
  for (const compared& row : c.rows) {
    std::string key;
    for (const precis::matrix_choice& m : resolve(s, row.plan).matrices) key += m.codec + " ";
    if (verdicts != nullptr && comparison_request::wants_verdicts(row))
      key += fmt::format("{} verdicts", verdicts->batches.size());
    keys.push_back(std::move(key));
  }
  progress bar("compressing and evaluating", c.rows.size(), o.how());
  for (std::size_t i = 0; i < c.rows.size(); ++i) {
    compared& row = c.rows[i];
    if (const auto [at, fresh] = seen.emplace(keys[i], i); !fresh) {
      row.quality = c.rows[at->second].quality;
      row.known = true;
      bar.skip(1);
      continue;
    }
    if (const engine::json* before = saved == nullptr ? nullptr : saved->find(keys[i])) {
      row.quality = quality_from(*before);
      row.known = true;
      bar.skip(1);
      continue;
    }
    if (interrupted()) {
      c.stopped = true;
      break;
    }
    engine::transformer copy = s.model;
    precis::apply<precis::codec::standard>(copy, row.plan);
    row.quality = measure(copy, comparison_request::wants_verdicts(row));
    row.known = true;
    if (saved != nullptr) saved->record(keys[i], to_json(row.quality));
    bar.step();
  }
  return c;
}

report::table paper_table(const comparison& c) {
  report::table t{.caption = "Clusters of the score by k-means (CPTQuant), beside uniform; all bytes counted.",
                  .header = {"method", "bits per weight", "compression ratio", "size reduction (%)",
                             "perplexity increase", "next-token accuracy drop (points)"},
                  .rows = {}};
  if (c.original.verdicts)
    t.header.push_back(
        fmt::format("verdict accuracy drop (points, from {:.1f} %)", 100 * c.original.verdicts->share()));
  for (const compared& row : c.rows) {
    if (!row.known || (row.allocator != "kmeans_tiers" && row.candidate != "uniform")) continue;
    const auto original = static_cast<double>(c.original_bytes), now = static_cast<double>(row.bytes);
    const quality& q = row.quality;
    t.rows.push_back({row.candidate, fmt::format("{:.3f}", row.bits_per_weight), fmt::format("{:.2f}", original / now),
                      fmt::format("{:.1f}", 100 * (1 - now / original)),
                      fmt::format("{:.3f}", q.perplexity() - c.original.perplexity()),
                      fmt::format("{:.2f}", 100 * (c.original.accuracy - q.accuracy))});
    if (q.verdicts && c.original.verdicts)
      t.rows.back().push_back(fmt::format("{:.2f}", 100 * (c.original.verdicts->share() - q.verdicts->share())));
  }
  return t;
}

double rank_correlation(const session& s, const precis::scores& a, const precis::scores& b) {
  const std::size_t n = s.model.matrices().size();
  const auto ranks = [&](const precis::scores& t) {
    std::vector<double> values(n);
    for (std::size_t u = 0; u < t.size(); ++u)
      for (const std::size_t m : t.units[u].matrices) values[m] = t.values[u];
    return precis::normalise::rank(values);
  };
  const std::vector<double> x = ranks(a), y = ranks(b);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < n; ++i) {  // ranks have mean 1/2
    xy += (x[i] - 0.5) * (y[i] - 0.5);
    xx += (x[i] - 0.5) * (x[i] - 0.5);
    yy += (y[i] - 0.5) * (y[i] - 0.5);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : std::numeric_limits<double>::quiet_NaN();
}

namespace {

/// What stands for a candidate in a picture: knapsack where it was asked for, else its first allocator.
[[nodiscard]] std::string main_allocator(const comparison& c, const candidate& each) {
  for (const std::string& a : c.request.allocators)
    if (a == "knapsack" || (each.scored() && std::ranges::count(c.request.allocators, "knapsack") == 0)) return a;
  return c.request.allocators.front();
}

struct line {
  std::string candidate, allocator;
};
[[nodiscard]] std::vector<line> main_lines(const comparison& c) {
  std::vector<line> lines{{"uniform", ""}, {"first layers", ""}, {"last layers", ""}, {"random 1", ""}};
  for (const candidate& each : c.candidates) lines.push_back({each.name, main_allocator(c, each)});
  std::erase_if(lines, [&](const line& l) { return c.find(0, l.candidate, l.allocator) == nullptr; });
  return lines;
}

[[nodiscard]] std::string spaced(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

}  // namespace

std::string comparison_picture(const comparison& c) {
  report::line_chart chart{.title = "Quality against size",
                           .subtitle = fmt::format("{} on {}; mean over windows", c.model, c.text),
                           .x_label = "bits per weight, scales included",
                           .y_label = "divergence from the original (KL, nats per token)",
                           .lines = {},
                           .levels = {},
                           .y = report::spacing::logarithmic};
  for (const line& l : main_lines(c)) {
    report::series s{.name = spaced(l.candidate), .points = {}};
    for (std::size_t b = 0; b < c.request.budgets.size(); ++b)
      if (const compared* row = c.find(b, l.candidate, l.allocator); row != nullptr && row->known)
        s.points.push_back({.x = row->bits_per_weight, .y = row->quality.kl});
    std::ranges::sort(s.points, {}, &report::series_point::x);
    chart.lines.push_back(std::move(s));
  }
  return report::draw(chart);
}

std::string comparison_map(const comparison& c) {
  report::sweep_map map{
      .title = "Divergence from the original at equal bytes, as a share of uniform's",
      .subtitle = fmt::format("{} on {}; below 1 is better than the same format everywhere", c.model, c.text),
      .row_title = "budget",
      .rows = {},
      .columns = {},
      .values = {},
      .measure = "KL / uniform's",
      .original = 1};
  for (const line& l : main_lines(c))
    if (l.candidate != "uniform") map.columns.push_back({spaced(l.candidate), l.allocator.empty()});
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    map.rows.push_back(to_string(c.request.budgets[b]));
    const double base = c.find(b, "uniform")->quality.kl;
    for (const line& l : main_lines(c)) {
      if (l.candidate == "uniform") continue;
      const compared* row = c.find(b, l.candidate, l.allocator);
      map.values.push_back(row == nullptr || !(base > 0) ? std::numeric_limits<double>::quiet_NaN()
                                                         : row->quality.kl / base);
    }
  }
  return report::draw(map);
}

std::string comparison_csv(const comparison& c) {
  std::string out =
      "budget,candidate,allocator,bytes,bits_per_weight,perplexity,nll_nats_per_token,excess_nll,excess_half_width_95,"
      "difference_to_uniform,difference_half_width_95,kl_nats_per_token,next_token_accuracy,facts_known,predicted_cost,"
      "proven_optimal,seconds_to_score,"
      "verdict_accuracy,verdict_half_width_95\n";
  for (const compared& row : c.rows) {
    if (!row.known) continue;
    const interval excess = c.excess(row), difference = c.difference(row, *c.find(row.budget, "uniform"));
    double seconds = 0;
    for (const candidate& each : c.candidates)
      if (each.name == row.candidate) seconds = each.seconds;
    std::string verdicts = ",";
    if (const auto& v = row.quality.verdicts) verdicts = fmt::format("{},{}", v->share(), v->confidence().half_width);
    out += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{:.3f},{}\n",
                       to_string(c.request.budgets[row.budget]), row.candidate, row.allocator, row.bytes,
                       row.bits_per_weight, row.quality.perplexity(), row.quality.nll, excess.mean, excess.half_width,
                       difference.mean, difference.half_width, row.quality.kl, row.quality.accuracy, row.quality.facts,
                       row.predicted, row.optimal ? 1 : 0, seconds, verdicts);
  }
  return out;
}

std::string comparison_table(const comparison& c) {
  std::string out;
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    out += fmt::format("{}\n  {:<36} {:>10} {:>6} {:>10} {:>18} {:>8} {:>8} {}\n", to_string(c.request.budgets[b]),
                       "method", "bytes", "bits", "perplexity", "excess nats", "KL", "accuracy",
                       c.fact_count == 0 ? "" : "facts");
    std::vector<const compared*> order;
    for (const compared& row : c.rows)
      if (row.budget == b && row.known) order.push_back(&row);
    std::ranges::stable_sort(order, {}, [](const compared* row) { return row->quality.nll; });
    for (const compared* row : order) {
      const interval e = c.excess(*row);
      out += fmt::format("  {:<36} {:>10} {:>6.3f} {:>10.3f} {:>18} {:>8.4f} {:>8.4f} {}\n", row->method(), row->bytes,
                         row->bits_per_weight, row->quality.perplexity(),
                         fmt::format("{:.4f} +- {:.4f}", e.mean, e.half_width), row->quality.kl, row->quality.accuracy,
                         c.fact_count == 0 ? "" : fmt::format("{}", row->quality.facts));
    }
    out += "\n";
  }
  return out;
}

engine::json to_json(const comparison& c) {
  engine::json rows = engine::json::array(), sources = engine::json::array();
  for (const compared& row : c.rows) {
    if (!row.known) continue;
    const interval excess = c.excess(row);
    rows.push_back(
        {{"budget", to_string(c.request.budgets[row.budget])},
         {"candidate", row.candidate},
         {"allocator", row.allocator},
         {"bytes", row.bytes},
         {"bits_per_weight", row.bits_per_weight},
         {"perplexity", row.quality.perplexity()},
         {"nll_nats_per_token", row.quality.nll},
         {"excess_nll", excess.mean},
         {"excess_half_width_95", std::isfinite(excess.half_width) ? engine::json(excess.half_width) : nullptr},
         {"kl_nats_per_token", row.quality.kl},
         {"next_token_accuracy", row.quality.accuracy},
         {"facts_known", row.quality.facts},
         {"verdict_accuracy", row.quality.verdicts ? engine::json(row.quality.verdicts->share()) : nullptr},
         {"predicted_cost", row.predicted},
         {"proven_optimal", row.optimal}});
  }
  for (const candidate& each : c.candidates)
    sources.push_back({{"candidate", each.name}, {"seconds", each.seconds}, {"maker", each.costs.maker}});
  return {{"original_perplexity", c.original.perplexity()},
          {"original_accuracy", c.original.accuracy},
          {"weights", c.weights},
          {"original_bytes", c.original_bytes},
          {"facts", c.fact_count},
          {"entries", c.request.entries},
          {"candidates", std::move(sources)},
          {"rows", std::move(rows)}};
}

std::string comparison_verdict(const comparison& c) {
  std::string out;
  std::map<std::string, std::size_t> wins;
  std::size_t uniform_wins = 0;
  for (std::size_t b = 0; b < c.request.budgets.size(); ++b) {
    const compared *uniform = c.find(b, "uniform"), *larger = c.find(b, std::string(above)), *best = nullptr,
                   *nearest = nullptr;
    std::size_t plans = 0;
    for (const compared& row : c.rows) {
      if (row.budget != b || !row.known || row.candidate == above) continue;
      ++plans;
      if (best == nullptr || row.quality.nll < best->quality.nll) best = &row;
      if (nearest == nullptr || row.quality.kl < nearest->quality.kl) nearest = &row;
    }
    if (best == nullptr || uniform == nullptr) continue;
    const double base = uniform->quality.nll - c.original.nll, excess = best->quality.nll - c.original.nll;
    if (best->quality.nll >= uniform->quality.nll) {
      ++uniform_wins;
      out += fmt::format("{}: uniform wins, {:+.4f} nats per token; nothing measured does better.\n",
                         to_string(c.request.budgets[b]), base);
      continue;
    }
    ++wins[best->method()];
    const interval d = c.difference(*best, *uniform);
    out += fmt::format("{}: {} wins of {} plans, {:+.4f} nats per token where uniform has {:+.4f} ({:.2f} of it): {}.",
                       to_string(c.request.budgets[b]), best->method(), plans, excess, base, excess / base,
                       d.sure() ? "more than the windows vary" : "no more than chance on this text");
    if (nearest != nullptr && uniform->quality.kl > 0)
      out += fmt::format(" Nearest to the original is {}, KL {:.5f}, {:.2f} of uniform's.", nearest->method(),
                         nearest->quality.kl, nearest->quality.kl / uniform->quality.kl);
    if (larger != nullptr && larger->known)
      out += fmt::format(" The next larger uniform one, {:.2f} bits, has {:+.4f}.", larger->bits_per_weight,
                         larger->quality.nll - c.original.nll);
    out += "\n";
  }
  if (uniform_wins == c.request.budgets.size())
    out += "Uniform won at every budget: on this model, none of the methods was worth its time.\n";
  return out;
}

}  // namespace program
