#include "commands/score_options.hpp"

#include <engine/files/json.hpp>

#include <precis/core/unit.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace program {

void score_options::declare(subcommand& c, const users& by) {
  const auto only = [&by](option declared, std::vector<std::string> of) {
    declared.only_if(
        [scorers = by.scorers, of] {
          return std::ranges::any_of(scorers(), [&](const auto& s) { return std::ranges::find(of, s) != of.end(); });
        },
        fmt::format("{} {}", by.option_name, fmt::join(of, ", ")));
  };
  option with_facts =
      c.add("--facts", facts, "causal_trace: facts, a JSON array of {prompt, subject, attribute}").reads();
  if (!by.uses_facts) only(with_facts, {"causal_trace"});
  only(c.add("--facts-limit", facts_limit, "read only the first N facts (default: all)"), {"causal_trace"});
  only(c.add("--answers", answer_rule, "answers of several tokens: first (take the first token) or whole (refuse them)")
           .one_of({"first", "whole"})
           .shows_default(),
       {"causal_trace"});
  add_units(c, "--units", units, "the units that get one score each: block, half (attention or MLP) or matrix")
      .only_if([scorers = by.scorers] { return !scorers().empty(); }, by.option_name);
  only(c.add("--window", what.trace.window, "causal_trace: layers restored together").shows_default(),
       {"causal_trace"});
  only(c.add("--runs", what.trace.noise.runs, "causal_trace: noisy runs per fact").shows_default(), {"causal_trace"});
  only(c.add("--noise", what.trace.noise.amount, "causal_trace: amount of noise").shows_default(), {"causal_trace"});
  only(c.add("--noise-rule", noise_rule,
             "causal_trace: unit of --noise: subjects (standard deviations of their embeddings), gaussian or uniform "
             "(absolute)")
           .one_of({"subjects", "gaussian", "uniform"})
           .shows_default(),
       {"causal_trace"});
  only(c.add_flag(
           "--replace", [this] { what.trace.noise.how = precis::score::corruption::mode::replace; },
           "causal_trace: replace the embeddings by noise instead of adding it"),
       {"causal_trace"});
  option seed =
      c.add("--seed", what.trace.noise.seed, "causal_trace, taylor, input_taylor: seed of the noise").shows_default();
  if (!by.uses_seed) only(seed, {"causal_trace", "taylor", "input_taylor"});
  only(c.add("--reduce", reduce, "causal_trace: mean_roles, max_roles, last_subject, last_token or mean_tokens")
           .one_of({"mean_roles", "max_roles", "last_subject", "last_token", "mean_tokens"})
           .shows_default(),
       {"causal_trace"});
  only(c.add("--statistic", statistic,
             "causal_trace: probability, or recovery (share of runs that answer correctly again)")
           .one_of({"probability", "recovery"})
           .shows_default(),
       {"causal_trace"});
  only(c.add_flag(
           "--of-total", [this] { what.trace.scale = precis::score::effect_scale::of_total; },
           "causal_trace: divide the effects by each fact's total effect"),
       {"causal_trace"});
  only(c.add("--sparsities", what.pruning.sparsities, "pruning_sensitivity: sparsities to average over")
           .separated_by(',')
           .shows_default(),
       {"pruning_sensitivity"});
  only(c.add("--draws", what.taylor.draws, "taylor, input_taylor: noise draws per unit, in antithetic pairs")
           .shows_default(),
       {"taylor", "input_taylor"});
  only(c.add("--perturb", what.taylor.noise.size,
             "taylor, first_order_taylor, input_taylor: standard deviation of the noise, relative to the root mean "
             "square of each matrix or block input")
           .shows_default(),
       {"taylor", "first_order_taylor", "input_taylor"});
  only(c.add("--directions", what.cca.keep.variance, "cca: share of each layer's variance to compare (SVCCA: 0.99)")
           .shows_default(),
       {"cca"});
  only(c.add("--probe", what.probe, "reconstruction_error: the format whose error is measured").shows_default(),
       {"reconstruction_error"});
}

