#pragma once

#include <engine/files/imatrix.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace engine {
struct config;
}

namespace program {

struct run_options;
struct session;
struct text_windows;

/// The importances of a model's matrices: the mean square of every input, from a file of llama-imatrix or of ours.
struct importances {
  engine::imatrix file;
  std::string where;  ///< the file's path

  /// Of the matrix called `name`, [in]; empty if the file has none. Errors: another number of columns, by name.
  [[nodiscard]] std::vector<float> of(const engine::config& c, std::string_view name, std::size_t in) const;
};
[[nodiscard]] importances read_importances(const std::string& file);

/// The squared inputs of every matrix of a model on a text, under llama.cpp's names; with tables, also of the head.
///
/// Errors   a family without names in GGUF; inputs that are not finite. Throws `stopped`.
/// Cost     one forward pass.
[[nodiscard]] engine::imatrix gather_importances(const session& s, const text_windows& text, const run_options& o);

}  // namespace program
