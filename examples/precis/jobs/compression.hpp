#pragma once

#include "jobs/rounding.hpp"
#include "jobs/session.hpp"

#include <precis/core/size.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace precis {
struct plan;
}

namespace program {

struct resolved_plan;
struct run_options;

/// Packing a model by a plan.
struct compression_request {
  model_options model;
  std::string plan;              ///< file; empty: nothing is packed, only the container changes
  std::filesystem::path out;     ///< folder, or a file that ends in .gguf
  std::string imatrix = {};      ///< file with the importances of the matrices' inputs; empty: none
  std::string calibration = {};  ///< file of statistics, for the fit gptq
  rounding_options rounding = {};
  bool replace = false;         ///< whether an existing output may be replaced
  std::size_t split_bytes = 0;  ///< GGUF: most bytes of tensors in a file; 0: one file
  std::string tool = {};        ///< GGUF: what to record as the writer
};

struct compression_result {
  std::string fingerprint;     ///< of the original
  std::string fit;             ///< see code_fit
  precis::size_report size;    ///< of the plan's units
  std::size_t all_before = 0;  ///< bytes of all tensors
  std::size_t all_after = 0;
  std::size_t removed = 0;                        ///< weights pruned
  std::size_t rounded = 0;                        ///< matrices that --fit gptq packed
  std::size_t compensated = 0;                    ///< of these, by compensated rounding
  std::size_t tuned = 0;                          ///< and by signed rounding
  double mean_error = 0;                          ///< relative output error of these
  std::vector<std::filesystem::path> files = {};  ///< GGUF: those that were written
  std::size_t with_importance = 0;                ///< matrices that the --imatrix file weighed
};

/// Prunes and packs matrix by matrix; the model is never in memory as a whole.
///
/// Errors   a classifier; a model that is quantized already (check_quantized); an importance matrix of another model; a plan that was made for another fit than the given one; those of precis::resolve,
///          engine::write_compressed and engine::write_gguf. Throws `stopped`.
[[nodiscard]] compression_result compress(const compression_request& r, const run_options& o);

/// Writes the matrices of an open model, packed by a plan with the fit of the options, to a compressed folder, which is
/// replaced if it exists.
/// `source` is the model's folder. Returns the bytes of all tensors before and after.
struct folder_bytes {
  std::size_t before = 0, after = 0;
};
[[nodiscard]] folder_bytes write_packed(const session& s, const std::filesystem::path& source,
                                        const resolved_plan& resolved, precis::plan plan, const run_options& o,
                                        const std::filesystem::path& out);

}  // namespace program
