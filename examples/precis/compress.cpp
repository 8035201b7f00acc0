#include "commands.hpp"
#include "session.hpp"

#include <engine/files/files.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/error.hpp>
#include <precis/pack.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace program {

namespace {

struct options {
  std::string model, tokenizer, plan, out;
  bool replace = false;
  common_options common;
};

/// A tensor of the source by a matrix's name. Requires that there is one.
[[nodiscard]] const engine::source_tensor& tensor_of(const engine::model_source& source, const std::string& matrix) {
  return *std::ranges::find(source.tensors, matrix + ".weight", &engine::source_tensor::name);
}

/// The model's matrices and what becomes of them: the plan's choices and, of tables that it names (the embedding, a head of
/// its own), those too. Tables are no units: a plan need not name them, and its budget does not count them.
struct choices {
  std::vector<precis::matrix_choice> matrices, tables;
};
[[nodiscard]] choices resolve(const engine::model_source& source, precis::plan p, const std::string& fingerprint) {
  using formats = precis::codec::standard;
  choices out;
  const engine::family& f = engine::family_of(source.config);
  for (const std::string_view name : {f.token_embedding, source.config.tied_head ? std::string_view{} : f.head}) {
    const auto at = std::ranges::find(p.choices, name, &precis::choice::unit);
    if (name.empty() || at == p.choices.end()) continue;
    const precis::matrix_info info{.name = std::string(name),
                                   .layer = 0,
                                   .part = precis::part::mlp,
                                   .out = source.config.vocabulary,
                                   .in = source.config.width};
    out.tables.push_back(
        precis::resolve<formats>(std::span(&info, 1),
                                 {.model = {}, .units = precis::unit_kind::matrix, .notes = {}, .choices = {*at}})
            .front());
    p.choices.erase(at);
  }
  out.matrices = precis::resolve<formats>(engine::matrices_of(source.config), p, {.model = fingerprint});
  return out;
}

exit_status run(const options& o) {
  if (!o.common.json.empty()) require_writable(o.common.json);
  const engine::model_source source = engine::open_source(o.model);
  if (!engine::family_of(source.config).causal)
    precis::refuse({.what = "a classifier", .where = o.model, .expected = "a language model"});
  const engine::matrix_decoder decoder = engine::decoder_of<precis::codec::standard>();
  const std::string fingerprint = engine::fingerprint(source, decoder);
  const engine::mapped_file file(o.plan);
  const precis::plan p = precis::parse_plan(file.text(), o.plan);
  const choices resolved = resolve(source, p, fingerprint);
  precis::size_report size = precis::size_of(resolved.matrices);
  size.original_bytes = 0;
  for (const precis::matrix_choice& c : resolved.matrices)
    size.original_bytes += tensor_of(source, c.name).bytes.size();

  std::size_t removed = 0;
  engine::compressed_sizes written;
  {
    progress bar("packing", resolved.matrices.size() + resolved.tables.size(), o.common.how());
    std::vector<engine::compressed_matrix> matrices;
    const auto add = [&](const precis::matrix_choice& c) {
      removed += precis::exact_count(c.sparsity, c.out * c.in);
      matrices.push_back({.name = c.name, .codec = c.codec, .bytes = c.bytes, .pack = [&](std::span<std::byte> packed) {
                            if (interrupted()) throw stopped{};
                            const engine::source_tensor& t = tensor_of(source, c.name);
                            std::vector<float> values(t.elements());
                            engine::decode(t, decoder, values);
                            const precis::weight_view w(values, t.shape[0], t.shape[1]);
                            precis::pack_matrix<precis::codec::standard>(t.in_major ? w.transposed() : w, c, packed);
                            bar.step();
                          }});
    };
    for (const precis::matrix_choice& c : resolved.matrices) add(c);
    for (const precis::matrix_choice& c : resolved.tables) add(c);
    const engine::compress_options how{
        .existing = o.replace ? engine::atomic_folder::existing::replace : engine::atomic_folder::existing::refuse,
        .tokenizer = o.tokenizer,
        .made_from = fingerprint,
        .files = {{"model.plan", precis::to_text(p)}}};
    const bool gguf = std::filesystem::path(o.out).extension() == ".gguf";
    written = gguf ? engine::write_gguf(o.model, o.out, matrices, how)
                   : engine::write_compressed(o.model, o.out, matrices, how);
  }
  fmt::print("matrices  {} -> {} bytes: {:.3f} bits per weight, {:.2f} times smaller ({:.1f} % less)\n",
             size.original_bytes, size.packed_bytes, size.bits_per_weight(), size.compression_ratio(),
             size.percent_reduction());
  fmt::print("all       {} -> {} bytes with embeddings, norms and head\n", written.before, written.after);
  if (removed > 0)
    fmt::print("pruned    {} weights; a zero takes as many bits as any other code, but in sparse formats\n", removed);
  fmt::print("wrote     {} (with its plan; every command takes it as a MODEL)\n", o.out);
  write_json(o.common, {{"command", "compress"},
                        {"model", last_part(o.model)},
                        {"fingerprint", fingerprint},
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
  CLI::App& c = *app.add_subcommand(
      "compress", "prune and pack a model by a plan, into a folder or GGUF file every command can load");
  c.footer(
      "Example:  precis compress MODEL --plan mixed.plan --out SMALLER\n"
      "For each matrix: prune at the plan's sparsity (exactly that share, smallest first), then pack in the plan's "
      "codec. The model is never in memory as a whole. A line like \"wte affine8.g32\" packs the embedding as well.\n"
      "--out NAME.gguf writes a GGUF file that llama.cpp loads: GPT-2 and Llama, formats float32, float16, bfloat16, "
      "q4_0, q4_1, q5_0, q5_1 and q8_0.");
  c.add_option("MODEL", o->model, "model folder or .bin file")->required();
  c.add_option("--plan", o->plan, "plan from `precis plan`, or written by hand")->required();
  c.add_option("-o,--out", o->out, "folder to write, or a file that ends in .gguf")->required();
  c.add_flag("--replace", o->replace, "replace it if it is there");
  c.add_option("--tokenizer", o->tokenizer, "tokenizer of a .bin model, when it is not beside it");
  add_common(c, o->common);
  c.callback([o, &status] { status = run(*o); });
}

}  // namespace program
