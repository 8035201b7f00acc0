#pragma once

#include <engine/files/files.hpp>
#include <engine/files/source.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

/// Writing compressed model folders; `engine::load` reads them. The format is docs/compressed-folder.md.
namespace engine {

/// A matrix that is stored packed.
struct compressed_matrix {
  std::string name;       ///< as the model's matrices() has it: "h.3.attn.c_attn"
  std::string codec;      ///< one word: "affine4.g32"
  std::size_t bytes = 0;  ///< packed
  /// Fills `bytes` bytes with the codes of the matrix `out x in`, rows in the engine's order. Called once, when its turn
  /// comes, so that one matrix at a time need be in memory.
  std::function<void(std::span<std::byte> packed)> pack;
};

struct compress_options {
  atomic_folder::existing existing = atomic_folder::existing::refuse;
  std::filesystem::path tokenizer;                ///< copied instead of what lies beside the source
  std::string made_from;                          ///< fingerprint of the original, to be kept; may be empty
  std::map<std::string, std::string> files = {};  ///< more files, name -> content: the plan
};

/// Bytes of the tensors, headers not counted.
struct compressed_sizes {
  std::size_t before = 0;
  std::size_t after = 0;
};

/// The packed matrix of each of the source's tensors, or nullptr.
/// Errors: a matrix that the model does not have, or named twice; a codec name of several words.
[[nodiscard]] std::vector<const compressed_matrix*> match_matrices(const model_source& source,
                                                                   std::span<const compressed_matrix> matrices);

/// Writes `source` to `destination` with some matrices packed; everything else keeps its bytes.
///
/// Errors   a matrix that the model does not have, or named twice; a codec name of several words; a source that is
///          compressed already; a destination that exists (unless it may be replaced), or is the source. Nothing is left
///          behind then, nor when `pack` throws.
compressed_sizes write_compressed(const std::filesystem::path& source, const std::filesystem::path& destination,
                                  std::span<const compressed_matrix> matrices, const compress_options& options = {});

}  // namespace engine
