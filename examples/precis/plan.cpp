#include "allocating.hpp"
#include "commands.hpp"
#include "costing.hpp"
#include "planning.hpp"
#include "scoring.hpp"
#include "session.hpp"

#include <engine/files/files.hpp>

#include <precis/allocate/sparsity.hpp>
#include <precis/core/budget.hpp>
#include <precis/prune/shares.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, scores, costs, allocator, entries, types, uniform,
      sparsity_by = "uniform", sparsity_scores, units = "block", bits = "4,6,8", prune = "0", family = "affine",
      granularity = "g32", std = "population", budget, out = "model.plan";
  double sparsity = 0;
  common_options common;
};

/// The plan with --sparsity of all weights pruned, unit by unit as --sparsity-by says.
precis::plan share_out(const session& s, precis::plan p, const options& o) {
  const std::vector<precis::unit> units = precis::group_units(s.model.matrices(), p.units);
  if (o.sparsity_by == "joint")
    return precis::allocate::with_sparsity(
        std::move(p), precis::prune::joint_shares{.sparsity = o.sparsity}(s.model, units), "joint magnitude");
  if (o.sparsity_scores.empty())
    precis::refuse({.what = "--sparsity-by " + o.sparsity_by + " without scores",
                    .where = "plan",
                    .expected = "--sparsity-scores FILE, a table of `precis score`, for instance of outliers"});
  const engine::mapped_file file(o.sparsity_scores);
  precis::scores table = precis::parse_scores(file.text(), s.model.matrices(), o.sparsity_scores);
  check_model(s, table.model, o.sparsity_scores);
  if (table.units != units)
    precis::refuse({.what = "scores of other units than the plan's",
                    .where = o.sparsity_scores,
                    .expected = "one a " + std::string(to_string(p.units))});
  std::vector<std::size_t> weights;
  for (const precis::unit& u : units) weights.push_back(u.weights);
  return precis::allocate::with_sparsity(
      std::move(p),
      o.sparsity_by == "owl"
          ? precis::allocate::owl{.sparsity = o.sparsity}(table.values, weights)
          : precis::allocate::entropy_softmax{.sparsity = o.sparsity}(precis::normalise::minmax(table.values), weights),
      o.sparsity_by + " of " + table.scorer);
}

exit_status run(const options& o) {
  require_writable(o.out);
  if (!o.common.json.empty()) require_writable(o.common.json);
  const auto given =
      static_cast<int>(!o.scores.empty()) + static_cast<int>(!o.costs.empty()) + static_cast<int>(!o.uniform.empty());
  if (given != 1)
    precis::refuse({.what = given == 0 ? "nothing to plan from" : "several things to plan from",
                    .where = "plan",
                    .expected = "one of --scores FILE, --costs FILE and --uniform CODEC"});
  const std::string allocator = !o.allocator.empty() ? o.allocator : o.costs.empty() ? "tiers" : "knapsack";
  if (allocator != "tiers" && o.budget.empty())
    precis::refuse({.what = allocator + " without a size to keep to",
                    .where = "plan",
                    .expected = "--budget 4.5bpw, 1200000B or 40%"});
  if (!o.types.empty()) require_writable(o.types);
  std::optional<precis::budget> budget;
  if (!o.budget.empty()) budget = precis::parse_budget(o.budget);
  const session s = open_model(o.model, o.tokenizer);

  precis::plan p;
  std::optional<precis::scores> table;
  std::vector<precis::allocate::tier> tiers;
  if (!o.costs.empty()) {
    p = allocate_plan(allocator, {.name = o.costs, .costs = read_costs(s, o.costs)}, *budget).plan;
  } else if (!o.uniform.empty()) {
    p = uniform_plan(s, precis::parse_unit_kind(o.units, "--units"), o.uniform,
                     o.sparsity_by == "uniform" ? o.sparsity : 0.0);
  } else {
    const engine::mapped_file file(o.scores);
    table = precis::parse_scores(file.text(), s.model.matrices(), o.scores);
    check_model(s, table->model, o.scores);
    if (allocator == "tiers") {
      precis::allocate::z_tiers allocate =
          make_tiers(read_bits(o.bits, "--bits"), read_sparsities(o.prune, "--prune"), o.family, o.granularity);
      if (o.std == "sample") allocate.std = precis::allocate::deviation::sample;
      p = allocate(*table);
      tiers = allocate.tiers(table->values);
    } else {
      const std::vector<std::string> entries =
          o.entries.empty() ? default_entries() : read_entries(o.entries, "--entries");
      p = allocate_plan(allocator, {.name = o.scores, .costs = weigh(s, *table, entries, o.common), .scores = *table},
                        *budget)
              .plan;
    }
  }
  if (o.sparsity_by != "uniform") p = share_out(s, std::move(p), o);
  const resolved_plan resolved = resolve(s, p);
  const precis::size_report& size = resolved.size;
  if (budget) {
    const std::size_t limit = budget->bytes(size.weights, size.original_bytes);
    if (size.packed_bytes > limit)
      precis::refuse({.what = fmt::format("the plan takes {} bytes ({:.3f} bits per weight)", size.packed_bytes,
                                          size.bits_per_weight()),
                      .where = "plan --budget " + o.budget,
                      .expected = fmt::format(
                          "at most {} bytes ({:.3f} bits per weight): fewer bits in --bits, or a larger budget", limit,
                          8.0 * static_cast<double>(limit) / static_cast<double>(size.weights))});
  }

  const std::vector<precis::unit> units = precis::group_units(s.model.matrices(), p.units);
  engine::json rows = engine::json::array();
  std::size_t widest = 4;
  for (const precis::unit& u : units) widest = std::max(widest, u.name.size());
  fmt::print("{:<{}}  {:<6}  {:<20}  {:>8}  {:>10}\n", "unit", widest, "tier", "codec", "sparsity", "bytes");
  for (std::size_t i = 0; i < units.size(); ++i) {
    const precis::choice& c = *p.find(units[i].name);
    std::size_t bytes = 0;
    for (const std::size_t m : units[i].matrices) bytes += resolved.matrices[m].bytes;
    const std::string tier = tiers.empty() ? "-" : std::string(precis::allocate::to_string(tiers[i]));
    fmt::print("{:<{}}  {:<6}  {:<20}  {:>8.3g}  {:>10}\n", units[i].name, widest, tier, c.codec, c.sparsity, bytes);
    rows.push_back(
        {{"unit", units[i].name}, {"tier", tier}, {"codec", c.codec}, {"sparsity", c.sparsity}, {"bytes", bytes}});
    if (table) rows.back()["score"] = table->values[i];
  }
  fmt::print(
      "\nsize   {} bytes for {} weights: {:.3f} bits per weight, {:.2f} times smaller than in the file ({:.1f} % "
      "less)\n",
      size.packed_bytes, size.weights, size.bits_per_weight(), size.compression_ratio(), size.percent_reduction());
  for (const std::string& note : p.notes) fmt::print("note   {}\n", note);
  engine::write_file(o.out, precis::to_text(p));
  if (!o.types.empty()) {
    engine::write_file(o.types, tensor_types(s, resolved));
    fmt::print("wrote  {}: for llama-quantize --tensor-type-file\n", o.types);
  }
  fmt::print("wrote  {}\n", o.out);
  write_json(o.common, {{"command", "plan"},
                        {"model", s.name},
                        {"fingerprint", s.fingerprint},
                        {"units", rows},
                        {"bytes", size.packed_bytes},
                        {"original_bytes", size.original_bytes},
                        {"weights", size.weights},
                        {"bits_per_weight", size.bits_per_weight()},
                        {"compression_ratio", size.compression_ratio()},
                        {"percentage_reduction", size.percent_reduction()}});
  return exit_status::done;
}

}  // namespace

