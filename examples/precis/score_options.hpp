#pragma once

#include "scoring.hpp"

#include <CLI/CLI.hpp>

#include <map>
#include <string>

namespace program {

/// The options of everything that scores, for `score` and `sweep` alike.
struct score_options {
  std::string facts, units = "block", reduce = "mean_roles", statistic = "probability", noise_rule = "subjects",
                     answer_rule = "first";
  std::size_t facts_limit = 0;
  scoring what;

  void declare(CLI::App& c) {
    c.add_option("--facts", facts, "facts for causal_trace: a JSON array of {prompt, subject, attribute}");
    c.add_option("--facts-limit", facts_limit, "use only the first N facts (default: all)");
    c.add_option("--answers", answer_rule, "answers of several tokens: first (take the first token) or whole (refuse)")
        ->check(CLI::IsMember({"first", "whole"}))
        ->capture_default_str();
    c.add_option("--units", units, "what gets one score: block, half (attention or MLP) or matrix")
        ->check(CLI::IsMember({"block", "half", "matrix"}))
        ->capture_default_str();
    c.add_option("--window", what.trace.window, "causal_trace: layers restored together")->capture_default_str();
    c.add_option("--runs", what.trace.noise.runs, "causal_trace: noisy runs a fact")->capture_default_str();
    c.add_option("--noise", what.trace.noise.amount, "causal_trace: amount of noise")->capture_default_str();
    c.add_option("--noise-rule", noise_rule,
                 "causal_trace: subjects (times their standard deviation), gaussian or uniform (absolute)")
        ->check(CLI::IsMember({"subjects", "gaussian", "uniform"}))
        ->capture_default_str();
    c.add_flag_callback(
        "--replace", [this] { what.trace.noise.how = precis::score::corruption::mode::replace; },
        "causal_trace: noise instead of the embedding, not on top of it");
    c.add_option("--seed", what.trace.noise.seed, "causal_trace, taylor, input_taylor: seed of the noise")
        ->capture_default_str();
    c.add_option("--reduce", reduce, "causal_trace: mean_roles, max_roles, last_subject, last_token or mean_tokens")
        ->check(CLI::IsMember({"mean_roles", "max_roles", "last_subject", "last_token", "mean_tokens"}))
        ->capture_default_str();
    c.add_option("--statistic", statistic,
                 "causal_trace: probability, or recovery (share of runs that answer right again)")
        ->check(CLI::IsMember({"probability", "recovery"}))
        ->capture_default_str();
    c.add_flag_callback(
        "--of-total", [this] { what.trace.scale = precis::score::effect_scale::of_total; },
        "causal_trace: effects as a share of each fact's total effect");
    c.add_option("--sparsities", what.pruning.sparsities,
                 "pruning_sensitivity: shares pruned; the mean over them counts")
        ->delimiter(',')
        ->capture_default_str();
    c.add_option("--draws", what.taylor.draws, "taylor, input_taylor: draws of noise a unit, in pairs of both signs")
        ->capture_default_str();
    c.add_option(
         "--perturb", what.taylor.noise.size,
         "taylor, first_order_taylor, input_taylor: deviation of the noise in root mean squares of each matrix, or of "
         "what enters a block")
        ->capture_default_str();
    c.add_option("--directions", what.cca.keep.variance, "cca: share of each layer's variance to compare (SVCCA: 0.99)")
        ->capture_default_str();
    c.add_option("--probe", what.probe, "reconstruction_error: the format whose error counts")->capture_default_str();
  }

  /// The choices that are words, as values. Call once after parsing.
  void settle() {
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
  [[nodiscard]] answers answer() const { return answer_rule == "whole" ? answers::whole : answers::first_token; }

  /// Everything that changes a traced fact, for checkpoints.
  [[nodiscard]] engine::json identity() const {
    return {{"facts", facts},
            {"limit", facts_limit},
            {"answers", answer_rule},
            {"window", what.trace.window},
            {"runs", what.trace.noise.runs},
            {"noise", what.trace.noise.amount},
            {"rule", noise_rule},
            {"mode", static_cast<int>(what.trace.noise.how)},
            {"seed", what.trace.noise.seed}};
  }
};

}  // namespace program
