#pragma once

#include <engine/model/config.hpp>
#include <engine/model/matrix_values.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// The parameters of a small reference transformer.
namespace engine {

/// A linear map y = W x + b, stored `out x in` or `in x out`.
struct linear {
  std::size_t out = 0;
  std::size_t in = 0;
  bool in_major = false;    ///< values are `in x out` (GPT-2's Conv1D) instead of `out x in`
  matrix_values values;     ///< [out * in]
  std::vector<float> bias;  ///< [out], or empty
  /// The contribution of absorbed inputs at each position, which files cannot store. `later_bias` applies beyond.
  std::vector<float> token_bias;  ///< [positions x out], or empty
  std::vector<float> later_bias;  ///< [out], or empty

  linear() = default;
  linear(std::size_t outputs, std::size_t inputs, bool stored_in_major, bool with_bias)
      : out(outputs), in(inputs), in_major(stored_in_major), values(outputs * inputs), bias(with_bias ? outputs : 0) {}

  [[nodiscard]] bool depends_on_position() const noexcept { return !token_bias.empty() || !later_bias.empty(); }
  /// Adds elements [first_out, first_out + rows.cols) of the position biases to rows of outputs, whose positions cycle
  /// from `first_position` to `first_position + period - 1`. Rows at positions without a bias are unchanged.
  void add_position_bias(precis::matrix_view<float> rows, std::size_t first_out, std::size_t first_position,
                         std::size_t period) const noexcept;

  /// Always `out x in`, independent of the storage. Of stored values, valid until the thread's next call for another map.
  [[nodiscard]] precis::weight_view view() const { return oriented<const float>(values.floats().data()); }
  /// To be written: from then on the values are floats.
  [[nodiscard]] precis::mutable_weight_view view() {
    values.to_floats();
    return oriented<float>(values.data());
  }

