#include "session.hpp"

#include "checkpoint.hpp"

#include <engine/files/files.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>
#include <report/png.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <cmath>
#include <optional>

namespace program {

void add_common(CLI::App& command, common_options& o) {
  command.add_option("--json", o.json, "write the result as JSON to this file");
  command.add_option("--threads", o.threads, "threads; 0: one for every processor. Results do not depend on it")
      ->capture_default_str();
  command.add_flag("--quiet", o.quiet, "no progress");
}

void add_resume(CLI::App& command, resume_options& o) {
  command.add_flag("--resume", o.resume, "go on from the partial results of a run that was stopped");
  command.add_option("--partial", o.partial, "where partial results are kept (default: beside the output)");
}

namespace {

[[nodiscard]] engine::bundle open_bundle(const std::filesystem::path& path, const std::string& tokenizer) {
  return engine::load(path, {.tokenizer = tokenizer, .decoder = engine::decoder_of<precis::codec::standard>()});
}

[[nodiscard]] std::vector<std::size_t> bytes_of(std::span<const precis::matrix_info> matrices,
                                                const engine::bundle& b) {
  std::vector<std::size_t> bytes;
  for (const precis::matrix_info& m : matrices) {
    const engine::stored_tensor* const stored = b.find(m.name);
    bytes.push_back(stored == nullptr ? 4 * m.weights() : stored->bytes);
  }
  return bytes;
}

[[nodiscard]] std::size_t weights_in(std::span<const precis::matrix_info> matrices) {
  std::size_t sum = 0;
  for (const precis::matrix_info& m : matrices) sum += m.weights();
  return sum;
}

[[nodiscard]] std::string described(const engine::config& c, std::span<const precis::matrix_info> matrices) {
  return fmt::format("{}, {} layers, width {}, {:.2f} M weights in {} matrices", engine::family_of(c).name, c.layers,
                     c.width, static_cast<double>(weights_in(matrices)) * 1e-6, matrices.size());
}

}  // namespace

std::string last_part(const std::filesystem::path& path) {
  const std::filesystem::path plain = path.lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

session open_model(const std::filesystem::path& path, const std::string& tokenizer) {
  if (is_classifier(path))
    precis::refuse({.what = "a classifier",
                    .where = path.string(),
                    .expected = "a language model; `precis evaluate MODEL --verdicts FILE` alone runs classifiers"});
  engine::bundle b = open_bundle(path, tokenizer);
  session s{.name = last_part(path),
            .tokens = std::move(b.tokenizer),
            .model = engine::transformer(std::move(b.weights)),
            .fingerprint = b.fingerprint,
            .matrix_bytes = {}};
  s.matrix_bytes = bytes_of(s.model.matrices(), b);
  return s;
}

bool is_classifier(const std::filesystem::path& path) {
  std::error_code ignored;
  const std::filesystem::path file = path / "config.json";
  if (!std::filesystem::is_regular_file(file, ignored)) return false;
  const engine::mapped_file text(file);
  return !engine::family_of(engine::parse_config(text.text(), file.string())).causal;
}

classifier open_classifier(const std::filesystem::path& path, const std::string& tokenizer) {
  engine::bundle b = open_bundle(path, tokenizer);
  classifier c{.name = last_part(path),
               .tokens = std::move(b.tokenizer),
               .model = engine::encoder(std::move(b.weights)),
               .labels = b.labels,
               .fingerprint = b.fingerprint};
  for (const std::size_t bytes : bytes_of(c.model.matrices(), b)) c.stored_bytes += bytes;
  return c;
}

std::string describe(const session& s) { return described(s.model.shape(), s.model.matrices()); }
std::string describe(const classifier& c) { return described(c.model.shape(), c.model.matrices()); }
std::size_t weight_count(const classifier& c) { return weights_in(c.model.matrices()); }

std::size_t stored_bytes(const session& s, std::span<const std::size_t> matrices) {
  std::size_t sum = 0;
  for (const std::size_t i : matrices) sum += s.matrix_bytes[i];
  return sum;
}
std::size_t stored_bytes(const session& s) {
  std::size_t sum = 0;
  for (const std::size_t b : s.matrix_bytes) sum += b;
  return sum;
}
std::size_t weight_count(const session& s) { return weights_in(s.model.matrices()); }

namespace {

/// The sequences of a file of token ids: {"sequences": [[1, 403, ...], ...]}, each on its own.
[[nodiscard]] std::vector<std::vector<precis::token>> read_sequences(const engine::mapped_file& file,
                                                                     const std::string& where, std::size_t vocabulary) {
  const engine::json value = engine::parse_json(file.text(), where);
  const engine::json_object keys(value, where);
  const engine::json* const list = keys.find("sequences");
  if (list == nullptr || !list->is_array() || list->empty())
    keys.refuse("no sequences", "\"sequences\": a list of lists of token ids");
  std::vector<std::vector<precis::token>> out;
  for (const engine::json& each : *list) {
    std::vector<precis::token>& ids = out.emplace_back();
    if (!each.is_array()) keys.refuse("a sequence that is " + engine::type_of(each), "lists of token ids");
    for (const engine::json& id : each) {
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= vocabulary)
        keys.refuse(fmt::format("token {} in sequence {}", id.dump(), out.size() - 1),
                    fmt::format("whole numbers below {}, the vocabulary", vocabulary));
      ids.push_back(id.get<precis::token>());
    }
  }
  return out;
}

}  // namespace

text_windows read_windows(const session& s, const text_options& o) {
  const std::filesystem::path path(o.file);
  const engine::mapped_file file(path);
  const bool is_ids = path.extension() == ".json";
  std::vector<std::vector<precis::token>> sequences;
  if (is_ids)
    sequences = read_sequences(file, o.file, s.model.shape().vocabulary);
  else
    sequences.push_back(s.tokens.encode(file.text()));
  std::size_t shortest = sequences.front().size();
  for (const std::vector<precis::token>& each : sequences) shortest = std::min(shortest, each.size());

  const std::size_t most = s.model.shape().context;
  text_windows out{.name = path.filename().string(), .tokens = 0, .length = o.length, .windows = {}};
  if (out.length == 0) out.length = is_ids && shortest > 1 ? std::min(shortest, most) - 1 : most - 1;
  if (out.length > most)
    precis::refuse({.what = fmt::format("windows of {} predictions", out.length),
                    .where = "--context",
                    .expected = fmt::format("at most {}, the model's context", most)});
  std::size_t there = 0;
  for (const std::vector<precis::token>& each : sequences) {
    out.tokens += each.size();
    there += each.size() < 2 ? 0 : (each.size() - 1) / out.length;
  }
  if (there == 0 || o.windows > there)
    precis::refuse({.what = fmt::format("{} tokens, {} whole windows of {} predictions", out.tokens, there, out.length),
                    .where = o.file,
                    .expected = o.windows > there && there != 0 ? fmt::format("--windows of at most {}", there)
                                                                : "a longer text, or a smaller --context"});
  const std::size_t count = o.windows == 0 ? there : o.windows;
  for (const std::vector<precis::token>& each : sequences)
    for (std::size_t i = 0; (i + 1) * out.length < each.size() && out.windows.size() < count; ++i)
      out.windows.push_back(precis::next_token_batch(1, std::span(each).subspan(i * out.length, out.length + 1)));
  return out;
}

text_loss measure(const engine::transformer& model, const text_windows& text, const common_options& o,
                  const std::string& label, checkpoint* saved) {
  std::vector<std::optional<precis::nll>> each(text.windows.size());
  {
    progress bar(label, text.windows.size(), o.how());
    std::vector<std::size_t> open;
    for (std::size_t i = 0; i < each.size(); ++i) {
      const engine::json* before = saved == nullptr ? nullptr : saved->find(std::to_string(i));
      if (before == nullptr) {
        open.push_back(i);
        continue;
      }
      each[i] = precis::nll{.sum = before->at("sum"), .count = before->at("count")};
      bar.skip(1);
    }
    o.pool().for_each(open.size(), [&](std::size_t k) {
      if (interrupted()) return;
      const std::size_t i = open[k];
      each[i] = model.loss(text.windows[i]);
      if (saved != nullptr) saved->record(std::to_string(i), {{"sum", each[i]->sum}, {"count", each[i]->count}});
      bar.step();
    });
  }
  text_loss out;
  for (const auto& w : each) {
    if (!w) {
      out.stopped = true;
      continue;
    }
    out.report.windows.push_back(*w);
    out.report.total += *w;
  }
  if (out.report.windows.empty())
    precis::refuse({.what = "stopped before the first window", .where = label, .expected = "at least one window"});
  if (!std::isfinite(out.report.total.sum))
    precis::refuse({.what = fmt::format("the loss on {} is {}", text.name, out.report.total.sum),
                    .where = label,
                    .expected = "a finite loss: weights and activations without NaN or infinity"});
  return out;
}

void write_json(const common_options& o, const engine::json& result) {
  if (!o.json.empty()) engine::write_file(o.json, result.dump(1) + "\n");
}

void require_writable(const std::filesystem::path& target) {
  const engine::atomic_file probe(target);  // refuses if it cannot be made; without commit nothing is left
}

std::string write_picture(const std::filesystem::path& svg_file, const std::string& svg) {
  engine::write_file(svg_file, svg);
  std::filesystem::path png = svg_file;
  png.replace_extension(".png");
  if (report::save_png(svg, png)) return "wrote " + svg_file.string() + " and " + png.string();
  return "wrote " + svg_file.string() + " (no PNG: install rsvg-convert, inkscape or ImageMagick)";
}

}  // namespace program
