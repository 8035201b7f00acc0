#include "commands.hpp"
#include "planning.hpp"
#include "session.hpp"

#include <engine/compressed.hpp>
#include <engine/files.hpp>

#include <fmt/format.h>

#include <memory>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, plan, out;
  bool replace = false;
  common_options common;
};

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  const session s = open_model(o.model, o.tokenizer);
  const engine::mapped_file file(o.plan);
  const precis::plan p = precis::parse_plan(file.text(), o.plan);
  const resolved_plan resolved = resolve(s, p);
  const precis::evaluate::size_report& size = resolved.size;

  std::size_t removed = 0;
  engine::compressed_sizes written;
  {
    progress bar("packing", resolved.matrices.size(), o.common.how());
    std::vector<engine::compressed_matrix> matrices;
    for (const precis::matrix_choice& c : resolved.matrices) {
      removed += precis::exact_count(c.sparsity, c.out * c.in);
      matrices.push_back({.name = c.name, .codec = c.codec, .bytes = c.bytes, .pack = [&](std::span<std::byte> packed) {
                            if (interrupted()) throw stopped{};
                            precis::pack_matrix<precis::codec::standard>(s.model.weights(c.matrix), c, packed);
                            bar.step();
                          }});
    }
    written = engine::write_compressed(
        o.model, o.out, matrices,
        {.existing = o.replace ? engine::atomic_folder::existing::replace : engine::atomic_folder::existing::refuse,
         .tokenizer = o.tokenizer,
         .made_from = s.fingerprint,
         .files = {{"model.plan", precis::to_text(p)}}});
  }
  fmt::print("matrices  {} -> {} bytes: {:.3f} bits per weight, {:.2f} times smaller ({:.1f} % less)\n",
             size.original_bytes, size.packed_bytes, size.bits_per_weight(), size.compression_ratio(),
             size.percent_reduction());
  fmt::print("all       {} -> {} bytes with embeddings, norms and head, which are kept as they are\n", written.before,
             written.after);
  if (removed > 0) fmt::print("pruned    {} weights; a zero takes as many bits as any other code\n", removed);
  fmt::print("wrote     {} (with its plan; every command takes it as a MODEL)\n", o.out);
  write_json(o.common, {{"command", "compress"},
                        {"model", s.name},
                        {"fingerprint", s.fingerprint},
                        {"out", o.out},
                        {"bytes", size.packed_bytes},
                        {"original_bytes", size.original_bytes},
                        {"weights", size.weights},
                        {"bits_per_weight", size.bits_per_weight()},
                        {"compression_ratio", size.compression_ratio()},
                        {"percentage_reduction", size.percent_reduction()},
                        {"all_bytes", written.after},
                        {"all_original_bytes", written.before},
                        {"removed_weights", removed}});
  return exit_status::done;
}

}  // namespace

void add_compress(CLI::App& app, exit_status& status) {
  auto o = std::make_shared<options>();
  CLI::App& c =
      *app.add_subcommand("compress", "prune and pack a model by a plan, into a folder every command can load");
  c.footer(
      "Example:  precis compress MODEL --plan mixed.plan --out SMALLER\n"
      "For each matrix: prune at the plan's sparsity (exactly that share, smallest first), then pack in the plan's "
      "codec.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--plan", o->plan, "plan from `precis plan`, or written by hand")->required();
  c.add_option("-o,--out", o->out, "folder to write")->required();
  c.add_flag("--replace", o->replace, "replace the folder if it is there");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
