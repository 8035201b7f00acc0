#pragma once

#include <engine/model/transformer.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/unit.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace engine {
struct bundle;
struct config;
struct model_source;
}  // namespace engine

namespace program {

/// A path to a model and, for models that come without one, a path to its tokenizer.
struct model_options {
  std::string path, tokenizer;
  std::string special_tokens = "parsed";  ///< or plain: how their names in a text are read
  bool tables = false;                    ///< the token embedding and an untied head are matrices, too
  bool quantizes = false;                 ///< the command chooses formats: the model must not be quantized already
  bool allow_requantize = false;          ///< but it may be, with a warning
};

/// What plans and cost tables need to know of an open model, of any kind.
struct model_outline {
  std::string name, fingerprint;
  std::span<const precis::matrix_info> matrices;
  std::size_t stored_bytes = 0;  ///< of all matrices in the model's file
};

/// An open language model.
struct session {
  std::string name;  ///< the last part of its path
  engine::tokenizer tokens;
  engine::transformer model;
  std::string fingerprint;                ///< of shapes and values
  std::vector<std::size_t> matrix_bytes;  ///< [matrices] as stored in the file
  std::optional<precis::token> bos = {};  ///< the token that texts begin with, if the files name one

  operator model_outline() const;  // NOLINT(google-explicit-constructor)
};
/// Lets a tokenizer read texts as the options say.
void set_special_tokens(engine::tokenizer& t, const model_options& o);

/// Errors: those of engine::load and check_quantized; a classifier.
[[nodiscard]] session open_model(const model_options& o);

/// Refuses a model that is quantized already if the command is to quantize it and may not do so again; warns if it may.
void check_quantized(const engine::model_source& source, const model_options& o);

/// Whether a path is a folder with a classifier in it; false for anything else, including a path without a model.
[[nodiscard]] bool is_classifier(const std::filesystem::path& path);

/// "GPT-2, 12 layers, width 256, 9.40 M weights in 48 matrices"
[[nodiscard]] std::string describe(const session& s);
[[nodiscard]] std::string describe(const engine::config& c, std::span<const precis::matrix_info> matrices);

/// Bytes that the given matrices, or all of them, take in the model's file.
[[nodiscard]] std::size_t stored_bytes(const session& s, std::span<const std::size_t> matrices);
[[nodiscard]] std::size_t stored_bytes(const session& s);
[[nodiscard]] std::size_t weight_count(const session& s);
[[nodiscard]] std::size_t weight_count(std::span<const precis::matrix_info> matrices);

/// The last component of a path, even if the path ends in a slash: a model's name.
[[nodiscard]] std::string last_part(const std::filesystem::path& path);

/// Prints sentences for the user to standard error, one per line.
void show_warnings(std::span<const std::string> sentences);

/// A model's files with every packed format decoded. Shows the model's warnings. Errors: those of engine::load.
[[nodiscard]] engine::bundle load_bundle(const model_options& o);
/// [matrices] bytes in the file they were loaded from; four per weight for a matrix that no file holds.
[[nodiscard]] std::vector<std::size_t> bytes_in_file(std::span<const precis::matrix_info> matrices,
                                                     const engine::bundle& b);

}  // namespace program
