#pragma once

#include <engine/model/delta_net.hpp>
#include <engine/model/mamba2.hpp>
#include <engine/model/rope.hpp>
#include <engine/model/router.hpp>

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

/// What models differ in, as settings: a family is a row of them, read from its config.json.
namespace engine {

enum class activation { gelu_tanh, gelu_erf, silu, relu, relu_squared };

/// Where a block's norms are.
enum class norm_place {
  before,     ///< attention and MLP read normalized rows
  around,     ///< and their outputs are normalized before they are added (Gemma)
  branch,     ///< only the outputs are normalized before they are added (OLMo-2)
  after_sum,  ///< the residual stream is normalized after adding (OPT-350M)
};

/// Norms of queries and keys, before the rotation.
enum class head_norm {
  none,
  per_head,  ///< over each head
  whole,     ///< over all heads together
};

/// What mixes the positions of a layer.
enum class mixer {
  attention,
  short_conv,           ///< LFM2
  delta_net,            ///< Qwen3-Next, Qwen3.5
  mamba,                ///< Mamba-2
  attention_and_mamba,  ///< both read the same rows, and their outputs are added (Falcon-H1)
};
[[nodiscard]] constexpr bool attends(mixer m) noexcept {
  return m == mixer::attention || m == mixer::attention_and_mamba;
}
[[nodiscard]] constexpr bool recurs(mixer m) noexcept { return m != mixer::attention; }

/// A mixture of experts. Without experts there is none.
struct mixture {
  router_settings router = {};
  std::size_t hidden = 0;  ///< width inside an expert
  bool biased_router = false;
  bool biased = false;            ///< the experts' maps have biases
  std::size_t shared_hidden = 0;  ///< width of an expert that every token uses; 0: none
  bool shared_gate = false;       ///< and which a logistic gate scales
  bool operator==(const mixture&) const = default;
};

inline constexpr std::size_t no_rope = std::numeric_limits<std::size_t>::max();
inline constexpr std::size_t own_keys = std::numeric_limits<std::size_t>::max();
inline constexpr std::size_t no_padding = std::numeric_limits<std::size_t>::max();

/// A bias of attention scores per head that depends on how far the key is from the query, shared by all layers
/// (Raffel et al. 2020, arXiv:1910.10683). Distances fall into buckets, half of them for later keys.
struct relative_bias {
  std::size_t rows = 0;        ///< of the table; 0: no bias
  std::size_t buckets = 32;    ///< that are used
  std::size_t distance = 128;  ///< from which on the last bucket is used
  bool operator==(const relative_bias&) const = default;
};

/// The settings that may vary by layer.
struct layer_settings {
  engine::mixer mixer = mixer::attention;
  std::size_t window = 0;      ///< a query sees this many positions, itself included (an encoder's is in the middle)
  std::size_t rope = 0;        ///< index into knobs::ropes, or no_rope
  std::size_t head_width = 0;  ///< 0 in a layer without attention, as are kv_heads
  std::size_t kv_heads = 0;
  std::size_t hidden = 0;            ///< width inside a dense MLP
  bool experts = false;              ///< a mixture instead of a dense MLP
  std::size_t kv_source = own_keys;  ///< the earlier layer whose keys and values it reads
  bool value_is_key = false;         ///< values are keys before their norm and rotation
  bool attention_norm = true;        ///< attention has a norm of its own (not in ModernBERT's first layer)
  bool operator==(const layer_settings&) const = default;
};

/// The settings of a model beside its extents.
struct knobs {
  norm_place norms = norm_place::before;
  bool rms = true;             ///< RMSNorm instead of LayerNorm
  bool norm_plus_one = false;  ///< norms multiply by 1 + w
  bool norm_scale = true;      ///< norms have a scale, and LayerNorms a shift; without, they only normalize
  bool norm_shift = true;      ///< LayerNorms have a shift; without one they still subtract the mean
  bool final_norm = true;

  bool fused = false;  ///< one matrix computes query, key and value (GPT-2)
  bool qkv_bias = false, output_bias = false, mlp_bias = false, head_bias = false;
  head_norm query_key_norm = head_norm::none;
  bool value_norm = false;    ///< values are normalized per head, without a weight
  bool output_gate = false;   ///< queries come with a gate of the attention output, per head
  bool sinks = false;         ///< a learned logit per head takes part in the softmax
  float attention_scale = 0;  ///< of scores; 0: 1 / sqrt(head width)
  float score_cap = 0;        ///< c tanh(s / c); 0: none
  float qkv_clip = 0;         ///< queries, keys and values are limited to this size; 0: none
  float key_scale = 1;
  float temperature_slope = 0;  ///< queries times 1 + slope ln(1 + floor(position / temperature_context))
  std::size_t temperature_context = 0;

  bool parallel = false;     ///< attention and MLP read the same residual
  bool shared_norm = false;  ///< and the same normalized rows
  bool gated = true;         ///< the MLP has a gate
  float gate_limit = 0;      ///< limited gate: (up + 1) g logistic(1.702 g), |up|, g <= limit; 0: activation(gate) up
  float gate_scale = 1, down_scale = 1;
  engine::mixture mixture = {};

  std::size_t short_conv_width = 0;  ///< taps of the short convolutions
  delta_net_shape delta_net = {};
  mamba2_settings mamba = {};
  bool conv_bias = false, mixer_in_bias = false, mixer_out_bias = false;  ///< of recurrent mixers
  float mixer_in_scale = 1, mixer_out_scale = 1;

  float embedding_scale = 1;
  float residual_scale = 1;  ///< of what is added
  float attention_in_scale = 1, attention_out_scale = 1;
  float logit_scale = 1;
  float logit_cap = 0;
  std::size_t embedding_width = 0;  ///< of the table, if it is projected to the width (OPT-350M)

  std::size_t layer_input_width = 0;       ///< per-layer inputs (Gemma 4); 0: none
  std::size_t layer_input_vocabulary = 0;  ///< rows of their table
  bool layer_scalars = false;              ///< each layer's output is multiplied by a number

  bool embeds = false;                       ///< an encoder without a classifier: its result is an embedding
  engine::relative_bias relative_bias = {};  ///< encoders
  /// Encoders: this token takes the row of its id in the position table, the n-th other one the n-th row after that.
  std::size_t padding = no_padding;

  std::vector<rope_settings> ropes = {};
  std::vector<layer_settings> layers = {};
  bool mxfp4 = false;          ///< files hold the experts in MXFP4
  std::string published = {};  ///< the config.json that it was read from
  bool operator==(const knobs&) const = default;
};

}  // namespace engine
