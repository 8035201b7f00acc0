#include "session.hpp"

#include "checkpoint.hpp"

#include <engine/files.hpp>
#include <engine/load.hpp>
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

session open_model(const std::filesystem::path& path, const std::string& tokenizer) {
  engine::bundle b =
      engine::load(path, {.tokenizer = tokenizer, .decoder = engine::decoder_of<precis::codec::standard>()});
  std::filesystem::path plain = path.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  session s{.name = plain.filename().string(),
            .tokens = std::move(b.tokenizer),
            .model = engine::transformer(std::move(b.weights)),
            .fingerprint = b.fingerprint,
            .matrix_bytes = {}};
  for (const precis::matrix_info& m : s.model.matrices()) {
    const engine::stored_tensor* stored = b.find(m.name);
    s.matrix_bytes.push_back(stored == nullptr ? 4 * m.weights() : stored->bytes);
  }
  return s;
}

std::string describe(const session& s) {
  const engine::config& c = s.model.shape();
  return fmt::format("{}, {} layers, width {}, {:.2f} M weights in {} matrices",
                     c.architecture == engine::architecture::gpt2 ? "GPT-2" : "Llama", c.layers, c.width,
                     static_cast<double>(weight_count(s)) * 1e-6, s.model.matrices().size());
}

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
std::size_t weight_count(const session& s) {
  std::size_t sum = 0;
  for (const precis::matrix_info& m : s.model.matrices()) sum += m.weights();
  return sum;
}

text_windows read_windows(const session& s, const text_options& o) {
  const std::filesystem::path path(o.file);
  const engine::mapped_file file(path);
  const std::vector<precis::token> ids = s.tokens.encode(file.text());
  text_windows out{.name = path.filename().string(),
                   .tokens = ids.size(),
                   .length = o.length != 0 ? o.length : s.model.shape().context - 1,
                   .windows = {}};
  if (out.length > s.model.shape().context)
    precis::refuse({.what = fmt::format("windows of {} predictions", out.length),
                    .where = "--context",
                    .expected = fmt::format("at most {}, the model's context", s.model.shape().context)});
  const std::size_t there = ids.size() < 2 ? 0 : (ids.size() - 1) / out.length;
  if (there == 0 || o.windows > there)
    precis::refuse({.what = fmt::format("{} tokens, {} whole windows of {} predictions", ids.size(), there, out.length),
                    .where = o.file,
                    .expected = o.windows > there && there != 0 ? fmt::format("--windows of at most {}", there)
                                                                : "a longer text, or a smaller --context"});
  const std::size_t count = o.windows == 0 ? there : o.windows;
  for (std::size_t i = 0; i < count; ++i)
    out.windows.push_back(precis::next_token_batch(1, std::span(ids).subspan(i * out.length, out.length + 1)));
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
