#pragma once

#include <engine/model/config.hpp>
#include <engine/model/family.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Where llama.cpp's files keep a model's tensors: names, fused tensors, and orders of rows.
namespace engine {

/// What a file holds instead of a value.
enum class gguf_form {
  same,
  plus_one,   ///< norms of families that multiply by 1 + w: the factor
  minus_exp,  ///< A_log: -e^x
};

/// One tensor of the engine in a tensor of a file. Rows of a vector are its elements; those of a tensor with three
/// dimensions follow each other.
struct gguf_place {
  std::string tensor = {};                  ///< "blk.3.ffn_up_exps.weight"
  std::vector<std::size_t> shape = {};      ///< of that, outermost dimension first
  std::size_t absent = 0;                   ///< the engine's first rows that no file has (RoBERTa's positions)
  std::size_t first = 0;                    ///< the file's row where the engine's begin
  std::vector<std::uint32_t> rows = {};     ///< counted from there, of each of the engine's rows; empty: the same order
  std::vector<std::uint32_t> columns = {};  ///< likewise
  gguf_form value = gguf_form::same;
};

/// Which tensors a file holds as one.
struct gguf_fusion {
  bool qkv = false, gate_up = false;
};
[[nodiscard]] gguf_fusion usual_fusion(const config& c) noexcept;

/// The places of engine::tensors(), in their order. Requires a family that llama.cpp knows.
[[nodiscard]] std::vector<gguf_place> gguf_places(const config& c, gguf_fusion fusion);

/// The expert that a matrix belongs to, and how many share its tensor; nothing for other matrices.
struct expert_of_tensor {
  std::size_t index = 0, count = 0;
};
[[nodiscard]] std::optional<expert_of_tensor> expert_of(const config& c, std::string_view matrix);

/// llama.cpp's name of a tensor or matrix of the engine: "blk.3.attn_qkv.weight" for "h.3.attn.c_attn.weight". Empty for
/// families that it does not know.
[[nodiscard]] std::string gguf_name(const config& c, std::string_view name);

}  // namespace engine
