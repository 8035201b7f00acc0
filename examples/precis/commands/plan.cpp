#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/allocation.hpp"
#include "jobs/embedder.hpp"
#include "jobs/importance.hpp"
#include "jobs/output.hpp"
#include "jobs/plans.hpp"
#include "jobs/presets.hpp"
#include "jobs/unit_costs.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/allocate/sparsity.hpp>
#include <precis/core/budget.hpp>
#include <precis/prune/shares.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace program {

namespace {

struct plan_command {
  model_options model;
  std::string scores, costs, allocator, entries, types, uniform, preset, imatrix,
      sparsity_by = "uniform", sparsity_scores, units = "block", bits = "4,6,8", prune = "0", family = "affine",
      granularity = "g32", std = "population", budget, also, out = "model.plan";
  double sparsity = 0;
  run_options common;
};

[[nodiscard]] bool by_tiers(const plan_command& o) {
  return !o.scores.empty() && (o.allocator.empty() || o.allocator == "tiers");
}
constexpr const char* of_tiers = "--scores and tiers, not with another --allocator";

/// The plan with --sparsity of all weights pruned, distributed over units by --sparsity-by.
precis::plan distribute_sparsity(const session& s, precis::plan p, const plan_command& o) {
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
                    .expected = "one score per " + std::string(to_string(p.units))});
  std::vector<std::size_t> weights;
  for (const precis::unit& u : units) weights.push_back(u.weights);
  return precis::allocate::with_sparsity(
      std::move(p),
      o.sparsity_by == "owl"
          ? precis::allocate::owl{.sparsity = o.sparsity}(table.values, weights)
          : precis::allocate::entropy_softmax{.sparsity = o.sparsity}(precis::normalise::minmax(table.values), weights),
      o.sparsity_by + " of " + table.scorer);
}

