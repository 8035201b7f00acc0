#include "jobs/session.hpp"

#include "jobs/embedder.hpp"
#include "jobs/formats.hpp"
#include "jobs/signals.hpp"

#include <engine/files/files.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>

#include <precis/core/error.hpp>
#include <precis/kernel/packed_format.hpp>

#include <fmt/format.h>

#include <cstdio>
#include <numeric>
#include <system_error>
#include <utility>

namespace program {

std::string last_part(const std::filesystem::path& path) {
  const std::filesystem::path plain = path.lexically_normal();
  return (plain.has_filename() ? plain : plain.parent_path()).filename().string();
}

void show_warnings(std::span<const std::string> sentences) {
  for (const std::string& s : sentences) fmt::print(stderr, "precis: warning: {}\n", s);
}

void check_quantized(const engine::model_source& source, const model_options& o) {
  if (!o.quantizes) return;
  std::size_t quantized = 0;
  std::string codec;
  for (const engine::source_tensor& t : source.tensors) {
    const auto f = precis::kernel::parse_format(t.codec);
    if (t.codec.empty() || (f && f->codes == precis::kernel::code_kind::dense)) continue;
    if (quantized++ == 0) codec = t.codec;
  }
  if (quantized == 0) return;
  const std::string what =
      fmt::format("{} of {} tensors are quantized already ({})", quantized, source.tensors.size(), codec);
  if (!o.allow_requantize)
    precis::refuse({.what = what,
                    .where = o.path,
                    .expected = "the original model in float32, float16 or bfloat16; or --allow-requantize, which adds "
                                "a second error to that of the first quantization"});
  const std::string warning = o.path + ": " + what + "; the errors of both quantizations add up";
  show_warnings(std::span(&warning, 1));
}

engine::bundle load_bundle(const model_options& o) {
  engine::bundle b = engine::load(o.path, {.tokenizer = o.tokenizer, .decoder = decoder()});
  show_warnings(b.warnings);
  stop_if_interrupted();  // a signal may have come while the model was loading
  return b;
}

std::vector<std::size_t> bytes_in_file(std::span<const precis::matrix_info> matrices, const engine::bundle& b) {
  std::vector<std::size_t> bytes;
  for (const precis::matrix_info& m : matrices) {
    const engine::stored_tensor* const stored = b.find(m.name);
    bytes.push_back(stored == nullptr ? 4 * m.weights() : stored->bytes);
  }
  return bytes;
}

void set_special_tokens(engine::tokenizer& t, const model_options& o) {
  if (o.special_tokens == "plain") t.in_text = engine::special_tokens::plain;
}

session open_model(const model_options& o) {
  if (is_classifier(o.path))
    precis::refuse({.what = "a classifier",
                    .where = o.path,
                    .expected = "a language model; only `precis evaluate MODEL --verdicts FILE` runs classifiers"});
  if (is_embedder(o.path))
    precis::refuse({.what = "a sentence encoder",
                    .where = o.path,
                    .expected = "a language model; `precis embed MODEL --prompt TEXT` runs sentence encoders"});
  if (o.quantizes) check_quantized(engine::open_source(o.path), o);
  engine::bundle b = load_bundle(o);
  session s{.name = last_part(o.path),
            .tokens = std::move(b.tokenizer),
            .model = engine::transformer(std::move(b.weights)),
            .fingerprint = b.fingerprint,
            .matrix_bytes = {},
            .bos = b.bos};
  set_special_tokens(s.tokens, o);
  if (o.tables) s.model.list_tables();
  s.matrix_bytes = bytes_in_file(s.model.matrices(), b);
  return s;
}

session::operator model_outline() const {
  return {.name = name,
          .fingerprint = fingerprint,
          .matrices = model.matrices(),
          .stored_bytes = program::stored_bytes(*this)};
}

bool is_classifier(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path / "config.json", ignored)) return false;
  return engine::read_folder_config(path).labels != 0;
}

std::size_t weight_count(std::span<const precis::matrix_info> matrices) {
  std::size_t sum = 0;
  for (const precis::matrix_info& m : matrices) sum += m.weights();
  return sum;
}
std::size_t weight_count(const session& s) { return weight_count(s.model.matrices()); }

std::string describe(const engine::config& c, std::span<const precis::matrix_info> matrices) {
  return fmt::format("{}, {} layers, width {}, {:.2f} M weights in {} matrices", engine::family_of(c).name, c.layers,
                     c.width, static_cast<double>(weight_count(matrices)) * 1e-6, matrices.size());
}
std::string describe(const session& s) { return describe(s.model.shape(), s.model.matrices()); }

std::size_t stored_bytes(const session& s, std::span<const std::size_t> matrices) {
  std::size_t sum = 0;
  for (const std::size_t i : matrices) sum += s.matrix_bytes[i];
  return sum;
}
std::size_t stored_bytes(const session& s) {
  return std::accumulate(s.matrix_bytes.begin(), s.matrix_bytes.end(), std::size_t{0});
}

}  // namespace program
