#pragma once

#include <engine/files/files.hpp>
#include <engine/model_files/source.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

/// Writes compressed model folders, which `engine::load` reads. docs/compressed-folder.md defines the format.
namespace engine {

/// A matrix to be stored packed.
struct compressed_matrix {
  std::string name;       ///< its name in the model's matrices(): "h.3.attn.c_attn"
  std::string codec;      ///< one word: "affine4.g32"
  std::size_t bytes = 0;  ///< packed size
  /// Writes the codes of the `out x in` matrix into `bytes` bytes, rows in the engine's order. It is called once, when
  /// the matrix is written, so that only one matrix needs to be in memory at a time.
  std::function<void(std::span<std::byte> packed)> pack;
};

struct compress_options {
  atomic_folder::existing existing = atomic_folder::existing::refuse;
  std::filesystem::path tokenizer;                ///< copied instead of the source's tokenizer
  std::string made_from;                          ///< fingerprint of the original model to record; may be empty
  std::map<std::string, std::string> files = {};  ///< additional files, name -> content, such as the plan
  std::size_t split_bytes = 0;                    ///< GGUF: most bytes of tensors in one file; 0: one file
  bool requantize = false;                        ///< whether matrices that a GGUF source has quantized may be packed
};

/// Total bytes of the tensors, without headers.
struct compressed_sizes {
  std::size_t before = 0;
  std::size_t after = 0;
  std::vector<std::string> warnings = {};         ///< what the files cannot hold, as sentences for the user
  std::vector<std::filesystem::path> files = {};  ///< GGUF: those that were written
};

/// For each of the source's tensors its packed matrix, or nullptr.
/// Errors: a matrix that the model does not have, a duplicate matrix, a codec name of several words.
[[nodiscard]] std::vector<const compressed_matrix*> match_matrices(const model_source& source,
                                                                   std::span<const compressed_matrix> matrices);

/// Refuses a source whose matrices are packed already.
void check_can_be_packed(const model_source& source);

/// Writes `source` to `destination` with some matrices packed; all other tensors keep their bytes. In the file, each
/// tensor begins at a multiple of the largest power of two, up to 64, that divides its size.
///
/// Errors   those of match_matrices and check_can_be_packed; a destination that exists (unless it may be
///          replaced) or is the source. Nothing is left behind after an error, nor if `pack` throws.
compressed_sizes write_compressed(const std::filesystem::path& source, const std::filesystem::path& destination,
                                  std::span<const compressed_matrix> matrices, const compress_options& options = {});

}  // namespace engine