void score_options::settle() {
  using precis::score::corruption;
  using precis::score::effect_reduction;
  static const std::map<std::string, corruption::rule> rules{{"subjects", corruption::rule::gaussian_factor},
                                                             {"gaussian", corruption::rule::gaussian},
                                                             {"uniform", corruption::rule::uniform}};
  static const std::map<std::string, effect_reduction> reductions{{"mean_roles", effect_reduction::mean_roles},
                                                                  {"max_roles", effect_reduction::max_roles},
                                                                  {"last_subject", effect_reduction::last_subject},
                                                                  {"last_token", effect_reduction::last_token},
                                                                  {"mean_tokens", effect_reduction::mean_tokens}};
  what.units = precis::parse_unit_kind(units, "--units");
  what.taylor.seed = what.trace.noise.seed;
  what.trace.noise.draw = rules.at(noise_rule);
  what.trace.reduce = reductions.at(reduce);
  what.trace.statistic = statistic == "recovery" ? precis::score::effect_statistic::recovery
                                                 : precis::score::effect_statistic::probability;
}

fact_file score_options::load(const session& s) const {
  return load_facts(s.tokens, s.model.shape().context, facts,
                    answer_rule == "whole" ? answers::whole : answers::first_token, facts_limit);
}

engine::json score_options::trace_job(const session& s) const {
  return {{"command", "score"},
          {"model", s.fingerprint},
          {"options",
           {{"facts", facts},
            {"limit", facts_limit},
            {"answers", answer_rule},
            {"window", what.trace.window},
            {"runs", what.trace.noise.runs},
            {"noise", what.trace.noise.amount},
            {"rule", noise_rule},
            {"mode", static_cast<int>(what.trace.noise.how)},
            {"seed", what.trace.noise.seed}}}};
}

engine::json score_options::units_job(const session& s, const std::string& scorer, const std::string& file,
                                      const text_windows& text) const {
  engine::json options{{"units", units}, {"windows", text.windows.size()}, {"length", text.length}};
  if (scorer == "taylor")
    options.update({{"draws", what.taylor.draws}, {"noise", what.taylor.noise.size}, {"seed", what.trace.noise.seed}});
  else
    options["sparsities"] = what.pruning.sparsities;
  return {{"command", "score"},
          {"model", s.fingerprint},
          {"scorer", scorer},
          {"text", file},
          {"special_tokens", text.special_tokens},
          {"bos", text.bos},
          {"options", std::move(options)}};
}

void experiment_options::declare(subcommand& c, const score_options::users& by,
                                 std::function<bool()> reads_calibration) {
  add_model(c, model);
  add_requantize(c, model);
  add_special_tokens(c, model);
  add_text(c, text, "held-out text to evaluate on", true);
  c.add("--calibration", calibration, "text for scorers and costs; use other text than the held-out one")
      .reads()
      .only_if(std::move(reads_calibration), "scorers or costs that read text");
  c.add("--calibration-windows", calibration_windows, "windows of the calibration text; 0: all")
      .shows_default()
      .tells(calibration_windows_given)
      .only_if([this] { return !calibration.empty(); }, "--calibration");
  c.add("--out", out, "folder for the results; created if it does not exist").shows_default().writes();
  score.declare(c, by);
  add_fit(c, common);
  add_resume(c, resume);
  add_common(c, common);
}

std::string experiment_options::partial(const std::string& name) const {
  return resume.partial.empty() ? (std::filesystem::path(out) / (name + ".partial")).string() : resume.partial;
}

experiment open_experiment(const experiment_options& o) {
  session s = open_and_print(o.model);
  text_windows text = read_and_print(s, o.text);
  experiment e{.model = std::move(s), .text = std::move(text), .calibration = {}, .facts = {}};
  if (!o.calibration.empty())
    e.calibration = read_windows(e.model, {.file = o.calibration,
                                           .length = o.text.length,
                                           .windows = o.calibration_windows,
                                           .windows_given = o.calibration_windows_given,
                                           .bos = o.text.bos,
                                           .windows_option = "--calibration-windows"});
  if (!o.score.facts.empty()) e.facts = o.score.load(e.model);
  return e;
}

checkpoint* kept_scores::of(const std::string& scorer, const std::string& beside) {
  if (!keeps_partial_results(scorer)) return nullptr;
  const std::string file = beside + "." + scorer;
  const engine::json job = scorer == "causal_trace" ? o_.score.trace_job(s_)
                                                    : o_.score.units_job(s_, scorer, o_.calibration, *e_.calibration);
  all_.push_back(std::make_unique<checkpoint>(
      file, job, resume_options{.partial = file, .resume = o_.resume.resume && std::filesystem::exists(file)}));
  return all_.back().get();
}

void kept_scores::finish() {
  for (const auto& each : all_) each->finish();
}

score_request request_of(const experiment_options& o, const experiment& e) {
  score_request r = o.score.what;
  r.facts = e.facts ? &*e.facts : nullptr;
  r.text = e.calibration ? &*e.calibration : nullptr;
  return r;
}

}  // namespace program
