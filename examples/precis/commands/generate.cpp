#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/generation.hpp"
#include "jobs/output.hpp"

#include <engine/files/json.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string_view>

namespace program {

namespace {

struct generate_command {
  generation_request request;
  std::string activations = "float";
  run_options common;
};

exit_status run(const generate_command& o) {
  require_writable({o.common.json});
  generation_request request = o.request;
  request.int8_activations = o.activations == "int8";
  request.threads = o.common.threads;
  const generation_result done = generate(request, [](std::string_view text) {
    fmt::print("{}", text);
    std::fflush(stdout);
  });
  const auto rate = [](std::size_t count, double time) { return time > 0 ? static_cast<double>(count) / time : 0.0; };
  const double prompt_rate = rate(done.prompt_tokens, done.prompt_seconds),
               token_rate = rate(done.tokens, done.seconds);
  const auto bytes = static_cast<double>(done.weight_bytes), weights = static_cast<double>(done.weights);

  fmt::print("\n");
  if (!o.common.quiet)
    fmt::print(stderr,
               "\nweights    {} bytes in memory, {:.2f} bits per weight; float32 would take {:.2f} times as many\n"
               "prompt     {} tokens, {:.1f} per second; special tokens in it {}\n"
               "generated  {} tokens, {:.1f} per second; stopped by {}\n",
               done.weight_bytes, 8.0 * bytes / weights, 4.0 * weights / bytes, done.prompt_tokens, prompt_rate,
               request.model.special_tokens, done.tokens, token_rate, done.stopped_by);
  write_json(o.common.json, {{"command", "generate"},
                             {"model", last_part(request.model.path)},
                             {"ids", done.ids},
                             {"special_tokens", request.model.special_tokens},
                             {"prompt_tokens", done.prompt_tokens},
                             {"prompt_tokens_per_second", prompt_rate},
                             {"tokens", done.tokens},
                             {"tokens_per_second", token_rate},
                             {"stopped_by", done.stopped_by},
                             {"weight_bytes", done.weight_bytes},
                             {"weights", done.weights}});
  return interrupted() ? exit_status::stopped : exit_status::done;
}

}  // namespace

void add_generate(command_line& line) {
  auto o = std::make_shared<generate_command>();
  subcommand c = line.add("generate", "continue a text, running the model in the formats it is stored in");
  c.footer(
      "Example:  precis generate SMALLER --prompt \"Once upon a time\"\n"
      "A packed model is never unpacked; a float model runs as well, for comparison. The same seed gives the same text "
      "with any number of threads.");
  add_model(c, o->request.model);
  add_special_tokens(c, o->request.model);
  c.add("--prompt", o->request.prompt, "the text to continue").required().may_be_empty();
  c.add("--tokens", o->request.tokens, "tokens to generate, at most").shows_default();
  c.add("--temperature", o->request.temperature, "0: the most likely token; 1: sample from the model's distribution")
      .shows_default();
  c.add("--seed", o->request.seed, "random seed at temperatures above 0").shows_default();
  c.add("--activations", o->activations,
        "activations that multiply packed weights: float, or int8 (faster, slightly rounded)")
      .one_of({"float", "int8"})
      .shows_default();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
