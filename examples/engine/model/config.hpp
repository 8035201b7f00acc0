#pragma once

#include <cstddef>
#include <string_view>

namespace engine {

enum class architecture {
  gpt2,   ///< pre-LayerNorm with biases, learned positions, fused query-key-value map, GELU
  llama,  ///< RMSNorm, rotary positions (adjacent pairs), SwiGLU, grouped-query attention, no biases
  opt,    ///< pre-LayerNorm with biases, learned positions from row 2 on, separate query, key and value maps, ReLU
  phi,   ///< LayerNorm with biases, parallel attention and MLP, partial rotary positions (half-split), a head with bias
  bert,  ///< post-LayerNorm with biases, learned positions, token types, bidirectional attention, a classifier head
};

inline constexpr architecture all_architectures[] = {architecture::gpt2, architecture::llama, architecture::opt,
                                                     architecture::phi, architecture::bert};

enum class activation { gelu_tanh, gelu_erf, silu, relu };

/// The shape of a model. Loaders read it from a file and call `check`.
struct config {
  engine::architecture architecture = engine::architecture::gpt2;
  std::size_t layers = 0;
  std::size_t width = 0;     ///< of the residual stream
  std::size_t heads = 0;     ///< query heads; divides width
  std::size_t kv_heads = 0;  ///< key and value heads; divides heads. Equal to heads except for Llama and Phi
  std::size_t hidden = 0;    ///< width inside the MLP
  std::size_t vocabulary = 0;
  std::size_t context = 0;  ///< longest sequence
  float norm_epsilon = 1e-5f;
  float rope_theta = 10000.f;    ///< Llama and Phi
  std::size_t rotary_width = 0;  ///< Phi: rotated features per head. Others: 0, which means all of them or none
  bool tied_head = true;         ///< the head is the token embedding; `weights::head` is empty
  engine::activation activation = engine::activation::gelu_tanh;  ///< Llama: silu
  std::size_t token_types = 0;                                    ///< BERT only
  std::size_t labels = 0;                                         ///< BERT only: classes of the classifier

  [[nodiscard]] std::size_t head_width() const noexcept { return heads == 0 ? 0 : width / heads; }
  [[nodiscard]] std::size_t kv_width() const noexcept { return head_width() * kv_heads; }
  bool operator==(const config&) const = default;
};

/// Refuses an invalid shape: a zero extent, heads that do not divide the width, an odd rotary head width, ... `where` is
/// the file that states it.
void check(const config& shape, std::string_view where = "model shape");

}  // namespace engine
