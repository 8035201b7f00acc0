#pragma once

#include "commands/command_line.hpp"
#include "commands/options.hpp"

#include <engine/files/json.hpp>
#include "jobs/facts.hpp"
#include "jobs/unit_scores.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace program {

/// The options of every subcommand that scores: score, sweep and compare.
struct score_options {
  std::string facts, units = "block", reduce = "mean_roles", statistic = "probability", noise_rule = "subjects",
                     answer_rule = "first";
  std::size_t facts_limit = 0;
  score_request what;

  /// `scorers` names those that will run, asked once the command line was read: options of others are refused. `option_name`
  /// is the option that chooses them. `uses_facts`, `uses_seed`: something besides scorers does.
  struct users {
    std::function<std::vector<std::string>()> scorers;
    std::string option_name = "--scorers";
    bool uses_facts = false, uses_seed = false;
  };
  void declare(subcommand& c, const users& by);
  /// Translates the options given as words and stores them in `what`. Call once after parsing.
  void settle();

  [[nodiscard]] fact_file load(const session& s) const;
  /// Every setting that affects the trace of a fact, as a checkpoint's job.
  [[nodiscard]] engine::json trace_job(const session& s) const;
  /// Every setting that affects the losses of changed units, as a checkpoint's job.
  [[nodiscard]] engine::json units_job(const session& s, const std::string& scorer, const std::string& file,
                                       const text_windows& text) const;
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

  /// `reads_calibration`: whether the scorers and costs that will run read --calibration.
  void declare(subcommand& c, const score_options::users& by, std::function<bool()> reads_calibration);
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
/// The partial results of the scorers that take long, each in a file of its own.
class kept_scores {
 public:
  /// The arguments must outlive this object.
  kept_scores(const experiment_options& o, const session& s, const experiment& e) : o_(o), s_(s), e_(e) {}
  /// Those of a scorer, in `beside`.NAME; nullptr if it keeps none.
  [[nodiscard]] checkpoint* of(const std::string& scorer, const std::string& beside);
  /// Removes the files.
  void finish();

 private:
  const experiment_options& o_;
  const session& s_;
  const experiment& e_;
  std::vector<std::unique_ptr<checkpoint>> all_;
};

/// The scorers' request. The experiment must outlive it.
[[nodiscard]] score_request request_of(const experiment_options& o, const experiment& e);

}  // namespace program
