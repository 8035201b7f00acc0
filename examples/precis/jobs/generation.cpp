#include "jobs/generation.hpp"

#include "jobs/formats.hpp"
#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/memory.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>

namespace program {

namespace {

/// The next token: at temperature 0 the most likely one (the first if several tie), otherwise drawn from
/// softmax(logits / temperature) with `uniform` in [0, 1). Refuses logits that say nothing.
[[nodiscard]] precis::token choose(std::span<const float> logits, double temperature, double uniform) {
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i]))
      precis::refuse({.what = fmt::format("the model's output for token {} is {}", i, logits[i]),
                      .where = "generate",
                      .expected = "finite outputs: weights that do not overflow"});
  const auto top = std::ranges::max_element(logits);
  if (temperature == 0) return static_cast<precis::token>(top - logits.begin());
  std::vector<double> share(logits.size());
  std::ranges::transform(logits, share.begin(),
                         [&](float x) { return std::exp(static_cast<double>(x - *top) / temperature); });
  double left = uniform * std::accumulate(share.begin(), share.end(), 0.0);
  std::size_t last = 0;  // the last token of nonzero probability takes what rounding leaves over
  for (std::size_t i = 0; i < share.size(); ++i) {
    if (share[i] == 0) continue;
    last = i;
    left -= share[i];
    if (left < 0) break;
  }
  return static_cast<precis::token>(last);
}

[[nodiscard]] std::vector<precis::token> tokens_of(const std::string& text, const engine::tokenizer& tokens,
                                                   const engine::model_source& source) {
  std::vector<precis::token> ids = tokens.encode(text);
  if (ids.empty() && source.bos) ids.push_back(*source.bos);
  if (ids.empty())
    precis::refuse({.what = "an empty prompt",
                    .where = "--prompt",
                    .expected = "some text: this model has no beginning-of-document token"});
  if (ids.size() >= source.config.context)
    precis::refuse({.what = fmt::format("a prompt of {} tokens", ids.size()),
                    .where = "--prompt",
                    .expected = fmt::format("fewer than {}, the model's context", source.config.context)});
  return ids;
}

}  // namespace

generation_result generate(const generation_request& r, const std::function<void(std::string_view)>& show) {
  if (!(r.temperature >= 0) || !std::isfinite(r.temperature))
    precis::refuse({.what = fmt::format("a temperature of {}", r.temperature),
                    .where = "--temperature",
                    .expected = "0 for the most likely token, or a positive number"});
  const engine::model_source source = engine::open_source(r.model.path);
  show_warnings(source.warnings);
  engine::tokenizer tokenizer = engine::tokenizer_of(source, r.model.tokenizer);
  set_special_tokens(tokenizer, r.model);
  generation_result out{.ids = tokens_of(r.prompt, tokenizer, source)};
  std::vector<precis::token>& ids = out.ids;
  out.prompt_tokens = ids.size();
  const std::size_t longest = std::min(source.config.context, out.prompt_tokens + r.tokens);
  std::size_t bytes = 0;
  for (const engine::source_tensor& t : source.tensors) bytes += t.stored_bytes();
  const engine::packed_transformer model(
      engine::with_memory(bytes, "the weights of " + r.model.path,
                          [&] { return engine::load_packed(source, decoder()); }),
      r.int8_activations ? engine::activation_type::int8 : engine::activation_type::float32);
  for (const engine::source_tensor& t : source.tensors) out.weights += t.elements();
  out.weight_bytes = model.parameters().bytes();

  const precis::random_stream random(r.seed, precis::purpose("generate"));
  auto sequence = model.begin(longest, r.threads);
  warn_of_refused_threads(sequence.refused_threads());
  show(r.prompt);
  auto start = std::chrono::steady_clock::now();
  std::span<const float> logits = model.append(sequence, ids);
  out.prompt_seconds = seconds_since(start);

  out.stopped_by = longest == out.prompt_tokens + r.tokens ? "tokens" : "context";
  start = std::chrono::steady_clock::now();
  while (ids.size() < longest) {
    if (interrupted()) {
      out.stopped_by = "interrupt";
      break;
    }
    const precis::token next = choose(logits, r.temperature, random.uniform(ids.size()));
    if (std::ranges::find(source.eos, next) != source.eos.end()) {
      out.stopped_by = "end of text";
      break;
    }
    ids.push_back(next);
    const bool has_text = static_cast<std::size_t>(next) < tokenizer.size();  // embeddings may have unused rows
    show(has_text ? tokenizer.text_of(next) : fmt::format("<{}>", next));
    if (ids.size() < longest) logits = model.append(sequence, {&next, 1});
  }
  out.seconds = seconds_since(start);
  out.tokens = ids.size() - out.prompt_tokens;
  return out;
}

}  // namespace program
