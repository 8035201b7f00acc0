#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/importance.hpp"
#include "jobs/output.hpp"

#include <engine/files/json.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <memory>
#include <string>

namespace program {
namespace {

struct imatrix_command {
  model_options model;
  std::string out = "model.imatrix.gguf";
  text_options text;
  run_options common;
};

exit_status run(const imatrix_command& o) {
  require_writable({o.out, o.common.json});
  const session s = open_and_print(o.model);
  const text_windows text = read_and_print(s, o.text);
  const engine::imatrix found = gather_importances(s, text, o.common);
  engine::write_imatrix(found, o.out);
  fmt::print("wrote  {}: {} matrices, {} windows of {} tokens\n", o.out, found.tensors.size(), found.chunks,
             found.chunk_size);
  write_json(o.common.json, {{"command", "imatrix"},
                             {"model", s.name},
                             {"fingerprint", s.fingerprint},
                             {"out", o.out},
                             {"matrices", found.tensors.size()},
                             {"windows", found.chunks},
                             {"window", found.chunk_size}});
  return exit_status::done;
}

}  // namespace

void add_imatrix(command_line& line) {
  auto o = std::make_shared<imatrix_command>();
  subcommand c = line.add("imatrix", "write the squared inputs of every matrix on a text, for ggml's blocks");
  c.footer(
      "Examples:\n"
      "  precis imatrix MODEL --text calibration.txt --out model.imatrix.gguf\n"
      "  precis plan MODEL --preset IQ3_XXS --imatrix model.imatrix.gguf --out iq3.plan\n"
      "  precis compress MODEL --plan iq3.plan --imatrix model.imatrix.gguf --out iq3.gguf\n"
      "The file is what llama.cpp's llama-imatrix writes, and llama-quantize --imatrix reads: GGUF, or the older form "
      "if "
      "the\n"
      "name ends in .dat. precis plan --imatrix takes the files of either tool.");
  add_model(c, o->model);
  add_special_tokens(c, o->model);
  add_tables(c, o->model);
  add_text(c, o->text, "calibration text", true);
  c.add("--out", o->out, "importance matrix to write").shows_default().writes();
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