 private:
  template<class T>
  [[nodiscard]] precis::matrix_view<T> oriented(T* data) const noexcept {
    const auto o = static_cast<std::ptrdiff_t>(out), i = static_cast<std::ptrdiff_t>(in);
    return in_major ? precis::matrix_view<T>{data, out, in, 1, o} : precis::matrix_view<T>{data, out, in, i, 1};
  }
};

/// LayerNorm (scale and shift) or RMSNorm (scale alone, shift empty). Without a scale it only normalizes.
struct norm {
  std::vector<float> scale;  ///< [width]
  std::vector<float> shift;  ///< [width], or empty
  float offset = 0;          ///< added to the scale: 1 in families that store the scale minus 1
};

/// One expert of a mixture, or one MLP.
struct expert {
  linear gate;  ///< [hidden x width], input of the activation
  linear up;    ///< [hidden x width]
  linear down;  ///< [width x hidden]
};

/// One block. Which members a family has, and their names in files, is what its slots say; the others are empty.
struct block {
  norm attention_norm;                         ///< before attention, or after adding its output (BERT, OPT-350M)
  norm attention_post_norm;                    ///< of the attention output before it is added
  linear qkv;                                  ///< GPT-2: rows are query, key, value [3 width x width]
  linear query;                                ///< [heads * head width x width]; with an output gate twice as many rows
  linear key;                                  ///< [kv_heads * head width x width]
  linear value;                                ///< [kv_heads * head width x width]
  linear attention_out;                        ///< [width x heads * head width]
  norm query_norm, key_norm;                   ///< of a head, or of all heads
  std::vector<float> sinks;                    ///< [heads]
  linear mixer_in;                             ///< short convolution, Mamba-2: all that they read of a token
  linear mixer_query, mixer_key, mixer_value;  ///< delta net
  linear mixer_gate, mixer_write, mixer_decay;  ///< delta net: its rows z, b and a
  linear mixer_out;                             ///< [width x inner width]
  std::vector<float> conv_kernel;               ///< [channels x taps]
  std::vector<float> conv_bias;                 ///< [channels]
  std::vector<float> decay_log, step_bias;      ///< [heads] A_log and dt_bias
  std::vector<float> skip;                      ///< Mamba-2: [heads] D
  std::vector<float> mixer_norm;                ///< the gated norm's scale, without an offset
  norm mlp_norm;       ///< before the MLP, or after adding its output; Phi: none, the MLP shares attention's input
  norm mlp_post_norm;  ///< of the MLP output before it is added
  linear gate;         ///< [hidden x width], input of the activation
  linear up;           ///< [hidden x width]; without a gate, input of the activation
  linear down;         ///< [width x hidden]
  linear router;       ///< [experts x width]
  std::vector<float> router_correction;  ///< [experts], added to choose experts, not to weight them
  std::vector<expert> experts;
  linear shared_gate, shared_up, shared_down;  ///< the expert that every token uses
  linear shared_scale;                         ///< [1 x width], the logistic gate of that expert
  linear layer_gate;                           ///< Gemma 4: [layer_input_width x width]
  linear layer_projection;                     ///< Gemma 4: [width x layer_input_width]
  norm layer_post_norm;                        ///< Gemma 4
  std::vector<float> layer_scalar;             ///< Gemma 4: one number
};

/// All parameters of a model, and its shape. Also used for gradients with respect to all parameters.
struct weights {
  engine::config config;
  matrix_values token_embedding;          ///< [vocabulary x width], or x embedding_width
  std::vector<float> position_embedding;  ///< [context x width], OPT: [2 + context x width], or empty
  std::vector<float> type_embedding;      ///< BERT: [token_types x width]
  std::vector<float> relative_bias;       ///< MPNet, T5: [rows x heads]
  linear embedding_projection;            ///< OPT-350M: [width x embedding_width]
  matrix_values layer_embedding;          ///< Gemma 4: [layer_input_vocabulary x layers * layer_input_width]
  linear layer_projection;                ///< Gemma 4: [layers * layer_input_width x width]
  norm layer_norm;                        ///< Gemma 4: [layer_input_width]
  norm embedding_norm;                    ///< BERT
  std::vector<block> blocks;              ///< [layers]
  norm final_norm;                        ///< [width]; not BERT, not OPT-350M
  linear head_projection;                 ///< OPT-350M: [embedding_width x width]
  matrix_values head;                     ///< [vocabulary x width]; empty if tied, and for BERT
  std::vector<float> head_bias;           ///< Phi: [vocabulary]
  linear pooler;                          ///< BERT classifier: [width x width], followed by tanh
  linear classifier;                      ///< BERT classifier: [labels x width]
};

/// One stored tensor, under its name in the family's files without prefix: "h.0.attn.c_attn.weight".
template<class T>
struct tensor {
  std::string name;
  std::span<T> values;
  std::vector<std::size_t> shape;  ///< as stored: GPT-2's Conv1D maps are {in, out}, vectors have one extent
};

/// All tensors in file order. The views are valid as long as `w` is neither moved nor resized. Stored values become
/// floats. Errors: `w` is const and holds stored values (see to_floats).
[[nodiscard]] std::vector<tensor<float>> tensors(weights& w);
[[nodiscard]] std::vector<tensor<const float>> tensors(const weights& w);

/// Decodes everything that is stored.
void to_floats(weights& w);

/// One tensor, decoded only when it is read.
struct tensor_values {
  std::string name;
  std::vector<std::size_t> shape;              ///< as stored
  const std::vector<float>* vector = nullptr;  ///< its values, or:
  const matrix_values* matrix = nullptr;

  [[nodiscard]] std::size_t size() const noexcept { return matrix == nullptr ? vector->size() : matrix->size(); }
  [[nodiscard]] bool are_stored() const noexcept { return matrix != nullptr && matrix->are_stored(); }
  /// Valid until the thread's next call.
  [[nodiscard]] std::span<const float> read() const {
    return matrix == nullptr ? std::span<const float>(*vector) : matrix->floats();
  }
};

/// All tensors in file order.
[[nodiscard]] std::vector<tensor_values> all_values(const weights& w);

/// All parameters of this shape set to zero, including norms. GPT-2's maps are stored `in x out`, all others `out x
/// in`.
/// Errors: those of check(config).
[[nodiscard]] weights zeros(const config& shape);

/// The same with maps and tables that have no values.
[[nodiscard]] weights without_values(const config& shape);

/// Refuses parameters that do not match their shape or are not finite. The message names the tensor and the element.
void check(const weights& w);

}  // namespace engine
