#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/output.hpp"
#include "jobs/text_list.hpp"

#include <engine/files/json.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace program {

namespace {

struct tokenize_command {
  model_options model;
  std::string prompt, texts, json;
  bool no_special = false;
};

/// A piece as it is printed: line ends and other control characters are escaped.
[[nodiscard]] std::string quoted(const std::string& piece) {
  return engine::json(piece).dump(-1, ' ', false, engine::json::error_handler_t::replace);
}

exit_status run(const tokenize_command& o) {
  require_writable({o.json});
  if (o.texts.empty() && o.prompt.empty())
    precis::refuse({.what = "no text", .where = "tokenize", .expected = "--texts FILE.json or --prompt TEXT"});
  if (!o.texts.empty() && !o.prompt.empty())
    precis::refuse({.what = "--texts and --prompt", .where = "tokenize", .expected = "one of them"});
  if (!o.texts.empty() && o.json.empty())
    precis::refuse({.what = "--texts without --json", .where = "tokenize", .expected = "--json OUT, the file of ids"});
  engine::tokenizer t = engine::load_tokenizer(o.model.tokenizer.empty() ? o.model.path : o.model.tokenizer);
  set_special_tokens(t, o.model);
  const engine::start position = o.no_special ? engine::start::text : engine::start::document;
  const std::vector<std::string> texts = o.texts.empty() ? std::vector{o.prompt} : read_text_list(o.texts);
  engine::json all = engine::json::array();
  std::size_t count = 0;
  for (const std::string& text : texts) {
    all.push_back(t.encode(text, position));
    count += all.back().size();
  }
  if (!o.prompt.empty()) {
    const std::vector<std::string> pieces = t.pieces(o.prompt, position);
    for (std::size_t i = 0; i < pieces.size(); ++i)
      fmt::print("{:>8}  {}\n", all[0][i].get<precis::token>(), quoted(pieces[i]));
  }
  fmt::print("{} tokens of {} {}, {} tokens in the vocabulary; special tokens in texts {}, {} at their ends\n", count,
             texts.size(), texts.size() == 1 ? "text" : "texts", t.size(), o.model.special_tokens,
             o.no_special ? "none" : "those of the template");
  write_json(o.json, {{"command", "tokenize"}, {"special_tokens", o.model.special_tokens}, {"ids", all}});
  return exit_status::done;
}

}  // namespace

void add_tokenize(command_line& line) {
  auto o = std::make_shared<tokenize_command>();
  subcommand c = line.add("tokenize", "turn texts into token ids");
  c.footer(
      "Examples:\n"
      "  precis tokenize MODEL --prompt \"Hello, world\"\n"
      "  precis tokenize MODEL --texts texts.json --json ids.json\n"
      "MODEL may be any folder with a tokenizer, also of a model that this program cannot run, a tokenizer.json, a "
      "GGUF file, or a tok*.bin.\n"
      "texts.json is an array of strings; ids.json has \"ids\", one list per text.");
  c.add("MODEL", o->model.path, "a folder or file with a tokenizer").required().reads();
  c.add("--tokenizer", o->model.tokenizer, "another tokenizer, of a .bin model").reads();
  add_special_tokens(c, o->model);
  c.add("--prompt", o->prompt, "one text: prints its pieces and ids");
  c.add("--texts", o->texts, "a JSON array of texts").reads();
  c.add_flag("--no-special", o->no_special, "do not add the special tokens that begin and end a document");
  c.add("--json", o->json, "write the ids as JSON to this file").writes();
  c.runs([o] { return run(*o); });
}

}  // namespace program