exit_status run(const plan_command& o) {
  require_writable({o.out, o.types, o.common.json});
  const auto given = static_cast<int>(!o.scores.empty()) + static_cast<int>(!o.costs.empty()) +
                     static_cast<int>(!o.uniform.empty()) + static_cast<int>(!o.preset.empty());
  if (given != 1)
    precis::refuse({.what = given == 0 ? "nothing to plan from" : "several things to plan from",
                    .where = "plan",
                    .expected = "one of --scores FILE, --costs FILE, --uniform CODEC and --preset NAME"});
  const std::string allocator = !o.allocator.empty() ? o.allocator : o.costs.empty() ? "tiers" : "knapsack";
  if (allocator != "tiers" && o.budget.empty())
    precis::refuse(
        {.what = allocator + " without a size limit", .where = "plan", .expected = "--budget 4.5bpw, 1200000B or 40%"});
  if (allocator == "tiers" && o.scores.empty() && !o.costs.empty())
    precis::refuse({.what = "tiers of a cost table",
                    .where = "--allocator",
                    .expected = fmt::format("--scores FILE, or one of {}", fmt::join(allocator_names(), ", "))});
  std::optional<precis::budget> budget, also;
  if (!o.budget.empty()) budget = precis::parse_budget(o.budget);
  if (!o.also.empty()) also = precis::parse_budget(o.also);
  if (also && allocator != "knapsack")
    precis::refuse({.what = "two budgets with " + allocator, .where = "--also", .expected = "--allocator knapsack"});
  if (budget && budget->bounds() == precis::resource::nanoseconds && (o.costs.empty() || allocator == "tiers"))
    precis::refuse({.what = "a budget of " + o.budget + " without measured times",
                    .where = "plan",
                    .expected = "--costs FILE, a table of `precis cost --time`"});
  model_options opened = o.model;
  opened.tables = o.model.tables || !o.preset.empty();
  const bool embeds = is_embedder(o.model.path);
  if (embeds && (!o.preset.empty() || !o.types.empty() || o.sparsity_by != "uniform" || o.model.tables ||
                 (!o.scores.empty() && allocator != "tiers")))
    precis::refuse({.what = "a sentence encoder",
                    .where = o.model.path,
                    .expected = "--uniform CODEC, --costs FILE or tiers of --scores FILE, without --tables, "
                                "--tensor-types and --sparsity-by"});
  std::optional<embedder> encoder;
  std::optional<session> language;
  if (embeds)
    encoder = open_embedder(opened);
  else
    language = open_model(opened);
  const model_outline m = embeds ? model_outline(*encoder) : model_outline(*language);

  precis::plan p;
  std::optional<precis::scores> table;
  std::map<std::string, precis::allocate::tier> tiers;  // of the units with a score
  std::vector<std::string> unavailable;
  std::optional<code_fit> fit;  // none: the plan does not depend on it
  if (o.common.fit_given) fit = o.common.coder();
  if (!o.costs.empty()) {
    const candidate costs{.name = o.costs, .costs = read_costs(m, o.costs)};
    unavailable = precis::note_not_admitted(costs.costs);
    p = allocate_plan(allocator, costs, *budget, also).plan;
    fit = agreed_fit(costs.costs.notes, o.common, o.costs);
  } else if (!o.preset.empty()) {
    p = preset_plan(*language, o.preset, !o.imatrix.empty());
    if (!o.imatrix.empty()) {
      const importances found = read_importances(o.imatrix);
      std::size_t missing = 0;
      for (const precis::matrix_info& w : m.matrices)
        missing += found.of(language->model.shape(), w.name, w.in).empty() ? 1u : 0u;
      if (missing == m.matrices.size())
        precis::refuse({.what = "no importance of any of this model's matrices",
                        .where = o.imatrix,
                        .expected = "the importance matrix of this model"});
      if (missing > 0)
        p.notes.push_back(
            fmt::format("{} matrices, such as the embedding, have no importance in {}", missing, last_part(o.imatrix)));
    }
  } else if (!o.uniform.empty()) {
    p = uniform_plan(m, precis::parse_unit_kind(o.units, "--units"), o.uniform,
                     o.sparsity_by == "uniform" ? o.sparsity : 0.0);
  } else {
    const engine::mapped_file file(o.scores);
    table = precis::parse_scores(file.text(), m.matrices, o.scores);
    check_model(m, table->model, o.scores);
    if (allocator == "tiers") {
      precis::allocate::z_tiers allocate =
          make_tiers(read_bits(o.bits, "--bits"), read_sparsities(o.prune, "--prune"), o.family, o.granularity);
      if (o.std == "sample") allocate.std = precis::allocate::deviation::sample;
      p = allocate(*table);
      const std::vector<precis::allocate::tier> of_scores = allocate.tiers(table->values);
      for (std::size_t i = 0; i < of_scores.size(); ++i) tiers[table->units[i].name] = of_scores[i];
    } else {
      const std::vector<std::string> entries = read_entries(o.entries, "--entries");
      const candidate scored{
          .name = o.scores, .costs = costs_of_scores(*language, *table, entries, o.common), .scores = *table};
      unavailable = precis::note_not_admitted(scored.costs);
      fit = o.common.coder();
      p = allocate_plan(allocator, scored, *budget).plan;
    }
  }
  if (fit) set_fit(p.notes, *fit);
  p.notes.insert(p.notes.end(), unavailable.begin(), unavailable.end());
  if (o.sparsity_by != "uniform") p = distribute_sparsity(*language, std::move(p), o);
  const resolved_plan resolved = resolve(m, p);
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

  const std::vector<precis::unit> units = precis::group_units(m.matrices, p.units);
  engine::json rows = engine::json::array();
  std::size_t widest = 4;
  for (const precis::unit& u : units) widest = std::max(widest, u.name.size());
  fmt::print("{:<{}}  {:<6}  {:<20}  {:>8}  {:>10}\n", "unit", widest, "tier", "codec", "sparsity", "bytes");
  for (std::size_t i = 0; i < units.size(); ++i) {
    const precis::choice& c = *p.find(units[i].name);
    std::size_t bytes = 0;
    for (const std::size_t w : units[i].matrices) bytes += resolved.matrices[w].bytes;
    const auto at = tiers.find(units[i].name);
    const std::string tier = at == tiers.end() ? "-" : std::string(precis::allocate::to_string(at->second));
    fmt::print("{:<{}}  {:<6}  {:<20}  {:>8.3g}  {:>10}\n", units[i].name, widest, tier, c.codec, c.sparsity, bytes);
    rows.push_back(
        {{"unit", units[i].name}, {"tier", tier}, {"codec", c.codec}, {"sparsity", c.sparsity}, {"bytes", bytes}});
    if (!table) continue;
    const auto scored = std::ranges::find(table->units, units[i].name, &precis::unit::name);
    if (scored != table->units.end())
      rows.back()["score"] = table->values[static_cast<std::size_t>(scored - table->units.begin())];
  }
  fmt::print(
      "\nsize   {} bytes for {} weights: {:.3f} bits per weight, {:.2f} times smaller than in the file ({:.1f} % "
      "less)\n",
      size.packed_bytes, size.weights, size.bits_per_weight(), size.compression_ratio(), size.percent_reduction());
  for (const std::string& note : p.notes) fmt::print("note   {}\n", note);
  engine::write_file(o.out, precis::to_text(p));
  if (!o.types.empty()) {
    const llama_types types = tensor_types(*language, resolved);
    engine::write_file(o.types, types.lines);
    fmt::print("wrote  {}: for llama-quantize --tensor-type-file\n", o.types);
    for (const std::string& note : types.notes) fmt::print("note   {}: {}\n", o.types, note);
  }
  fmt::print("wrote  {}\n", o.out);
  write_json(o.common.json, {{"command", "plan"},
                             {"model", m.name},
                             {"fingerprint", m.fingerprint},
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

void add_plan(command_line& line) {
  auto o = std::make_shared<plan_command>();
  subcommand c = line.add(
      "plan", "choose a format per unit: the best within a budget, by score tiers, as llama-quantize, or uniform");
  c.footer(
      "Examples:\n"
      "  precis plan MODEL --costs model.costs --budget 4bpw\n"
      "  precis plan MODEL --scores taylor.scores --allocator knapsack --budget 40%\n"
      "  precis plan MODEL --scores trace.scores --bits 3,4,6 --granularity g32 --out mixed.plan\n"
      "  precis plan MODEL --uniform affine4.g32.h --out four.plan\n"
      "  precis plan MODEL --preset Q4_K_M --imatrix model.imatrix.gguf --out q4_k_m.plan\n"
      "Tiers by z-score: z < -0.5 is low, z > 0.5 is high. Low information density gets the fewest bits and the most "
      "pruning.\n"
      "The plan is text: read it, edit it, diff it, pass it to `precis compress`.");
  add_model(c, o->model);
  add_requantize(c, o->model);
  add_tables(c, o->model);
  c.add("--scores", o->scores, "score table from `precis score`").reads();
  c.add("--costs", o->costs, "cost table from `precis cost`").reads();
  c.add("--allocator", o->allocator,
        fmt::format("{} within --budget; or tiers: --bits by z-score (default: knapsack for costs, tiers for scores)",
                    fmt::join(allocator_names(), ", ")))
      .only_if([o] { return o->uniform.empty() && o->preset.empty(); }, "--scores or --costs");
  add_entries(c, o->entries, "with --scores and --budget: comma-separated formats to choose from")
      .only_if([o] { return !o->scores.empty() && !by_tiers(*o); }, "--scores and an --allocator within a --budget");
  c.add("--bits", o->bits, "bits of the low, medium and high tier: 2 to 8, 16 or 24")
      .shows_default()
      .only_if([o] { return by_tiers(*o); }, of_tiers);
  c.add("--prune", o->prune, "sparsity of the low, medium and high tier, or one for all")
      .shows_default()
      .only_if([o] { return by_tiers(*o); }, of_tiers);
  c.add("--family", o->family, "affine, symmetric, symmetric_full, min_anchored or min_anchored_floor")
      .one_of({"affine", "symmetric", "symmetric_full", "min_anchored", "min_anchored_floor"})
      .shows_default()
      .only_if([o] { return by_tiers(*o); }, of_tiers);
  c.add("--granularity", o->granularity,
        "weights that share a scale: tensor, row, g32, g64 or g128; .h for half-precision scales (g32.h)")
      .shows_default()
      .only_if([o] { return by_tiers(*o); }, of_tiers);
  c.add("--std", o->std, "standard deviation in z-scores: population or sample")
      .one_of({"population", "sample"})
      .shows_default()
      .only_if([o] { return by_tiers(*o); }, of_tiers);
  c.add("--uniform", o->uniform, "one format for every unit, instead of --scores");
  c.add("--preset", o->preset,
        fmt::format("the types that llama.cpp's llama-quantize gives every matrix, embedding and head included: {}",
                    fmt::join(preset_names(), ", ")));
  c.add("--imatrix", o->imatrix,
        "with --preset: the importance matrix that `compress` will use, which changes some types")
      .reads()
      .only_if([o] { return !o->preset.empty(); }, "--preset");
  c.add("--sparsity", o->sparsity, "with --uniform or --sparsity-by: sparsity of the whole model")
      .shows_default()
      .only_if([o] { return !o->uniform.empty() || o->sparsity_by != "uniform"; },
               "--uniform, or --sparsity-by joint, owl or softmax");
  c.add("--sparsity-by", o->sparsity_by,
        "distribution of --sparsity over units: uniform; joint, one selection over all weights; owl or softmax, by "
        "--sparsity-scores")
      .one_of({"uniform", "joint", "owl", "softmax"})
      .shows_default();
  c.add("--sparsity-scores", o->sparsity_scores, "score table from `precis score`, high = keep")
      .reads()
      .only_if([o] { return o->sparsity_by == "owl" || o->sparsity_by == "softmax"; }, "--sparsity-by owl or softmax");
  add_units(c, "--units", o->units, "with --uniform: block, half or matrix")
      .only_if([o] { return !o->uniform.empty(); }, "--uniform");
  add_budget(c, o->budget, "; or, for costs with times, on the time per token: 2.5ms, 870us or 870000ns");
  c.add("--also", o->also, "a second budget for the knapsack: a time if --budget is a size, and vice versa");
  c.add("--tensor-types", o->types, "also write the plan for llama.cpp's llama-quantize --tensor-type-file").writes();
  c.add("--out", o->out, "plan to write").shows_default().writes();
  add_fit(c, o->common, true);
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
