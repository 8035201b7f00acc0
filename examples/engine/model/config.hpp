#pragma once

#include <engine/model/knobs.hpp>

#include <cstddef>
#include <optional>
#include <string_view>

namespace engine {

/// The families, in the order of families/families.hpp.
enum class architecture {
  gpt2,   ///< pre-LayerNorm with biases, learned positions, fused query-key-value map, GELU
  llama,  ///< RMSNorm, rotary positions (adjacent pairs), SwiGLU, grouped-query attention
  opt,    ///< LayerNorm with biases, learned positions from row 2 on, separate query, key and value maps, ReLU
  phi,   ///< LayerNorm with biases, parallel attention and MLP, partial rotary positions (half-split), a head with bias
  bert,  ///< post-LayerNorm with biases, learned positions, token types, bidirectional attention, a classifier head
  qwen2,
  qwen3,
  mistral,
  gemma3,
  olmoe,
  qwen3_moe,
  mixtral,
  gpt_oss,
  gemma2,
  phi3,
  olmo2,
  granite,
  smollm3,
  gpt_neox,
  ministral3,
  gemma4,
  lfm2,
  qwen3_5,
  qwen3_next,
  granite_hybrid,
  bamba,
  falcon_h1,
  roberta,
  xlm_roberta,
  distilbert,
  mpnet,
  modernbert,
  t5,
};

/// The shape of a model. Loaders read it from a file and call `check`.
struct config {
  engine::architecture architecture = engine::architecture::gpt2;
  std::size_t layers = 0;
  std::size_t width = 0;     ///< of the residual stream
  std::size_t heads = 0;     ///< query heads
  std::size_t kv_heads = 0;  ///< key and value heads; divides heads
  std::size_t hidden = 0;    ///< width inside the MLP
  std::size_t vocabulary = 0;
  std::size_t context = 0;  ///< longest sequence
  float norm_epsilon = 1e-5f;
  float rope_theta = 10000.f;    ///< Llama and Phi without knobs
  std::size_t rotary_width = 0;  ///< Phi without knobs: rotated features per head. Others: 0, all of them or none
  bool tied_head = true;         ///< the head is the token embedding; `weights::head` is empty
  engine::activation activation = engine::activation::gelu_tanh;
  std::size_t token_types = 0;  ///< BERT, RoBERTa
  std::size_t labels = 0;       ///< classes of a BERT classifier; 0: no classifier
  /// All other settings; nothing: those of the family's row. settings_of gives both as one value.
  std::optional<engine::knobs> knobs = {};

  /// Those of a model without knobs, whose heads divide the width.
  [[nodiscard]] std::size_t head_width() const noexcept { return heads == 0 ? 0 : width / heads; }
  [[nodiscard]] std::size_t kv_width() const noexcept { return head_width() * kv_heads; }
  bool operator==(const config&) const = default;
};

/// The knobs of a model, or of its family where it has none, with the settings of every layer.
/// Requires layers of a sane number.
[[nodiscard]] knobs settings_of(const config& c);

/// Refuses an invalid shape: a zero extent, heads that do not divide the width, an odd rotary head width, ... `where` is
/// the file that states it.
void check(const config& shape, std::string_view where = "model shape");

}  // namespace engine
