#pragma once

#include <engine/files/json.hpp>
#include <engine/model/families/families.hpp>

#include <cstddef>
#include <string_view>

/// What the families of sentence encoders share.
namespace engine {

/// Whether config.json's architectures name a classifier of texts; `otherwise` if it has no such key.
/// Errors: a model for another task, such as the classification of tokens.
[[nodiscard]] bool is_classifier(const json_object& keys, bool otherwise);

/// What a family takes where config.json has no key, and what the key's names are.
struct encoder_defaults {
  std::string_view layers = "num_hidden_layers", width = "hidden_size", heads = "num_attention_heads",
                   hidden = "intermediate_size", context = "max_position_embeddings", activation = "hidden_act";
  std::string_view epsilon_key = "layer_norm_eps";
  double epsilon = 1e-12;
  std::size_t token_types = 2;  ///< 0: the family has none
};

/// The settings of a BERT without a classifier: norms after adding, biases, learned positions, no gate in the MLP.
/// Errors: missing or mistyped keys; values that the engine does not support, by key and value; a classifier.
[[nodiscard]] config read_encoder(const json_object& keys, architecture a, const encoder_defaults& d);

/// llama.cpp's names where norms follow the sums.
inline constexpr name_pair encoder_gguf_names[] = {{"attn_norm", "attn_output_norm"},
                                                   {"ffn_norm", "layer_output_norm"}};
inline constexpr std::string_view encoder_gguf_keys = ".attention.causal .pooling_type";
/// What all encoders' files have. Errors: attention to earlier positions alone; another pooling than the mean and the first row.
void complete_encoder(const gguf_reader& file, json& config);

/// Numbers the positions of RoBERTa and its relatives: from padding + 1, so that the table has as many rows more.
/// Errors: a table without other rows.
void number_after_padding(const json_object& keys, config& c, std::size_t padding);

/// Whether a tensor belongs to a head that an embedding does not use: a pooler, or one for predicting tokens.
[[nodiscard]] bool is_head(std::string_view name) noexcept;

}  // namespace engine
