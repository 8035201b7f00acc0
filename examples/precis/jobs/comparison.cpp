#include "jobs/comparison.hpp"

#include "jobs/checkpoint.hpp"
#include "jobs/facts.hpp"
#include "jobs/formats.hpp"
#include "jobs/plans.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"
#include "jobs/text_windows.hpp"
#include "jobs/unit_costs.hpp"

#include <engine/files/json.hpp>

#include <precis/allocate/uniform.hpp>
#include <precis/core/random.hpp>
#include <precis/evaluate/accuracy.hpp>
#include <precis/measure/kl_divergence.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

namespace program {

using precis::cost_table;
using precis::plan;
using precis::evaluate::interval;

double quality::perplexity() const { return std::exp(nll); }

bool comparison_request::wants_verdicts(const compared_plan& row) {
  const bool costs = row.candidate == "measured" || row.candidate == "reconstruction";
  return row.candidate == "uniform" || row.allocator == "kmeans_tiers" || (costs && row.allocator == "knapsack");
}

std::string compared_plan::method() const { return allocator.empty() ? candidate : candidate + ", " + allocator; }

interval comparison::difference(const compared_plan& a, const compared_plan& b) const {
  std::vector<double> d = a.quality.windows;
  for (std::size_t i = 0; i < d.size(); ++i) d[i] -= b.quality.windows[i];
  return precis::evaluate::mean_interval(d);
}
interval comparison::excess(const compared_plan& row) const {
  std::vector<double> d = row.quality.windows;
  for (std::size_t i = 0; i < d.size(); ++i) d[i] -= original.windows[i];
  return precis::evaluate::mean_interval(d);
}
const compared_plan* comparison::find(std::size_t budget, const std::string& candidate,
                                      const std::string& allocator) const {
  for (const compared_plan& row : rows)
    if (row.budget == budget && row.candidate == candidate && (allocator.empty() || row.allocator == allocator))
      return &row;
  return nullptr;
}

namespace {

/// Loss, divergence and accuracy in one forward pass per window.
class judge {
 public:
  judge(const session& s, const text_windows& text, const fact_file* facts, const questions* verdicts,
        const run_options& o)
      : text_(text), verdicts_(verdicts), options_(o), original_(text.windows.size()), norms_(text.windows.size()) {
    if (facts != nullptr) facts_ = ask(*facts, "facts").batches;
    options_.pool().for_each(text.windows.size(), [&](std::size_t w) {
      original_[w] = s.model.logits(text.windows[w], precis::positions::all);
      for (std::size_t i = 0; i < original_[w].rows; ++i)
        norms_[w].push_back(precis::measure::log_sum_exp(original_[w].row(i)));
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
        const double norm = precis::measure::log_sum_exp(row);
        parts[w].nll += norm - static_cast<double>(row[target]);
        parts[w].kl += precis::measure::kl_of_logits(original_[w].row(i), norms_[w][i], row, norm);
        parts[w].right += precis::measure::argmax(row) == target ? 1u : 0u;
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
  const run_options& options_;
  std::vector<precis::float_matrix> original_;
  std::vector<std::vector<double>> norms_;  ///< [windows][rows] log_sum_exp of the original's logits
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

/// All plans of a comparison, before they are measured.
[[nodiscard]] std::vector<compared_plan> all_plans(const session& s, comparison& c, const run_options& o) {
  std::vector<compared_plan> rows;
  const comparison_request& r = c.request;
  const std::vector<precis::unit> units = precis::group_units(s.model.matrices(), precis::unit_kind::matrix);
  cost_table sizes{.model = s.fingerprint,
                   .maker = "sizes",
                   .measure = "bytes",
                   .original_bytes = stored_bytes(s),
                   .entries = r.entries,
                   .units = units,
                   .bytes = precis::exact_bytes<formats>(s.model.matrices(), units, r.entries),
                   .costs = std::vector<double>(units.size() * r.entries.size(), 0.0)};
  find_admissible(s, sizes, o);
  const auto add = [&](std::string maker, std::string allocator, std::size_t budget, allocation a) {
    const resolved_plan resolved = resolve(s, a.plan);
    for (const precis::matrix_choice& m : resolved.matrices) {
      const auto entry = std::ranges::find(r.entries, m.codec);
      const auto unit = std::ranges::find(sizes.units, m.name, &precis::unit::name);
      if (entry == r.entries.end() || unit == sizes.units.end() ||
          sizes.admits(static_cast<std::size_t>(unit - sizes.units.begin()),
                       static_cast<std::size_t>(entry - r.entries.begin())))
        continue;
      fmt::print(stderr, "precis: left out: {} {} at {}, because {} cannot be in {}\n", maker, allocator,
                 to_string(r.budgets[budget]), m.name, m.codec);
      return;
    }
    rows.push_back({.candidate = std::move(maker),
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
    for (const comparison_request::given_plan& given : r.given)
      if (given.budget == b) add(given.name, "", b, {.plan = given.plan});
    add("uniform", "", b, {.plan = precis::allocate::uniform{.budget = r.budgets[b]}(sizes), .optimal = true});
    std::vector<std::size_t> steps = ladder(sizes);
    for (const std::size_t e : steps) {
      const plan p = uniform_plan(s, precis::unit_kind::matrix, r.entries[e], 0);
      if (resolve(s, p).size.packed_bytes <= limit) continue;
      add(std::string(uniform_above), "", b, {.plan = p});
      break;
    }
    std::vector<std::size_t> order(units.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    add("first layers", "", b, {.plan = fill_in_order(sizes, order, r.budgets[b], "first layers first")});
    std::ranges::reverse(order);
    add("last layers", "", b, {.plan = fill_in_order(sizes, order, r.budgets[b], "last layers first")});
    for (std::size_t i = 0; i < r.random_plans; ++i) {
      std::iota(order.begin(), order.end(), std::size_t{0});
      const precis::random_stream random(r.seed, precis::purpose("random plan") + i);
      for (std::size_t k = order.size(); k > 1; --k) std::swap(order[k - 1], order[random.below(k, k)]);
      add(fmt::format("random {}", i + 1), "", b, {.plan = fill_in_order(sizes, order, r.budgets[b], "random")});
    }
    for (const candidate& each : c.candidates)
      for (const std::string& allocator : r.allocators)
        if (each.has_scores() || !is_tiers(allocator))
          add(each.name, allocator, b, allocate_plan(allocator, each, r.budgets[b]));
  }
  return rows;
}

}  // namespace

comparison run_comparison(const session& s, comparison_request request, std::vector<candidate> candidates,
                          const text_windows& text, const fact_file* facts, const questions* verdicts,
                          const run_options& o, checkpoint* saved) {
  comparison c{.request = std::move(request),
               .model = s.name,
               .text = text.name,
               .fact_count = facts == nullptr ? 0 : facts->facts.size(),
               .weights = weight_count(s),
               .original_bytes = stored_bytes(s),
               .original = {},
               .candidates = std::move(candidates)};
  c.rows = all_plans(s, c, o);
  const judge measure(s, text, facts, verdicts, o);
  c.original = measure(s.model, true);

  std::map<std::string, std::size_t> seen;  // methods often make the same plan
  std::vector<std::string> keys;
  for (const compared_plan& row : c.rows) {
    std::string key;
    for (const precis::matrix_choice& m : resolve(s, row.plan).matrices) key += m.codec + " ";
    if (verdicts != nullptr && comparison_request::wants_verdicts(row))
      key += fmt::format("{} verdicts", verdicts->batches.size());
    keys.push_back(std::move(key));
  }
  progress bar("compressing and evaluating", c.rows.size(), o.how());
  for (std::size_t i = 0; i < c.rows.size(); ++i) {
    compared_plan& row = c.rows[i];
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
    engine::transformer copy = s.model;
    apply(copy, row.plan, o.coder());
    try {
      row.quality = measure(copy, comparison_request::wants_verdicts(row));
    } catch (const stopped&) {
      c.stopped = true;
      break;
    }
    row.known = true;
    if (saved != nullptr) saved->record(keys[i], to_json(row.quality));
    bar.step();
  }
  return c;
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

}  // namespace program
