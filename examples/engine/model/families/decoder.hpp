#pragma once

#include <engine/files/json.hpp>
#include <engine/model/families/families.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What the families of decoders share: the usual tensors of a block, and the usual keys of config.json.
namespace engine {

/// Names as in Llama's files at Hugging Face. Which of them a model has is what its knobs say.
inline constexpr slot usual_slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_gated),
    norm_part("self_attn.q_norm", &block::query_norm, extent::query_norm),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    norm_part("self_attn.k_norm", &block::key_norm, extent::key_norm),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("post_attention_layernorm", &block::mlp_norm),
    mlp_part("mlp.gate_proj", &block::gate),
    mlp_part("mlp.up_proj", &block::up),
    mlp_part("mlp.down_proj", &block::down)};

/// The same with a mixture of experts in some or all layers.
inline constexpr slot mixture_slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_gated),
    norm_part("self_attn.q_norm", &block::query_norm, extent::query_norm),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    norm_part("self_attn.k_norm", &block::key_norm, extent::key_norm),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("post_attention_layernorm", &block::mlp_norm),
    mlp_part("mlp.gate_proj", &block::gate),
    mlp_part("mlp.up_proj", &block::up),
    mlp_part("mlp.down_proj", &block::down),
    router_part("mlp.gate"),
    expert_part("mlp.experts.*.gate_proj", &expert::gate),
    expert_part("mlp.experts.*.up_proj", &expert::up),
    expert_part("mlp.experts.*.down_proj", &expert::down)};

/// The keys that read_decoder reads.
inline constexpr std::string_view usual_keys =
    "num_hidden_layers hidden_size num_attention_heads num_key_value_heads intermediate_size head_dim vocab_size "
    "max_position_embeddings rms_norm_eps rope_theta rope_scaling rope_parameters partial_rotary_factor "
    "original_max_position_embeddings tie_word_embeddings hidden_act";

/// What a family takes where config.json has no key.
struct decoder_defaults {
  std::size_t kv_heads = 0;    ///< 0: as many as heads
  std::size_t head_width = 0;  ///< 0: width / heads
  double epsilon = 1e-6;
  double theta = 10000;
  bool tied = false;
  double rotary_share = 1;
  std::string_view epsilon_key = "rms_norm_eps";
  std::string_view activation_key = "hidden_act";
  std::string_view activation = "silu";
  std::string_view hidden_key = "intermediate_size";
  bool multimodal = false;           ///< as in rope_defaults
  std::string_view layer_type = {};  ///< of which rotary positions are read, if config.json has several
};

/// The usual extents and settings: knobs with one set of rotary positions for all layers.
/// Errors: missing or mistyped keys, and values that the engine does not support, by key and value.
[[nodiscard]] config read_decoder(const json_object& keys, architecture a, const decoder_defaults& d = {});

/// The activation that a name stands for. Errors: an unknown one, by key and name.
[[nodiscard]] activation read_any_activation(const json_object& keys, std::string_view key, std::string_view otherwise);

/// What read_rope takes where nothing is stated.
struct rope_defaults {
  std::size_t head_width = 0;
  double theta = 10000;
  double share = 1;  ///< of the features of a head
  bool half_split = true;
  std::string_view type = "default";
  bool multimodal = false;  ///< sections for images are stated; the positions of text are the usual ones
};

/// Rotary positions from rope_parameters (for all layers, or an object per layer type), rope_scaling, and the keys
/// outside. With `layer_type`, those of rope_parameters' object of that name, if there are such objects.
/// Errors: a type or key that the engine does not know; keys that contradict each other; a setting that is missing.
[[nodiscard]] rope_settings read_rope(const json_object& keys, const rope_defaults& d, std::size_t context,
                                      std::string_view layer_type = {});
/// Whether rope_parameters has an object for this layer type.
[[nodiscard]] bool has_rope_of(const json_object& keys, std::string_view layer_type);

/// layer_types, one of `known` per layer; nothing if the key is absent or null.
/// Errors: another number of types than layers; a type that is not known.
[[nodiscard]] std::optional<std::vector<std::string>> read_layer_types(const json_object& keys, std::size_t layers,
                                                                       std::string_view known);
/// A window: a positive whole number under the key, `otherwise` if it is absent, 0 (none) if it is null.
[[nodiscard]] std::size_t read_window(const json_object& keys, std::string_view key, std::size_t otherwise);
/// Any finite number, which may be 0. Null is `otherwise` too.
[[nodiscard]] float finite_number(const json_object& keys, std::string_view key, double otherwise);

/// A family's tensors without the prefix "model."; rotary frequencies are no weights.
[[nodiscard]] tensor_meaning usual_meaning(std::string_view stored);

/// The part of `whole` that consists of its rows [first, ...) of `in` elements; of a bias with in = 1.
[[nodiscard]] tensor_part row_range(std::string whole, std::vector<std::size_t> shape, std::size_t first,
                                    std::size_t in);
/// Splits "layers.3.self_attn.q_proj.weight" into "layers.3.", "self_attn.q_proj" and ".weight".
struct split_name {
  std::string_view before, name, after;
  std::size_t layer = 0;
};
[[nodiscard]] std::optional<split_name> split_block_name(std::string_view blocks, std::string_view name);

}  // namespace engine
