#include "jobs/compression.hpp"

#include "jobs/calibration.hpp"
#include "jobs/formats.hpp"
#include "jobs/importance.hpp"
#include "jobs/plans.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/error.hpp>
#include <precis/core/random.hpp>
#include <precis/kernel/packed_format.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace program {

namespace {

/// A tensor of the source by a matrix's name. Requires that there is one.
[[nodiscard]] const engine::source_tensor& tensor_of(const engine::model_source& source, const std::string& matrix) {
  return *std::ranges::find(source.tensors, matrix + ".weight", &engine::source_tensor::name);
}

/// The plan's choices for the model's matrices and for the tables that the plan lists (the embedding, an untied head).
/// Tables are not units: a plan need not list them, and they do not count toward its budget.
struct choices {
  std::vector<precis::matrix_choice> matrices, tables;
};
[[nodiscard]] choices resolve(const engine::model_source& source, precis::plan p, const std::string& fingerprint,
                              const std::string& file) {
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
                                 {.model = {}, .units = precis::unit_kind::matrix, .notes = {}, .choices = {*at}},
                                 {.model = {}, .where = file})
            .front());
    p.choices.erase(at);
  }
  out.matrices = precis::resolve<formats>(engine::matrices_of(source.config), p, {.model = fingerprint, .where = file});
  return out;
}

/// The matrices of a plan, packed with the data of a calibration.
struct rounded_plan {
  std::vector<std::string> names;
  std::vector<rounded> matrices;

  [[nodiscard]] const precis::aligned_bytes* find(const std::string& name) const {
    const auto at = std::ranges::find(names, name);
    return at == names.end() ? nullptr : &matrices[static_cast<std::size_t>(at - names.begin())].bytes;
  }
  [[nodiscard]] std::size_t compensated() const {
    return static_cast<std::size_t>(std::ranges::count(matrices, true, &rounded::compensated));
  }
  [[nodiscard]] std::size_t tuned() const {
    return static_cast<std::size_t>(std::ranges::count(matrices, true, &rounded::tuned));
  }
  [[nodiscard]] double mean_error() const {
    double sum = 0;
    for (const rounded& m : matrices) sum += m.relative_error;
    return matrices.empty() ? 0 : sum / static_cast<double>(matrices.size());
  }
};
[[nodiscard]] rounded_plan round_with_data(const compression_request& r, const run_options& o,
                                           std::span<const precis::matrix_choice> choices,
                                           const std::string& fingerprint, bool tune) {
  if (r.calibration.empty())
    precis::refuse({.what = "--fit gptq, as " + r.plan + " says, without data",
                    .where = "compress",
                    .expected = "--calibration FILE, written by `precis calibrate`"});
  const session s = open_model(r.model);
  const calibration c = read_calibration(r.calibration, fingerprint, s.model.matrices());
  rounded_plan out;
  for (const precis::matrix_choice& each : choices) out.names.push_back(each.name);
  rounding_options how = r.rounding;
  if (!tune) how.iterations = 0;
  out.matrices = round_model(s, choices, c, how, o);
  return out;
}

/// Whether ggml encodes a format with importance only.
[[nodiscard]] bool needs_importance(std::string_view codec) {
  const auto f = precis::kernel::parse_format(codec);
  return f && f->codes == precis::kernel::code_kind::block && precis::kernel::layout_of(f->block).needs_importance;
}

/// Refuses to replace what `compress` did not write: another folder, or a file that is not GGUF.
void require_replaceable(const std::filesystem::path& out) {
  std::error_code ignored;
  const auto bad = [&](const std::string& what) {
    precis::refuse({.what = what + ", so --replace does not delete it",
                    .where = out.string(),
                    .expected = "a new name, or what `precis compress` wrote"});
  };
  if (!std::filesystem::exists(out, ignored)) return;
  if (std::filesystem::is_directory(out, ignored)) {
    if (!engine::has_gguf_name(out) && !std::filesystem::is_empty(out, ignored) &&
        !std::filesystem::exists(out / "model.plan", ignored))
      bad("is a folder without a model.plan");
  } else if (engine::has_gguf_name(out)) {
    if (!std::filesystem::is_regular_file(out, ignored)) bad("is not a regular file");
    std::ifstream file(out, std::ios::binary);
    char magic[4] = {};
    file.read(magic, 4);
    if (std::string_view(magic, 4) != "GGUF") bad("is not a GGUF file");
  }
}

/// 16 hexadecimal digits of a file's bytes.
[[nodiscard]] std::string file_hash(const std::filesystem::path& file) {
  return fmt::format("{:016x}", precis::purpose(engine::mapped_file(file).text()));
}

}  // namespace

