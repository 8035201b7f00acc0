#include "commands.hpp"
#include "facts.hpp"
#include "scoring.hpp"
#include "session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, prompt, subject, answer, facts, out = "trace.svg";
  bool first_token = false;
  std::size_t window = 10, runs = 10;
  double noise = 3;
  std::uint32_t seed = 1;
  common_options common;
};

exit_status run(const options& o) {
  require_writable(o.out);
  if (!o.common.json.empty()) require_writable(o.common.json);
  const session s = open_model(o.model, o.tokenizer);
  const precis::score::fact f = make_fact(s.tokens, "trace", o.prompt, o.subject, o.answer,
                                          o.first_token ? answers::first_token : answers::whole);
  const precis::score::causal_trace scorer{.noise = {.amount = o.noise, .seed = o.seed, .runs = o.runs}};
  std::vector<precis::score::fact> scale_from{f};
  if (!o.facts.empty()) scale_from = load_facts(s.tokens, o.facts, answers::first_token).facts;
  const double sigma = noise_scale(scorer.noise, s.model, scale_from);

  using precis::site_kind;
  const std::array<precis::score::restoration, 3> what{
      {{site_kind::residual, 1}, {site_kind::attention, o.window}, {site_kind::mlp, o.window}}};
  const precis::score::fact_trace t = scorer.trace(s.model, f, sigma, what);
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
                    .expected = "a fact the model knows: there is nothing to restore otherwise"});
  }

  fmt::print("model    {}: {}\n", s.name, describe(s));
  fmt::print("prompt   {}\nsubject  {} (tokens {} to {})\nanswer   '{}'\n\n", o.prompt, o.subject, f.subject_begin,
             f.subject_end - 1, s.tokens.text_of(f.answer));
  fmt::print("P(answer)  clean {:.4f}, subject noised {:.4f} (noise scale {:.4f}, {} runs)\n", t.clean, t.corrupted,
             sigma, o.runs);
  if (t.clean <= t.corrupted)
    fmt::print("the noise does not hurt this fact: effects below are not about the subject\n");
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
  write_json(o.common, result);
  return exit_status::done;
}

}  // namespace

void add_trace(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c =
      *app.add_subcommand("trace", "where a model keeps one fact: noise the subject, restore one state at a time");
  c.footer(
      "Example:  precis trace MODEL --prompt \"Beats Music is owned by\" --subject \"Beats Music\" --answer Apple\n"
      "Draws tokens x layers heatmaps for block outputs, attention and MLP outputs.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--prompt", o->prompt, "text the model completes with the answer")->required();
  c.add_option("--subject", o->subject, "the part of the prompt that is noised")->required();
  c.add_option("--answer", o->answer, "the word that completes the prompt, without the blank before it")->required();
  c.add_flag("--first-token", o->first_token, "an answer of several tokens: look at its first");
  c.add_option("--window", o->window, "layers restored together for attention and MLP")->capture_default_str();
  c.add_option("--noise", o->noise, "noise in standard deviations of the subjects' embeddings")->capture_default_str();
  c.add_option("--runs", o->runs, "noisy runs")->capture_default_str();
  c.add_option("--seed", o->seed, "seed of the noise")->capture_default_str();
  c.add_option("--facts", o->facts,
               "take the standard deviation from the subjects of this file (default: from this subject)");
  c.add_option("--out", o->out, "picture to write (SVG; a PNG beside it where a converter is installed)")
      ->capture_default_str();
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
