#pragma once

#include <engine/files/compressed.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/source.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// GPT-2 and Llama models in GGUF files, under the names llama.cpp gives tensors and keys.
namespace engine {

/// What llama.cpp calls a tensor or matrix of the engine: "h.3.attn.c_attn.weight" is "blk.3.attn_qkv.weight". Empty for
/// families other than GPT-2 and Llama.
[[nodiscard]] std::string gguf_name(const config& c, std::string_view name);

/// What a GGUF file holds of a model. `bytes` of the tensors point into the file.
struct gguf_model {
  engine::config config;
  std::vector<source_tensor> tensors;
  std::optional<precis::token> bos, eos;
  std::string made_from;
  bool has_tokenizer = false;
};

/// Reads keys and tensors. Rows of a Llama's query and key maps pair as neighbours, as the engine rotates them.
///
/// Errors   those of parse_gguf; another architecture; a key that is missing or asks for what the engine does not have
///          (scaled rotary positions, experts, ...), by name; tensors that are missing, unknown or of another shape.
[[nodiscard]] gguf_model parse_gguf_model(std::span<const std::byte> file, std::string_view where);
[[nodiscard]] model_source open_gguf(const std::filesystem::path& file);

/// The tokenizer in a GGUF file: GPT-2's ("gpt2", pre-tokenizer "gpt-2") or sentencepiece's with scores ("llama").
/// Errors: another tokenizer, by name; those of byte_bpe and score_bpe.
[[nodiscard]] tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where);

/// Writes a GPT-2 or Llama as a GGUF file that llama.cpp loads, its tokenizer included: `matrices` in the formats they name
/// (float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1, q8_0), other matrices and the head in the type they have, vectors
/// and positions as float32. Of the options, `files` become keys "precis.NAME".
///
/// Errors   another family; a model that is compressed already; a GELU other than GPT-2's; a format GGUF does not have and
///          rows that its blocks do not fit, before anything is written, with what would fit; a destination that exists
///          (unless it may be replaced).
/// Cost     memory: one tensor, decoded and packed, and the header (with the vocabulary).
compressed_sizes write_gguf(const std::filesystem::path& source, const std::filesystem::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options = {});

}  // namespace engine
