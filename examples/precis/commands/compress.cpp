#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "jobs/compression.hpp"
#include "jobs/output.hpp"

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/model_kinds.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>

namespace program {

namespace {

struct compress_command {
  model_options model;
  std::string plan, out;
  bool replace = false;
  run_options common;
};

exit_status run(const compress_command& o) {
  require_writable({o.common.json});
  if (engine::has_gguf_name(o.out)) {
    if (o.replace || !std::filesystem::exists(o.out)) require_writable({o.out});
  } else if (!o.replace) {
    require_new_folder(o.out);
  }
  const compression_result done =
      compress({.model = o.model, .plan = o.plan, .out = o.out, .replace = o.replace}, o.common);
  const precis::size_report& size = done.size;
  fmt::print("matrices  {} -> {} bytes: {:.3f} bits per weight, {:.2f} times smaller ({:.1f} % less)\n",
             size.original_bytes, size.packed_bytes, size.bits_per_weight(), size.compression_ratio(),
             size.percent_reduction());
  fmt::print("all       {} -> {} bytes with embeddings, norms and head\n", done.all_before, done.all_after);
  if (done.removed > 0)
    fmt::print("pruned    {} weights; only sparse formats store zeros in fewer bits\n", done.removed);
  fmt::print("wrote     {} (with its plan; every subcommand reads it as MODEL)\n", o.out);
  write_json(o.common.json, {{"command", "compress"},
                             {"model", last_part(o.model.path)},
                             {"fingerprint", done.fingerprint},
                             {"out", o.out},
                             {"bytes", size.packed_bytes},
                             {"original_bytes", size.original_bytes},
                             {"weights", size.weights},
                             {"bits_per_weight", size.bits_per_weight()},
                             {"compression_ratio", size.compression_ratio()},
                             {"percentage_reduction", size.percent_reduction()},
                             {"all_bytes", done.all_after},
                             {"all_original_bytes", done.all_before},
                             {"removed_weights", done.removed},
                             {"fit", done.fit}});
  return exit_status::done;
}

}  // namespace

void add_compress(command_line& line) {
  auto o = std::make_shared<compress_command>();
  subcommand c = line.add("compress", "prune and pack a model by a plan, into a folder or a GGUF file");
  c.footer(
      "Example:  precis compress MODEL --plan mixed.plan --out SMALLER\n"
      "Prunes each matrix to the plan's sparsity (exactly, smallest weights first) and packs it in the plan's format. "
      "The model is never in memory as a whole. A line like \"wte affine8.g32.h\" also packs the embedding.\n"
      "--out NAME.gguf writes a GGUF file that llama.cpp loads: " +
      engine::gguf_families() + " models in float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1 and q8_0.");
  add_model(c, o->model);
  c.add("--plan", o->plan, "plan from `precis plan`, or written by hand").required().reads();
  c.add("-o,--out", o->out, "folder to write, or a file that ends in .gguf").required().writes();
  c.add_flag("--replace", o->replace, "replace an existing output");
  add_fit(c, o->common);
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
