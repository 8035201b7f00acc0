#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/fact_traces.hpp"
#include "jobs/facts.hpp"
#include "jobs/output.hpp"
#include "report/results/score_pictures.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <memory>

namespace program {

namespace {

struct trace_command {
  model_options model;
  std::string prompt, subject, answer, facts, out = "trace.svg";
  bool first_token = false;
  std::size_t window = 10, runs = 10;
  double noise = 3;
  std::uint32_t seed = 1;
  run_options common;
};

exit_status run(const trace_command& o) {
  require_writable({o.out, o.common.json});
  const session s = open_model(o.model);
  const precis::score::fact f = make_fact(s.tokens, "trace", o.prompt, o.subject, o.answer,
                                          o.first_token ? answers::first_token : answers::whole, "--first-token");
  const precis::score::causal_trace scorer{.noise = {.amount = o.noise, .seed = o.seed, .runs = o.runs}};
  std::vector<precis::score::fact> scale_from{f};
  if (!o.facts.empty()) scale_from = load_facts(s.tokens, s.model.shape().context, o.facts, answers::first_token).facts;
  const double sigma = noise_scale(s, scorer.noise, scale_from);

  using precis::site_kind;
  const std::array<precis::score::restoration, 3> what{
      {{site_kind::residual, 1}, {site_kind::attention, o.window}, {site_kind::mlp, o.window}}};
  const precis::score::fact_trace t = trace_fact(s, scorer, f, sigma, what);
  if (!t.known) {
    const precis::float_matrix z = s.model.logits(precis::prompts(1, f.prompt), precis::positions::last);
    std::vector<std::size_t> order(z.cols);
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::partial_sort(order,
                              order.begin() + std::min<std::ptrdiff_t>(5, static_cast<std::ptrdiff_t>(order.size())),
                              [&](std::size_t a, std::size_t b) { return z(0, a) > z(0, b); });
    std::string top;
    for (std::size_t i = 0; i < std::min<std::size_t>(5, order.size()); ++i)
      top += fmt::format("{}'{}' {:.3f}", i == 0 ? "" : ", ", s.tokens.text_of(static_cast<precis::token>(order[i])),
                         precis::score::predict_answer(z.row(0), static_cast<precis::token>(order[i])).probability);
    precis::refuse({.what = fmt::format("the model does not answer '{}' (probability {:.3f}); it would say {}",
                                        s.tokens.text_of(f.answer), t.clean, top),
                    .where = "trace",
                    .expected = "a fact that the model knows: otherwise there is nothing to restore"});
  }

  fmt::print("model    {}: {}\n", s.name, describe(s));
  fmt::print("prompt   {}\nsubject  {} (tokens {} to {})\nanswer   '{}'\n\n", o.prompt, o.subject, f.subject_begin,
             f.subject_end - 1, s.tokens.text_of(f.answer));
  fmt::print("P(answer)  clean {:.4f}, subject noised {:.4f} (noise scale {:.4f}, {} runs)\n", t.clean, t.corrupted,
             sigma, o.runs);
  if (t.clean <= t.corrupted)
    fmt::print(
        "the noise does not lower the probability of the answer: the effects below are not due to the subject\n");
  engine::json result{{"command", "trace"},   {"model", s.name},      {"fingerprint", s.fingerprint},
                      {"prompt", o.prompt},   {"subject", o.subject}, {"answer", s.tokens.text_of(f.answer)},
                      {"noise_scale", sigma}, {"trace", to_json(t)}};
  for (const auto& table : t.tables) {
    const auto best =
        static_cast<std::size_t>(std::ranges::max_element(table.probability.values) - table.probability.values.begin());
    const std::size_t token = best / table.probability.cols, layer = best % table.probability.cols;
    fmt::print("best {:<10} window {:<2}  P = {:.4f} at layer {}, token '{}'\n", to_string(table.what.kind),
               table.what.window, table.probability(token, layer), layer, s.tokens.text_of(f.prompt[token]));
  }
  fmt::print("\n{}\n", write_picture(o.out, trace_picture(s, f, t, o.prompt, s.tokens.text_of(f.answer))));
  write_json(o.common.json, result);
  return exit_status::done;
}

}  // namespace

void add_trace(command_line& line) {
  auto o = std::make_shared<trace_command>();
  subcommand c = line.add("trace", "locate one fact in a model: add noise to the subject, restore one state at a time");
  c.footer(
      "Example:  precis trace MODEL --prompt \"Beats Music is owned by\" --subject \"Beats Music\" --answer Apple\n"
      "Draws tokens x layers heatmaps for block outputs, attention outputs and MLP outputs.");
  add_model(c, o->model);
  add_special_tokens(c, o->model);
  c.add("--prompt", o->prompt, "text that the model completes with the answer").required();
  c.add("--subject", o->subject, "the part of the prompt that gets the noise").required();
  c.add("--answer", o->answer, "the word that completes the prompt, without the space before it").required();
  c.add_flag("--first-token", o->first_token, "take the first token of an answer of several tokens");
  c.add("--window", o->window, "layers restored together for attention and MLP").shows_default();
  c.add("--noise", o->noise, "noise in standard deviations of the subjects' embeddings").shows_default();
  c.add("--runs", o->runs, "noisy runs").shows_default();
  c.add("--seed", o->seed, "seed of the noise").shows_default();
  c.add("--facts", o->facts, "take the standard deviation from the subjects of this file (default: from this subject)")
      .reads();
  c.add("--out", o->out, "picture to write (SVG; also a PNG if a converter is installed)").shows_default().writes();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
