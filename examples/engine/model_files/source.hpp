#pragma once

#include <engine/files/files.hpp>
#include <engine/files/safetensors.hpp>
#include <engine/model/config.hpp>
#include <engine/model/tensor_part.hpp>
#include <engine/model_files/quantized_checkpoint.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A model in its files: checked and memory-mapped, not yet decoded.
namespace engine {

enum class model_format {
  hugging_face,  ///< a folder with config.json and safetensors
  llama2c,       ///< a .bin file of llama2.c, version 0
  compressed,    ///< a folder written by write_compressed (docs/compressed-folder.md)
  gguf,          ///< a GGUF file, version 3
};

[[nodiscard]] std::string_view to_string(model_format format) noexcept;

/// Name and shape of a tensor of the engine, and whether it is a map stored `in x out`.
struct tensor_shape {
  std::string name;                ///< its name in engine::tensors()
  std::vector<std::size_t> shape;  ///< as stored
  bool in_major = false;
};

/// Names and shapes of engine::tensors(zeros(c)), without allocating the tensors. Requires check(c) to pass.
[[nodiscard]] std::vector<tensor_shape> expected_tensors(const config& c);

/// One tensor in a file.
struct source_tensor {
  std::string name;         ///< the engine's: "layers.0.attention.wq.weight"
  std::string stored_name;  ///< the file's: "model.layers.0.self_attn.q_proj.weight"
  std::string file;         ///< for messages
  dtype type = dtype::f32;
  std::vector<std::size_t> shape;  ///< of the decoded values
  bool in_major = false;           ///< a matrix that the engine stores `in x out`
  bool transposed = false;         ///< plain values are stored transposed relative to `shape` (GPT-2 in GGUF)
  std::span<const std::byte> bytes;
  std::string codec;                  ///< of a packed matrix; empty: plain values of `type`
  std::optional<tensor_part> part;    ///< of which tensor of the file it is a part; `bytes` are those of all of that
  std::span<const std::byte> scales;  ///< MXFP4: `bytes` are codes, and these the scales
  std::vector<float> factors = {};    ///< by which each row is multiplied, or one for all; empty: none
  std::size_t rotary_heads = 0;  ///< if not 0, rotary pairs are rows i and i + half of this many heads (see load.cpp)

  /// Dimensions of a matrix, independent of its storage order. Require two dimensions.
  [[nodiscard]] std::size_t out() const noexcept { return shape[in_major ? 1 : 0]; }
  [[nodiscard]] std::size_t in() const noexcept { return shape[in_major ? 0 : 1]; }
  /// Bytes that the tensor takes in the file.
  [[nodiscard]] std::size_t stored_bytes() const noexcept;
  [[nodiscard]] std::size_t elements() const noexcept {
    std::size_t n = 1;
    for (const std::size_t e : shape) n *= e;
    return n;
  }
};

/// All tensors of a model, each exactly once, in the order of engine::tensors().
struct model_source {
  model_format format = model_format::hugging_face;
  std::filesystem::path path;
  engine::config config;
  std::optional<precis::token> bos;
  std::vector<precis::token> eos;     ///< text ends at each of them; empty: none is known
  std::vector<std::string> warnings;  ///< sentences for the user: what the files ask for and the engine does not do
  std::vector<std::string> labels;    ///< names of a classifier's labels, by id
  std::vector<source_tensor> tensors;
  std::string made_from;  ///< fingerprint of the original of a compressed folder, if recorded
  std::filesystem::path
      tokenizer;  ///< a folder with vocab.json and merges.txt or vocab.txt, or a file (the model's own, of
                  ///< GGUF); empty: none
  std::vector<safetensors> containers;  ///< the tensors' `bytes` point into these
  std::vector<mapped_file> files;
  std::vector<repacked_matrix> repacked;  ///< of a folder that another program has quantized; `bytes` point into these
};

/// Recognizes the format of `path` and checks everything except the values.
///
/// Errors   no such file or folder; an unsupported format, by name; those of the formats.
[[nodiscard]] model_source open_source(const std::filesystem::path& path);

/// Multiplies weights by the multipliers of a family whose GGUF files have them there (Falcon-H1), and leaves none in the
/// settings. Other models are not changed.
/// Errors   a tied embedding whose rows would need two multipliers.
void fold_scales(model_source& source);

/// Opens a folder with config.json, model.safetensors or model.safetensors.index.json, plain or compressed.
///
/// Names may have their family's prefix or not; a Llama may have Hugging Face's names or its authors' names
/// (layers.0.attention.wq.weight), whose rotary pairs are adjacent; a BERT's norms may have gamma and beta. Known
/// buffers that are not weights are ignored. Matrices that GPTQ, AWQ or compressed-tensors has quantized are repacked in a
/// format of this library, without loss (quantized_checkpoint.hpp).
///
/// Errors   tensors that are missing, unknown, duplicate or of another shape, by name.
[[nodiscard]] model_source open_hugging_face(const std::filesystem::path& folder);

/// What a folder's config.json states, of a quantized checkpoint too. Errors: those of open_hugging_face for this file.
[[nodiscard]] config read_folder_config(const std::filesystem::path& folder);

/// The contents of a llama2.c .bin file of version 0. The tensors' `bytes` point into the file.
struct llama2c_file {
  engine::config config;
  std::vector<source_tensor> tensors;
};

/// Errors   a header that is not valid; a file size other than the header implies.
[[nodiscard]] llama2c_file parse_llama2c(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] model_source open_llama2c(const std::filesystem::path& file);

}  // namespace engine
