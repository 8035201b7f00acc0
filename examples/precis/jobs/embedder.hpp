#pragma once

#include "jobs/session.hpp"

#include <engine/model/encoder.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace program {

struct run_options;

/// An open sentence encoder.
struct embedder {
  std::string name;
  engine::tokenizer tokens;
  engine::encoder model;
  std::string fingerprint;
  std::vector<std::size_t> matrix_bytes;  ///< [matrices] as stored in the file
  std::size_t max_tokens = 0;             ///< of a text, special tokens included

  [[nodiscard]] std::size_t stored_bytes() const;
  operator model_outline() const;  // NOLINT(google-explicit-constructor)
};

/// Whether a path is a folder with a sentence encoder in it; false for anything else.
[[nodiscard]] bool is_embedder(const std::filesystem::path& path);

/// Errors: those of engine::load and engine::read_sentence_settings; a model of another kind; no tokenizer.
[[nodiscard]] embedder open_embedder(const model_options& o);
/// "BERT, 6 layers, width 384, ...; mean of its rows, normalized"
[[nodiscard]] std::string describe(const embedder& e);

/// Texts as batches of one text each, so that no position is padding.
struct encoded_texts {
  std::vector<engine::text_batch> batches;
  std::size_t tokens = 0;
  std::size_t cut = 0;  ///< texts longer than max_tokens, whose end is left out; special tokens stay
};
/// Errors: a text without tokens, by index.
[[nodiscard]] encoded_texts encode(const embedder& e, std::span<const std::string> texts);

/// The batches with the model's own embeddings as references: its loss is then how far a change moves embeddings.
void set_references(encoded_texts& texts, const embedder& e, const run_options& o);

/// [texts][width]
[[nodiscard]] std::vector<std::vector<float>> embed(const engine::encoder& model,
                                                    std::span<const engine::text_batch> texts, const run_options& o);

}  // namespace program
