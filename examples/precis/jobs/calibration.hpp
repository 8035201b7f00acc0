#pragma once

#include <engine/files/imatrix.hpp>

#include <precis/measure/statistics.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace program {

struct model_outline;
struct run_options;
struct session;
struct text_windows;

/// What calibration text says about a model: the statistics of every input of its matrices, the squared gradients at
/// their outputs, and the windows themselves, so that a fit can run them through a partly compressed model.
struct calibration {
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  std::string model, fingerprint;  ///< name, and of shapes and values
  std::vector<std::string> texts;  ///< names of the files
  std::vector<precis::measure::input_statistics> inputs;
  std::vector<std::size_t> reads;   ///< [matrices] index into `inputs`; none: no input reached the matrix
  std::vector<double> sensitivity;  ///< [matrices] mean square of d log p / dy over tokens and outputs, in nats^2 per
                                    ///< squared output, p of a token drawn from the model; 0: not measured
  std::vector<precis::token_batch> windows;  ///< one sequence each

  [[nodiscard]] std::size_t tokens() const noexcept;
};

/// Runs the windows through the model. `gradient_windows` of them, evenly spread, also backward.
/// Errors   inputs that are not finite, by matrix. Throws `stopped`.
/// Cost     one forward pass, the Gram matrices, and a backward pass of the windows that take one.
[[nodiscard]] calibration calibrate(const session& s, const text_windows& text, std::size_t gradient_windows,
                                    const run_options& o);

/// Adds the statistics of other text. Errors: a calibration of another model.
void merge(calibration& into, const calibration& other, const std::string& where);

/// A safetensors file: Gram matrices as lower triangles in double, docs/files.md.
void write_calibration(const calibration& c, std::span<const precis::matrix_info> matrices,
                       const std::filesystem::path& path);
/// Errors: a file of another kind or another model; statistics that are not finite, or of other widths, by matrix.
[[nodiscard]] calibration read_calibration(const std::filesystem::path& path, const std::string& fingerprint,
                                           std::span<const precis::matrix_info> matrices);

/// The squared inputs, as llama-imatrix writes them.
[[nodiscard]] engine::imatrix importance_of(const calibration& c, const session& s);

}  // namespace program
