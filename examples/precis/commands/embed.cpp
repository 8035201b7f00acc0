#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/embedder.hpp"
#include "jobs/output.hpp"
#include "jobs/text_list.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace program {

namespace {

struct embed_command {
  model_options model;
  std::string prompt, texts;
  run_options common;
};

exit_status run(const embed_command& o) {
  require_writable({o.common.json});
  if (o.texts.empty() == o.prompt.empty())
    precis::refuse({.what = o.texts.empty() ? "no text" : "--texts and --prompt",
                    .where = "embed",
                    .expected = "--texts FILE.json or --prompt TEXT"});
  if (!o.texts.empty() && o.common.json.empty())
    precis::refuse(
        {.what = "--texts without --json", .where = "embed", .expected = "--json OUT, the file of embeddings"});
  const std::vector<std::string> texts = o.texts.empty() ? std::vector{o.prompt} : read_text_list(o.texts);
  if (texts.empty()) precis::refuse({.what = "no texts", .where = o.texts, .expected = "one text or more"});
  const embedder e = open_embedder(o.model);
  fmt::print("model  {}: {}\n", e.name, describe(e));
  const encoded_texts encoded = encode(e, texts);
  if (encoded.cut > 0)
    fmt::print("texts  {} of {} longer than {} tokens: their ends are left out\n", encoded.cut, texts.size(),
               e.max_tokens);
  const auto began = std::chrono::steady_clock::now();
  const std::vector<std::vector<float>> embeddings = embed(e.model, encoded.batches, o.common);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (!o.prompt.empty()) {
    const std::vector<float>& v = embeddings.front();
    const auto shown = static_cast<std::ptrdiff_t>(std::min<std::size_t>(v.size(), 8));
    fmt::print("{} numbers: {:.6f}{}\n", v.size(), fmt::join(v.begin(), v.begin() + shown, " "),
               v.size() > 8 ? " ..." : "");
  }
  fmt::print("{} {} of {} tokens, width {}, {:.3f} s\n", texts.size(), texts.size() == 1 ? "text" : "texts",
             encoded.tokens, e.model.shape().width, seconds);
  write_json(o.common.json, {{"command", "embed"},
                             {"model", e.name},
                             {"fingerprint", e.fingerprint},
                             {"pooling", engine::to_string(e.model.sentence().pooling)},
                             {"normalized", e.model.sentence().normalize},
                             {"tokens", encoded.tokens},
                             {"cut", encoded.cut},
                             {"seconds", seconds},
                             {"embeddings", embeddings}});
  return exit_status::done;
}

}  // namespace

void add_embed(command_line& line) {
  auto o = std::make_shared<embed_command>();
  subcommand c = line.add("embed", "turn texts into embeddings with a sentence encoder");
  c.footer(
      "Examples:\n"
      "  precis embed MODEL --prompt \"A man is eating food.\"\n"
      "  precis embed MODEL --texts texts.json --json embeddings.json\n"
      "Rows are pooled and normalized as the folder's modules.json and pooling configuration say; without them, the "
      "embedding is the mean of the rows.\n"
      "texts.json is an array of strings; embeddings.json has \"embeddings\", one list of numbers per text.");
  c.add("MODEL", o->model.path, "a folder with a sentence encoder").required().reads();
  c.add("--tokenizer", o->model.tokenizer, "another tokenizer").reads();
  add_special_tokens(c, o->model);
  c.add("--prompt", o->prompt, "one text: prints the beginning of its embedding");
  c.add("--texts", o->texts, "a JSON array of texts").reads();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
