#include "commands.hpp"
#include "session.hpp"

#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <numeric>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, prompt;
  std::size_t tokens = 64;
  double temperature = 0;
  std::uint64_t seed = 1;
  engine::activation_type activations = engine::activation_type::float32;
  common_options common;
};

/// The next token: the likeliest one (the first of equals), or one drawn from softmax(logits / temperature) by `uniform`,
/// a number in [0, 1).
[[nodiscard]] precis::token choose(std::span<const float> logits, double temperature, double uniform) {
  const auto top = std::ranges::max_element(logits);
  if (temperature == 0) return static_cast<precis::token>(top - logits.begin());
  std::vector<double> share(logits.size());
  std::ranges::transform(logits, share.begin(),
                         [&](float x) { return std::exp(static_cast<double>(x - *top) / temperature); });
  double left = uniform * std::accumulate(share.begin(), share.end(), 0.0);
  std::size_t last = 0;  // with a share; where rounding leaves a rest, it is the last one's
  for (std::size_t i = 0; i < share.size(); ++i) {
    if (share[i] == 0) continue;
    last = i;
    left -= share[i];
    if (left < 0) break;
  }
  return static_cast<precis::token>(last);
}

[[nodiscard]] std::vector<precis::token> tokens_of(const options& o, const engine::tokenizer& tokens,
                                                   const engine::model_source& source) {
  std::vector<precis::token> ids = tokens.encode(o.prompt);
  if (ids.empty() && source.bos) ids.push_back(*source.bos);
  if (ids.empty())
    precis::refuse({.what = "an empty prompt",
                    .where = "--prompt",
                    .expected = "some text: this model names no token that begins a document"});
  if (ids.size() >= source.config.context)
    precis::refuse({.what = fmt::format("a prompt of {} tokens", ids.size()),
                    .where = "--prompt",
                    .expected = fmt::format("less than {}, the model's context", source.config.context)});
  return ids;
}

[[nodiscard]] double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  if (!(o.temperature >= 0) || !std::isfinite(o.temperature))
    precis::refuse({.what = fmt::format("a temperature of {}", o.temperature),
                    .where = "--temperature",
                    .expected = "0 for the likeliest token, or a positive number"});
  const engine::model_source source = engine::open_source(o.model);
  const engine::tokenizer tokenizer = engine::tokenizer_of(source, o.tokenizer);
  std::vector<precis::token> ids = tokens_of(o, tokenizer, source);
  const std::size_t prompt = ids.size(), longest = std::min(source.config.context, prompt + o.tokens);
  const engine::packed_transformer model(engine::load_packed(source, engine::decoder_of<precis::codec::standard>()),
                                         o.activations);

  std::size_t weights = 0;
  for (const engine::source_tensor& t : source.tensors) weights += t.elements();
  const std::size_t bytes = model.parameters().bytes();

  const precis::random_stream random(o.seed, precis::purpose("generate"));
  auto sequence = model.begin(longest, o.common.threads);
  fmt::print("{}", o.prompt);
  auto start = std::chrono::steady_clock::now();
  std::span<const float> logits = model.append(sequence, ids);
  const double prompt_seconds = seconds_since(start);

  const char* why = longest == prompt + o.tokens ? "tokens" : "context";
  start = std::chrono::steady_clock::now();
  while (ids.size() < longest) {
    if (interrupted()) {
      why = "interrupt";
      break;
    }
    const precis::token next = choose(logits, o.temperature, random.uniform(ids.size()));
    if (source.eos && next == *source.eos) {
      why = "end of text";
      break;
    }
    ids.push_back(next);
    const bool has_text = static_cast<std::size_t>(next) < tokenizer.size();  // an embedding may have rows to spare
    fmt::print("{}", has_text ? tokenizer.text_of(next) : fmt::format("<{}>", next));
    std::fflush(stdout);
    if (ids.size() < longest) logits = model.append(sequence, {&next, 1});
  }
  const double seconds = seconds_since(start);
  const std::size_t made = ids.size() - prompt;
  const auto rate = [](std::size_t count, double time) { return time > 0 ? static_cast<double>(count) / time : 0.0; };

  fmt::print("\n");
  if (!o.common.quiet)
    fmt::print(stderr,
               "\nweights    {} bytes in memory, {:.2f} bits per weight; as float32 {:.2f} times as many\n"
               "prompt     {} tokens, {:.1f} per second\n"
               "generated  {} tokens, {:.1f} per second; stopped by {}\n",
               bytes, 8.0 * static_cast<double>(bytes) / static_cast<double>(weights),
               4.0 * static_cast<double>(weights) / static_cast<double>(bytes), prompt, rate(prompt, prompt_seconds),
               made, rate(made, seconds), why);
  write_json(o.common, {{"command", "generate"},
                        {"model", last_part(o.model)},
                        {"ids", ids},
                        {"prompt_tokens", prompt},
                        {"prompt_tokens_per_second", rate(prompt, prompt_seconds)},
                        {"tokens", made},
                        {"tokens_per_second", rate(made, seconds)},
                        {"stopped_by", why},
                        {"weight_bytes", bytes},
                        {"weights", weights}});
  return interrupted() ? exit_status::stopped : exit_status::done;
}

}  // namespace

void add_generate(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c = *app.add_subcommand("generate", "continue a text, running the model in the bytes it is stored in");
  c.footer(
      "Example:  precis generate SMALLER --prompt \"Once upon a time\"\n"
      "A packed model is never unpacked; a model of floats runs as well, so that one sees the difference. The same "
      "seed gives the same text with any number of threads.");
  c.add_option("MODEL", o->model, "model folder or file, packed or not")->required();
  c.add_option("--prompt", o->prompt, "the text to go on from")->required();
  c.add_option("--tokens", o->tokens, "tokens to add, at most")->capture_default_str();
  c.add_option("--temperature", o->temperature, "0: the likeliest token; 1: as the model weighs them")
      ->capture_default_str();
  c.add_option("--seed", o->seed, "what is drawn above temperature 0")->capture_default_str();
  c.add_option("--activations", o->activations, "what meets packed weights: float, or int8 (faster, a little rounded)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, engine::activation_type>{
          {"float", engine::activation_type::float32}, {"int8", engine::activation_type::int8}}))
      ->default_str("float");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
