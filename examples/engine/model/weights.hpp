#pragma once

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

/// A small reference transformer that offers every capability of precis/model/concepts.hpp.
namespace engine {

enum class architecture {
  gpt2,   ///< pre-LayerNorm with biases, learned positions, fused query-key-value map, GELU
  llama,  ///< RMSNorm, rotary positions (adjacent pairs), SwiGLU, grouped-query attention, no biases
  opt,    ///< pre-LayerNorm with biases, learned positions from row 2 on, separate query, key and value maps, ReLU
  phi,  ///< LayerNorm with biases, attention and MLP side by side on one norm, partly rotary (halves), a head with bias
  bert,  ///< post-LayerNorm with biases, learned positions, token types, attention to both sides, a classifier on top
};

enum class activation { gelu_tanh, gelu_erf, silu, relu };

/// The shape of a model. Loaders fill it from a file and call `check`.
struct config {
  engine::architecture architecture = engine::architecture::gpt2;
  std::size_t layers = 0;
  std::size_t width = 0;     ///< of the residual stream
  std::size_t heads = 0;     ///< query heads; divides width
  std::size_t kv_heads = 0;  ///< key and value heads; divides heads. All but Llama and Phi: equal to heads
  std::size_t hidden = 0;    ///< width inside the MLP
  std::size_t vocabulary = 0;
  std::size_t context = 0;  ///< longest sequence
  float norm_epsilon = 1e-5f;
  float rope_theta = 10000.f;    ///< Llama and Phi
  std::size_t rotary_width = 0;  ///< Phi: features of a head that turn. All others: 0, which is all or none of them
  bool tied_head = true;         ///< the head is the token embedding; `weights::head` is empty
  engine::activation activation = engine::activation::gelu_tanh;  ///< Llama: silu
  std::size_t token_types = 0;                                    ///< BERT only
  std::size_t labels = 0;                                         ///< BERT only: what the classifier tells apart

  [[nodiscard]] std::size_t head_width() const noexcept { return heads == 0 ? 0 : width / heads; }
  [[nodiscard]] std::size_t kv_width() const noexcept { return head_width() * kv_heads; }
  bool operator==(const config&) const = default;
};

/// A linear map y = W x + b, stored either way round.
struct linear {
  std::size_t out = 0;
  std::size_t in = 0;
  bool in_major = false;      ///< values are `in x out` (GPT-2's Conv1D) instead of `out x in`
  std::vector<float> values;  ///< [out * in]
  std::vector<float> bias;    ///< [out], or empty
  /// What absorbed inputs add at each position; files have no place for it. Positions beyond have `later_bias`.
  std::vector<float> token_bias;  ///< [positions x out], or empty
  std::vector<float> later_bias;  ///< [out], or empty

  linear() = default;
  linear(std::size_t outputs, std::size_t inputs, bool stored_in_major, bool with_bias)
      : out(outputs), in(inputs), in_major(stored_in_major), values(outputs * inputs), bias(with_bias ? outputs : 0) {}

  [[nodiscard]] bool depends_on_position() const noexcept { return !token_bias.empty() || !later_bias.empty(); }
  /// Adds rows [first_out, first_out + out.cols) of the position's bias to rows of outputs, whose positions run from
  /// `first_position` to `first_position + period - 1` again and again. Positions that have none stay as they are.
  void add_position_bias(precis::matrix_view<float> out, std::size_t first_out, std::size_t first_position,
                         std::size_t period) const noexcept;

  /// Always `out x in`, whatever the storage.
  [[nodiscard]] precis::weight_view view() const noexcept { return oriented<const float>(values.data()); }
  [[nodiscard]] precis::mutable_weight_view view() noexcept { return oriented<float>(values.data()); }

 private:
  template<class T>
  [[nodiscard]] precis::matrix_view<T> oriented(T* data) const noexcept {
    const auto o = static_cast<std::ptrdiff_t>(out), i = static_cast<std::ptrdiff_t>(in);
    return in_major ? precis::matrix_view<T>{data, out, in, 1, o} : precis::matrix_view<T>{data, out, in, i, 1};
  }
};

/// LayerNorm (scale and shift) or RMSNorm (scale alone, shift empty).
struct norm {
  std::vector<float> scale;  ///< [width]
  std::vector<float> shift;  ///< [width], or empty
};

/// One block. Which maps a family uses is in family.cpp; the others are empty.
struct block {
  norm attention_norm;   ///< BERT: after the attention was added to the stream; else before it
  linear qkv;            ///< GPT-2: rows are query, key, value [3 width x width]
  linear query;          ///< [width x width]
  linear key;            ///< [kv_width x width]
  linear value;          ///< [kv_width x width]
  linear attention_out;  ///< [width x width]
  norm mlp_norm;         ///< BERT: after the MLP was added to the stream; Phi: none, it reads what attention reads
  linear gate;           ///< Llama: [hidden x width], goes through the activation
  linear up;             ///< [hidden x width]; without a gate it goes through the activation
  linear down;           ///< [width x hidden]
};

/// Every parameter of a model, and its shape. Also the shape of a gradient with respect to every parameter.
struct weights {
  engine::config config;
  std::vector<float> token_embedding;     ///< [vocabulary x width]
  std::vector<float> position_embedding;  ///< [context x width], OPT: [2 + context x width], Llama: empty
  std::vector<float> type_embedding;      ///< BERT: [token_types x width]
  norm embedding_norm;                    ///< BERT
  std::vector<block> blocks;              ///< [layers]
  norm final_norm;                        ///< all but BERT
  std::vector<float> head;                ///< [vocabulary x width], or empty when tied, or a BERT's
  std::vector<float> head_bias;           ///< Phi: [vocabulary]
  linear pooler;                          ///< BERT: [width x width], what the classifier reads goes through it and tanh
  linear classifier;                      ///< BERT: [labels x width]
};

/// One stored tensor, under the name its model family's files use, without prefix: "h.0.attn.c_attn.weight".
template<class T>
struct tensor {
  std::string name;
  std::span<T> values;
  std::vector<std::size_t> shape;  ///< as stored: GPT-2's Conv1D maps are {in, out}, vectors have one extent
};

/// Every tensor in file order. The views last as long as `w` is neither moved nor resized.
[[nodiscard]] std::vector<tensor<float>> tensors(weights& w);
[[nodiscard]] std::vector<tensor<const float>> tensors(const weights& w);

/// All parameters of this shape, at zero (norms too). GPT-2's maps are stored `in x out`, all others `out x in`.
/// Errors: those of check(config).
[[nodiscard]] weights zeros(const config& shape);

/// Refuses a shape no model can have: a zero extent, heads that do not divide the width, an odd rotary head width.
void check(const config& shape);

/// Refuses parameters that do not fit their shape, or are not finite; names the tensor and the element.
void check(const weights& w);

}  // namespace engine
