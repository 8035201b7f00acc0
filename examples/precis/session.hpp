#pragma once

#include "progress.hpp"

#include <engine/files/json.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model/transformer.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/evaluate/perplexity.hpp>
#include <precis/model/batch.hpp>

#include <nlohmann/json.hpp>

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace program {

class checkpoint;

/// What every subcommand offers.
struct common_options {
  std::string json;         ///< file for the result as JSON; empty: none
  std::size_t threads = 0;  ///< 0: one for every processor
  bool quiet = false;

  [[nodiscard]] chatter how() const noexcept { return quiet ? chatter::quiet : chatter::normal; }
  [[nodiscard]] precis::thread_pool pool() const noexcept { return {threads}; }
};
void add_common(CLI::App& command, common_options& o);

/// Where a long job keeps what it has finished.
struct resume_options {
  std::string partial;  ///< file; empty: a default named by the command
  bool resume = false;
};
void add_resume(CLI::App& command, resume_options& o);

/// The last part of a path, also of one that ends in a slash: what a model is called.
[[nodiscard]] std::string last_part(const std::filesystem::path& path);

/// A model that is open.
struct session {
  std::string name;  ///< the last part of its path
  engine::tokenizer tokens;
  engine::transformer model;
  std::string fingerprint;                ///< of shapes and contents
  std::vector<std::size_t> matrix_bytes;  ///< [matrices] as stored in the file
};
/// Errors: those of engine::load; a classifier.
[[nodiscard]] session open_model(const std::filesystem::path& path, const std::string& tokenizer = {});

/// A classifier that is open.
struct classifier {
  std::string name;
  engine::tokenizer tokens;
  engine::encoder model;
  std::vector<std::string> labels;  ///< by id
  std::string fingerprint;
  std::size_t stored_bytes = 0;  ///< of all matrices()
};
/// Whether a model folder holds one. Anything else, also what is no model at all, is none.
[[nodiscard]] bool is_classifier(const std::filesystem::path& path);
[[nodiscard]] classifier open_classifier(const std::filesystem::path& path, const std::string& tokenizer = {});
[[nodiscard]] std::string describe(const classifier& c);
[[nodiscard]] std::size_t weight_count(const classifier& c);

/// "GPT-2, 12 layers, width 256, 9.4 M weights in 48 matrices"
[[nodiscard]] std::string describe(const session& s);

/// Non-overlapping windows of a text: window i reads tokens [n i, n i + n) and predicts the next ones, starting fresh.
struct text_windows {
  std::string name;                          ///< the file's name
  std::size_t tokens = 0;                    ///< in the whole text
  std::size_t length = 0;                    ///< predictions a window
  std::vector<precis::token_batch> windows;  ///< one sequence each
};
struct text_options {
  std::string file;
  std::size_t length = 0;   ///< predictions a window; 0: the model's context less one
  std::size_t windows = 0;  ///< 0: all there are
};
/// A file that ends in .json holds token ids instead of text, {"sequences": [[1, 403, ...], ...]}; windows do not cross from
/// one sequence to the next, and are as long as the shortest one unless told.
/// Errors: ids outside the vocabulary; an empty text; one shorter than a window; more windows than there are; a window beyond the context.
[[nodiscard]] text_windows read_windows(const session& s, const text_options& o);

/// Loss of every window.
struct text_loss {
  precis::evaluate::nll_report report;
  bool stopped = false;  ///< somebody pressed Ctrl-C: some windows are missing

  [[nodiscard]] double perplexity() const noexcept { return report.perplexity(); }
  [[nodiscard]] double nats() const noexcept { return report.total.mean(); }
  /// 95 % confidence, nats per token; 0 with one window.
  [[nodiscard]] double half_width() const noexcept {
    const double h = report.confidence().half_width;
    return std::isfinite(h) ? h : 0.0;
  }
};
/// With a checkpoint, windows that are in it are not run again, and new ones go into it.
[[nodiscard]] text_loss measure(const engine::transformer& model, const text_windows& text, const common_options& o,
                                const std::string& label, checkpoint* saved = nullptr);

/// Writes the result of a command where --json says, if it does.
void write_json(const common_options& o, const engine::json& result);
/// Refuses a target that could not be written, before the work is done.
void require_writable(const std::filesystem::path& target);
/// Writes an SVG and, where a converter is, a PNG beside it; returns what to print.
std::string write_picture(const std::filesystem::path& svg_file, const std::string& svg);

/// Units of the model with the bytes their matrices take in its file.
[[nodiscard]] std::size_t stored_bytes(const session& s, std::span<const std::size_t> matrices);
[[nodiscard]] std::size_t stored_bytes(const session& s);
[[nodiscard]] std::size_t weight_count(const session& s);

}  // namespace program
