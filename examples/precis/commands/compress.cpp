#include "commands/commands.hpp"
#include "commands/options.hpp"
#include "commands/version.hpp"
#include "jobs/compression.hpp"
#include "jobs/output.hpp"

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/model_kinds.hpp>

#include <precis/core/error.hpp>
#include <precis/core/shown.hpp>
#include <precis/core/text.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <memory>

namespace program {

namespace {

struct compress_command {
  model_options model;
  std::string plan, out, imatrix, split, calibration, inputs = "compressed";
  double damping = 0.1;
  std::size_t iterations = 200;
  bool replace = false;
  run_options common;
};

/// "2G" or "500M", as llama-gguf-split has it, or bytes; 0 for an empty text.
[[nodiscard]] std::size_t split_bytes(std::string text) {
  if (text.empty()) return 0;
  std::size_t unit = 1, count = 0;
  if (text.ends_with('G') || text.ends_with('M')) {
    unit = text.back() == 'G' ? 1'000'000'000 : 1'000'000;
    text.pop_back();
  }
  if (!precis::text::read(text, count) || count == 0 || count > (std::size_t{1} << 50) / unit)
    precis::refuse({.what = "\"" + precis::shown(text) + "\"",
                    .where = "--split",
                    .expected = "the most bytes of tensors in a file, such as 2G or 500M"});
  return count * unit;
}

exit_status run(const compress_command& o) {
  const std::size_t part_bytes = split_bytes(o.split);
  if (part_bytes != 0 && !engine::has_gguf_name(o.out))
    precis::refuse({.what = "a folder as the output", .where = "--split", .expected = "an --out that ends in .gguf"});
  if (o.common.coder().tune && (o.inputs != "compressed" || o.iterations == 0))
    precis::refuse({.what = o.iterations == 0 ? "0 iterations" : "--inputs original",
                    .where = "--fit signed_rounding",
                    .expected = "--inputs compressed and --iterations of 1 or more, or --fit gptq"});
  require_writable({o.common.json});
  if (engine::has_gguf_name(o.out)) {
    if (o.replace || !std::filesystem::exists(o.out)) require_writable({o.out});
  } else if (!o.replace) {
    require_new_folder(o.out);
  }
  const std::string version = version_text(), tool = version.substr(0, version.find('\n'));
  const compression_result done = compress(
      {.model = o.model,
       .plan = o.plan,
       .out = o.out,
       .imatrix = o.imatrix,
       .calibration = o.calibration,
       .rounding = {.damping = o.damping, .from_compressed = o.inputs == "compressed", .iterations = o.iterations},
       .replace = o.replace,
       .split_bytes = part_bytes,
       .tool = tool},
      o.common);
  const precis::size_report& size = done.size;
  if (!o.plan.empty())
    fmt::print("matrices  {} -> {} bytes: {:.3f} bits per weight, {:.2f} times smaller ({:.1f} % less)\n",
               size.original_bytes, size.packed_bytes, size.bits_per_weight(), size.compression_ratio(),
               size.percent_reduction());
  fmt::print("all       {} -> {} bytes with embeddings, norms and head\n", done.all_before, done.all_after);
  if (done.removed > 0)
    fmt::print("pruned    {} weights; only sparse formats store zeros in fewer bits\n", done.removed);
  if (done.rounded > 0)
    fmt::print("gptq      {} of {} matrices compensated; relative output error {:.3g} on average\n", done.compensated,
               done.rounded, done.mean_error);
  if (done.tuned > 0) fmt::print("tuned     {} of {} matrices by signed rounding\n", done.tuned, done.rounded);
  if (!o.imatrix.empty()) fmt::print("imatrix   {} matrices had an importance\n", done.with_importance);
  const std::string wrote =
      done.files.size() < 2 ? o.out
                            : fmt::format("{} and {} more files", done.files.front().string(), done.files.size() - 1);
  fmt::print("wrote     {} ({}every subcommand reads it as MODEL)\n", wrote, o.plan.empty() ? "" : "with its plan; ");
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
                             {"compensated_matrices", done.compensated},
                             {"tuned_matrices", done.tuned},
                             {"mean_output_error", done.mean_error},
                             {"imatrix_matrices", done.with_importance},
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
      engine::gguf_families() +
      " models in float32, float16, bfloat16 and ggml's blocks: q4_0 to q8_0, q2_k to q6_k, iq1_s to iq4_xs, mxfp4, "
      "nvfp4, "
      "tq1_0, tq2_0, q1_0 and q2_0.");
  add_model(c, o->model);
  add_requantize(c, o->model);
  c.add(
       "--plan", o->plan,
       "plan from `precis plan`, or written by hand; without one, every matrix keeps its values and only the container "
       "changes")
      .reads();
  c.add("-o,--out", o->out, "folder to write, or a file that ends in .gguf").required().writes();
  c.add("--imatrix", o->imatrix,
        "importance matrix of llama-imatrix or `precis imatrix`: weighs the errors of ggml's blocks as llama-quantize "
        "does")
      .reads();
  c.add("--split", o->split,
        "GGUF: several files with at most so many bytes of tensors each, such as 2G or 500M, named as llama.cpp does");
  c.add("--calibration", o->calibration, "statistics of `precis calibrate`, for --fit gptq").reads();
  const auto with_data = [o] { return !o->calibration.empty(); };
  c.add("--inputs", o->inputs,
        "with --fit gptq: each layer sees the inputs that the packed layers before it give and makes up for their "
        "errors (compressed), or those of the original model (faster)")
      .one_of({"compressed", "original"})
      .shows_default()
      .only_if(with_data, "--calibration");
  c.add("--damping", o->damping, "with --fit gptq: ridge as a share of the mean squared input")
      .shows_default()
      .positive()
      .only_if(with_data, "--calibration");
  c.add("--iterations", o->iterations,
        "with --fit signed_rounding: steps that tune the rounding of each layer; the time grows with them")
      .shows_default()
      .only_if([o] { return o->common.coder().tune; }, "--fit signed_rounding");
  c.add_flag("--replace", o->replace, "replace an existing output");
  add_fit(c, o->common, true, true);
  add_common(c, o->common);
  c.runs([o] { return run(*o); });
}

}  // namespace program
