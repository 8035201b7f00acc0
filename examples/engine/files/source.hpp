#pragma once

#include <engine/files/files.hpp>
#include <engine/files/safetensors.hpp>
#include <engine/model/weights.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// A model as it lies in its files: checked, mapped, not yet decoded.
namespace engine {

enum class model_format {
  hugging_face,  ///< a folder with config.json and safetensors
  llama2c,       ///< a .bin file of llama2.c, version 0
  compressed,    ///< a folder written by write_compressed (docs/compressed-folder.md)
  gguf,          ///< a GGUF file, version 3
};

[[nodiscard]] std::string_view to_string(model_format format) noexcept;

/// The name and shape a tensor of the engine has, and whether it is a map stored `in x out`.
struct tensor_shape {
  std::string name;                ///< as engine::tensors() has it
  std::vector<std::size_t> shape;  ///< as stored
  bool in_major = false;
};

/// What engine::tensors(zeros(c)) lists, without allocating any of it. Requires check(c) to pass.
[[nodiscard]] std::vector<tensor_shape> expected_tensors(const config& c);

/// One tensor in a file.
struct source_tensor {
  std::string name;         ///< the engine's: "layers.0.attention.wq.weight"
  std::string stored_name;  ///< the file's: "model.layers.0.self_attn.q_proj.weight"
  std::string file;         ///< for messages
  dtype type = dtype::f32;
  std::vector<std::size_t> shape;  ///< of the values, whatever they are stored in
  bool in_major = false;           ///< a matrix that the engine has `in x out`
  bool turned = false;             ///< its plain values lie the other way round than `shape` says (GPT-2 in GGUF)
  std::span<const std::byte> bytes;
  std::string codec;             ///< of a compressed matrix; empty: plain values of `type`
  std::size_t rotary_heads = 0;  ///< != 0: rows pair as halves of this many heads, not as neighbours (see load.cpp)

  /// Extents of a matrix, whatever way round it is stored. Require two extents.
  [[nodiscard]] std::size_t out() const noexcept { return shape[in_major ? 1 : 0]; }
  [[nodiscard]] std::size_t in() const noexcept { return shape[in_major ? 0 : 1]; }
  [[nodiscard]] std::size_t elements() const noexcept {
    std::size_t n = 1;
    for (const std::size_t e : shape) n *= e;
    return n;
  }
};

/// All of a model's tensors, every one of its shape's once, in the order of engine::tensors().
struct model_source {
  model_format format = model_format::hugging_face;
  std::filesystem::path path;
  engine::config config;
  std::optional<precis::token> bos, eos;
  std::vector<std::string> labels;  ///< names of what a classifier tells apart, by id
  std::vector<source_tensor> tensors;
  std::string made_from;  ///< fingerprint of the model a compressed folder was made from, if it says so
  std::filesystem::path
      tokenizer;  ///< a folder with vocab.json and merges.txt or vocab.txt, or a file (the model's own, of
                  ///< GGUF); empty: none
  std::vector<safetensors> containers;  ///< what `bytes` point into
  std::vector<mapped_file> files;
};

/// Recognises what `path` is and checks everything but the values.
///
/// Errors   no such file or folder; a format this engine does not read, by name; those of the formats.
[[nodiscard]] model_source open_source(const std::filesystem::path& path);

/// Reads a Hugging Face config.json of model type gpt2, llama, opt or bert.
///
/// Errors   a missing or mistyped key, by name; a feature the engine does not have (scaled rotary positions, another
///          activation, biases in a Llama, norms after the residual in an OPT ...), by key.
[[nodiscard]] config parse_config(std::string_view json_text, std::string_view where);

/// A config.json that parse_config reads back as `c`, and that Hugging Face understands.
[[nodiscard]] std::string config_json(const config& c);

/// Opens a folder with config.json, model.safetensors or model.safetensors.index.json, plain or compressed.
///
/// Names may have their family's prefix or not; a Llama may have Hugging Face's names or those of its authors
/// (layers.0.attention.wq.weight), whose rotary pairs are neighbours; a BERT's norms may have gamma and beta.
/// Errors   tensors that are missing, unknown, twice there or of another shape, by name; buffers known to be harmless
///          are ignored.
[[nodiscard]] model_source open_hugging_face(const std::filesystem::path& folder);

/// What a llama2.c .bin of version 0 holds. `bytes` point into `file`.
struct llama2c_file {
  engine::config config;
  std::vector<source_tensor> tensors;
};

/// Errors   a header no model can have; a size that is not exactly the header's.
[[nodiscard]] llama2c_file parse_llama2c(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] model_source open_llama2c(const std::filesystem::path& file);

}  // namespace engine