void add_plan(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c =
      *app.add_subcommand("plan", "what each unit gets: the best within a budget, tiers by score, or the same for all");
  c.footer(
      "Examples:\n"
      "  precis plan MODEL --costs model.costs --budget 4bpw\n"
      "  precis plan MODEL --scores taylor.scores --allocator knapsack --budget 40%\n"
      "  precis plan MODEL --scores trace.scores --bits 3,4,6 --granularity g32 --out mixed.plan\n"
      "  precis plan MODEL --uniform affine4.g32 --out four.plan\n"
      "Tiers by z-score: z < -0.5 low, z > 0.5 high. Low information density gets the fewest bits and the most "
      "pruning.\n"
      "The plan is text: read it, edit it, diff it, give it to `precis compress`.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--scores", o->scores, "score table from `precis score`");
  c.add_option("--costs", o->costs, "cost table from `precis cost`");
  c.add_option(
      "--allocator", o->allocator,
      "knapsack, lagrangian, greedy, minimax, norm_sweep, kmeans_tiers or z_tiers within --budget; tiers: --bits by "
      "z-score "
      "(default: knapsack for costs, tiers for scores)");
  c.add_option(
      "--entries", o->entries,
      "with --scores and --budget: formats to choose from, with commas (default: affine 2-6 and 8 bits, groups "
      "of 32, 64 and 128, half scales)");
  c.add_option("--bits", o->bits, "bits of the low, medium and high tier: 2 to 8, 16 or 24")->capture_default_str();
  c.add_option("--prune", o->prune, "share of weights pruned in the low, medium and high tier, or one for all")
      ->capture_default_str();
  c.add_option("--family", o->family, "affine, symmetric, symmetric_full, min_anchored or min_anchored_floor")
      ->check(CLI::IsMember({"affine", "symmetric", "symmetric_full", "min_anchored", "min_anchored_floor"}))
      ->capture_default_str();
  c.add_option("--granularity", o->granularity,
               "weights that share a scale: tensor, row, g32, g64 or g128; .h for half scales (g32.h)")
      ->capture_default_str();
  c.add_option("--std", o->std, "population or sample")
      ->check(CLI::IsMember({"population", "sample"}))
      ->capture_default_str();
  c.add_option("--uniform", o->uniform, "one codec for every unit, instead of --scores");
  c.add_option("--sparsity", o->sparsity, "with --uniform or --sparsity-by: share of weights pruned")
      ->capture_default_str();
  c.add_option("--sparsity-by", o->sparsity_by,
               "who loses how much of it: uniform; joint, one selection over all weights; owl or softmax, by "
               "--sparsity-scores")
      ->check(CLI::IsMember({"uniform", "joint", "owl", "softmax"}))
      ->capture_default_str();
  c.add_option("--sparsity-scores", o->sparsity_scores, "score table from `precis score`, high = keep");
  c.add_option("--units", o->units, "with --uniform: block, half or matrix")
      ->check(CLI::IsMember({"block", "half", "matrix"}))
      ->capture_default_str();
  c.add_option("--budget", o->budget, "never larger than this: 4.5bpw, 1200000B or 40% (of the file's matrices)");
  c.add_option("--tensor-types", o->types,
               "also write the plan as lines for llama.cpp's llama-quantize --tensor-type-file");
  c.add_option("--out", o->out, "plan to write")->capture_default_str();
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
