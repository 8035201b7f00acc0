#pragma once

#include <engine/files/gguf.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/gguf_layout.hpp>
#include <engine/model_files/gguf_parts.hpp>
#include <engine/model_files/source.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// Models in GGUF files, with llama.cpp's names for tensors and keys.
namespace engine {

/// The model in a GGUF file, or in several. The tensors' `bytes` point into the files.
struct gguf_model {
  engine::config config;
  std::vector<source_tensor> tensors;
  std::vector<repacked_matrix>
      gathered;  ///< tensors whose values or order are others in files; `bytes` point into these
  std::optional<precis::token> bos;
  std::vector<precis::token> eos;     ///< the ends of a text, of a turn and of a message, as far as the file has them
  std::vector<std::string> warnings;  ///< as in model_source
  std::string made_from;
  bool has_tokenizer = false;
};

/// Reads keys and tensors, with the rows in the engine's order.
///
/// Errors   those of parse_gguf; another architecture; a key that is missing or requests an unsupported feature (scaled
///          rotary positions, experts, ...), by name and value; tensors that are missing, unknown or of another shape.
///          The keys that the engine knows are those of known_keys.hpp; unknown ones of the architecture are a warning.
[[nodiscard]] gguf_model parse_gguf_model(std::span<const std::byte> file, std::string_view where);
/// The same for all files of a split model; `where` names the first. Errors: also those of parse_gguf_parts.
[[nodiscard]] gguf_model parse_gguf_model(std::span<const gguf_part> parts);
/// Opens a file and, if it is one of a split model, all others. Errors: also those of gguf_parts_of.
[[nodiscard]] model_source open_gguf(const std::filesystem::path& file);

/// Writes a model, including its tokenizer, as a GGUF file that llama.cpp can load. `matrices` are stored in
/// the formats they name (float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1, q8_0), other matrices and the head in
/// their present type, vectors and position embeddings as float32. The `files` of the options become keys
/// "precis.NAME". A GGUF source keeps all its other keys. Implemented in write_gguf.cpp.
///
/// Errors   a family or settings that llama.cpp does not know; a compressed folder; a matrix to be packed that the source already has packed; a GELU other
///          than GPT-2's; a format that GGUF does not have, or rows that are not whole blocks of it, before anything is
///          written, with the formats that are possible; a destination that exists (unless it may be replaced).
/// Cost     memory: one tensor, decoded and packed, and the header including the vocabulary.
compressed_sizes write_gguf(const std::filesystem::path& source, const std::filesystem::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options = {});

}  // namespace engine
