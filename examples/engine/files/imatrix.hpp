#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Importance matrices of llama.cpp's llama-imatrix: for every matrix of a model the sums of its squared inputs.
namespace engine {

/// The statistics of one matrix; of several, one for each expert, if the tensor holds several.
struct importance_sums {
  std::vector<float> sums;    ///< [matrices x in] of squared inputs
  std::vector<float> counts;  ///< [matrices] inputs summed: tokens, or in old files calls

  [[nodiscard]] std::size_t in() const noexcept { return counts.empty() ? 0 : sums.size() / counts.size(); }
  /// The mean square of every input, as llama-quantize weighs errors by it; 1 for a matrix that no input reached.
  [[nodiscard]] std::vector<float> means() const;
};

/// The content of a file.
struct imatrix {
  std::map<std::string, importance_sums, std::less<>> tensors;  ///< by llama.cpp's names: "blk.0.attn_q.weight"
  std::vector<std::string> datasets;                            ///< names of the texts
  std::size_t chunks = 0;                                       ///< how many windows of text
  std::size_t chunk_size = 0;                                   ///< tokens of each; 0: unknown
};

/// Reads a file of either form: GGUF (general.type "imatrix", tensors NAME.in_sum2 and NAME.counts), or the older one
/// (.dat), whose values are sums over calls.
///
/// Errors   those of parse_gguf; a file that is truncated; sums or counts that are negative or not finite, or not of one
///          length, by tensor; a tensor twice, or without its partner.
[[nodiscard]] imatrix parse_imatrix(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] imatrix read_imatrix(const std::filesystem::path& path);

/// Writes the GGUF form, or the older one if the path ends in .dat. Tensors are in the order of their names.
/// Errors: those of atomic_file.
void write_imatrix(const imatrix& m, const std::filesystem::path& path);

}  // namespace engine
