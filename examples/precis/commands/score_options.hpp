#pragma once

#include "commands/command_line.hpp"
#include "commands/options.hpp"

#include <engine/files/json.hpp>
#include "jobs/facts.hpp"
#include "jobs/unit_scores.hpp"

#include <cstddef>
#include <optional>
#include <string>

namespace program {

/// The options of every subcommand that scores: score, sweep and compare.
struct score_options {
  std::string facts, units = "block", reduce = "mean_roles", statistic = "probability", noise_rule = "subjects",
                     answer_rule = "first";
  std::size_t facts_limit = 0;
  score_request what;

  /// `scorer`, if any, is the one scorer that will run: options of others are refused.
  void declare(subcommand& c, const std::string* scorer = nullptr);
  /// Translates the options given as words and stores them in `what`. Call once after parsing.
  void settle();

  [[nodiscard]] fact_file load(const session& s) const;
  /// Every setting that affects the trace of a fact, as a checkpoint's job.
  [[nodiscard]] engine::json trace_job(const session& s) const;
};

/// The options of the subcommands that score a model and evaluate plans on held-out text: sweep and compare.
struct experiment_options {
  model_options model;
  text_options text{.file = {}, .length = 0, .windows = 20};
  std::string calibration, out;
  std::size_t calibration_windows = 0;
  bool calibration_windows_given = false;
  score_options score;
  resume_options resume;
  run_options common;

  void declare(subcommand& c);
  /// The file for partial results: --partial, or NAME.partial in the output folder.
  [[nodiscard]] std::string partial(const std::string& name) const;
};

/// A model, held-out text, and what scorers need of calibration text and facts.
struct experiment {
  session model;
  text_windows text;
  std::optional<text_windows> calibration;
  std::optional<fact_file> facts;
};
/// Reads the inputs and prints a line about the model and the text.
[[nodiscard]] experiment open_experiment(const experiment_options& o);
/// The scorers' request. The experiment must outlive it.
[[nodiscard]] score_request request_of(const experiment_options& o, const experiment& e);

}  // namespace program