compression_result compress(const compression_request& r, const run_options& o) {
  if (r.replace) require_replaceable(r.out);
  engine::model_source source = engine::open_source(r.model.path);
  show_warnings(source.warnings);
  if (source.config.labels != 0)
    precis::refuse(
        {.what = "a classifier", .where = r.model.path, .expected = "a language model or a sentence encoder"});
  engine::check_can_be_packed(source);
  if (!r.plan.empty()) check_quantized(source, r.model);
  if (source.format == engine::model_format::gguf && !engine::has_gguf_name(r.out))
    precis::refuse({.what = "a GGUF file, which cannot become a folder",
                    .where = r.model.path,
                    .expected = "an --out that ends in .gguf, or the original model"});
  const engine::matrix_decoder codecs = decoder();
  const std::string fingerprint = engine::fingerprint(source, codecs);
  if (engine::has_gguf_name(r.out)) engine::fold_scales(source);
  precis::plan p;
  code_fit fit = o.coder();
  choices resolved;  // none without a plan: every matrix keeps its values
  if (!r.plan.empty()) {
    const engine::mapped_file file(r.plan);
    p = precis::parse_plan(file.text(), r.plan);
    fit = agreed_fit(p.notes, o, r.plan);
    set_fit(p.notes, fit);
    resolved = resolve(source, p, fingerprint, r.plan);
  }
  precis::size_report size = precis::size_of(resolved.matrices);
  size.original_bytes = 0;
  for (const precis::matrix_choice& c : resolved.matrices)
    size.original_bytes += tensor_of(source, c.name).stored_bytes();

  std::size_t removed = 0, with_importance = 0;
  importances known;
  if (!r.imatrix.empty()) known = read_importances(r.imatrix);
  const auto importance_of = [&](const precis::matrix_choice& c) {
    const auto f = precis::kernel::parse_format(c.codec);
    const bool takes_it = f && f->kept == precis::kernel::kept_weights::all &&
                          (f->codes == precis::kernel::code_kind::ggml || f->codes == precis::kernel::code_kind::block);
    return takes_it ? known.of(source.config, c.name, c.in) : std::vector<float>();
  };
  for (const std::vector<precis::matrix_choice>* all : {&resolved.matrices, &resolved.tables})
    for (const precis::matrix_choice& c : *all) {
      const bool weighed = !importance_of(c).empty();  // refuses a file of another model before any work
      with_importance += weighed ? 1u : 0u;
      if (!r.imatrix.empty() && !weighed && needs_importance(c.codec) && all == &resolved.matrices)
        precis::refuse({.what = "no importance of " + c.name,
                        .where = r.imatrix,
                        .expected = "one for every matrix in " + c.codec + ", as llama-quantize demands"});
    }
  if (!r.imatrix.empty() && with_importance == 0)
    precis::refuse({.what = "no importance that the plan's formats use",
                    .where = r.imatrix,
                    .expected = "the importance matrix of this model, and ggml's blocks in the plan"});
  rounded_plan rounded;
  if (fit.compensate) rounded = round_with_data(r, o, resolved.matrices, fingerprint, fit.tune);
  engine::compressed_sizes written;
  {
    progress bar("packing", resolved.matrices.size() + resolved.tables.size(), o.how());
    std::vector<engine::compressed_matrix> matrices;
    const auto add = [&](const precis::matrix_choice& c) {
      removed += precis::exact_count(c.sparsity, c.out * c.in);
      matrices.push_back({.name = c.name, .codec = c.codec, .bytes = c.bytes, .pack = [&](std::span<std::byte> packed) {
                            stop_if_interrupted();
                            if (const precis::aligned_bytes* done = rounded.find(c.name)) {
                              std::ranges::copy(*done, packed.begin());
                              bar.step();
                              return;
                            }
                            const engine::source_tensor& t = tensor_of(source, c.name);
                            std::vector<float> values(t.elements());
                            engine::decode(t, codecs, values);
                            const precis::weight_view w(values, t.shape[0], t.shape[1]);
                            pack_matrix(t.in_major ? w.transposed() : w, c, packed, fit.compensate ? code_fit{} : fit,
                                        importance_of(c));
                            bar.step();
                          }});
    };
    for (const precis::matrix_choice& c : resolved.matrices) add(c);
    for (const precis::matrix_choice& c : resolved.tables) add(c);
    engine::compress_options how{
        .existing = r.replace ? engine::atomic_folder::existing::replace : engine::atomic_folder::existing::refuse,
        .tokenizer = r.model.tokenizer,
        .made_from = fingerprint,
        .files = {},
        .split_bytes = r.split_bytes,
        .requantize = r.model.allow_requantize};
    if (!r.plan.empty()) how.files["model.plan"] = precis::to_text(p);
    const bool gguf = engine::has_gguf_name(r.out);
    if (gguf && !r.plan.empty()) {  // with the source's fingerprint, all that the same bytes need
      how.files["plan.fit"] = to_string(fit);
      if (!r.tool.empty()) how.files["plan.tool"] = r.tool;
      if (!r.imatrix.empty()) how.files["plan.imatrix"] = file_hash(r.imatrix);
      if (!r.calibration.empty()) how.files["plan.calibration"] = file_hash(r.calibration);
    }
    written = gguf ? engine::write_gguf(r.model.path, r.out, matrices, how)
                   : engine::write_compressed(r.model.path, r.out, matrices, how);
  }
  show_warnings(written.warnings);
  return {.fingerprint = fingerprint,
          .fit = to_string(fit),
          .size = size,
          .all_before = written.before,
          .all_after = written.after,
          .removed = removed,
          .rounded = rounded.matrices.size(),
          .compensated = rounded.compensated(),
          .tuned = rounded.tuned(),
          .mean_error = rounded.mean_error(),
          .files = written.files,
          .with_importance = with_importance};
}

folder_bytes write_packed(const session& s, const std::filesystem::path& source, const resolved_plan& resolved,
                          precis::plan plan, const run_options& o, const std::filesystem::path& out) {
  set_fit(plan.notes, o.coder());
  std::vector<engine::compressed_matrix> matrices;
  for (const precis::matrix_choice& c : resolved.matrices)
    matrices.push_back({.name = c.name, .codec = c.codec, .bytes = c.bytes, .pack = [&](std::span<std::byte> packed) {
                          pack_matrix(s.model.weights(c.matrix), c, packed, o.coder());
                        }});
  const engine::compressed_sizes sizes = engine::write_compressed(source, out, matrices,
                                                                  {.existing = engine::atomic_folder::existing::replace,
                                                                   .tokenizer = {},
                                                                   .made_from = s.fingerprint,
                                                                   .files = {{"model.plan", precis::to_text(plan)}}});
  return {.before = sizes.before, .after = sizes.after};
}

}  // namespace program
