#include "jobs/embedder.hpp"

#include "jobs/run_options.hpp"

#include <engine/files/files.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <system_error>
#include <utility>

namespace program {

std::size_t embedder::stored_bytes() const {
  return std::accumulate(matrix_bytes.begin(), matrix_bytes.end(), std::size_t{0});
}

embedder::operator model_outline() const {
  return {.name = name, .fingerprint = fingerprint, .matrices = model.matrices(), .stored_bytes = stored_bytes()};
}

bool is_embedder(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path / "config.json", ignored)) return false;
  const engine::config c = engine::read_folder_config(path);
  return !engine::family_of(c).causal && c.labels == 0;
}

embedder open_embedder(const model_options& o) {
  if (!is_embedder(o.path))
    precis::refuse({.what = is_classifier(o.path) ? "a classifier" : "a model that is no sentence encoder",
                    .where = o.path,
                    .expected = "a folder with a sentence encoder"});
  if (o.quantizes) check_quantized(engine::open_source(o.path), o);
  engine::bundle b = load_bundle(o);
  const std::size_t width = b.config().width;
  embedder e{.name = last_part(o.path),
             .tokens = std::move(b.tokenizer),
             .model = engine::encoder(std::move(b.weights), engine::read_sentence_settings(o.path, width)),
             .fingerprint = b.fingerprint,
             .matrix_bytes = {}};
  set_special_tokens(e.tokens, o);
  e.matrix_bytes = bytes_in_file(e.model.matrices(), b);
  const std::size_t context = e.model.shape().context, wanted = e.model.sentence().max_tokens;
  e.max_tokens = wanted == 0 ? context : std::min(wanted, context);
  return e;
}

std::string describe(const embedder& e) {
  const engine::sentence_settings& s = e.model.sentence();
  return fmt::format("{}; pooling {}, {}normalized{}", describe(e.model.shape(), e.model.matrices()),
                     engine::to_string(s.pooling), s.normalize ? "" : "not ",
                     s.from.empty() ? " (no modules.json)" : "");
}

encoded_texts encode(const embedder& e, std::span<const std::string> texts) {
  encoded_texts out;
  for (const std::string& text : texts) {
    std::vector<precis::token> ids = e.tokens.encode(text);
    if (ids.empty())
      precis::refuse({.what = fmt::format("text {} has no tokens", out.batches.size()),
                      .where = e.name,
                      .expected = "texts with at least one token"});
    if (ids.size() > e.max_tokens) {
      // The tokens of the text alone are somewhere between those that begin and end every document.
      const std::vector<precis::token> plain = e.tokens.encode(text, engine::start::text);
      const auto at = std::ranges::search(ids, plain).begin();
      const auto before = static_cast<std::size_t>(at - ids.begin());
      const std::size_t special = ids.size() - plain.size();
      if (at == ids.end() || special >= e.max_tokens)
        precis::refuse({.what = fmt::format("text {} has {} tokens, and which of them are special is unclear",
                                            out.batches.size(), ids.size()),
                        .where = e.name,
                        .expected = fmt::format("at most {} tokens", e.max_tokens)});
      const std::size_t kept = e.max_tokens - special;
      ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(before + kept),
                ids.begin() + static_cast<std::ptrdiff_t>(before + plain.size()));
      ++out.cut;
    }
    out.tokens += ids.size();
    out.batches.push_back(engine::texts(std::span(&ids, 1)));
  }
  return out;
}

void set_references(encoded_texts& texts, const embedder& e, const run_options& o) {
  std::vector<std::vector<float>> original = embed(e.model, texts.batches, o);
  for (std::size_t i = 0; i < original.size(); ++i) texts.batches[i].references = std::move(original[i]);
}

std::vector<std::vector<float>> embed(const engine::encoder& model, std::span<const engine::text_batch> texts,
                                      const run_options& o) {
  std::vector<std::vector<float>> all(texts.size());
  progress bar("embedding", texts.size(), o.how());
  o.pool().for_each(texts.size(), [&](std::size_t i) {
    all[i] = model.embeddings(texts[i]).values;
    bar.step();
  });
  return all;
}

}  // namespace program
