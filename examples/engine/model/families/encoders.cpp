#include <engine/model/families/encoders.hpp>

#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <precis/core/shown.hpp>

#include <nlohmann/json.hpp>

#include <string>

namespace engine {

bool is_classifier(const json_object& keys, bool otherwise) {
  const json* const found = keys.find("architectures");
  if (found == nullptr) return otherwise;
  bool classifies = false;
  for (const json& name : *found) {
    const std::string text = name.is_string() ? name.get<std::string>() : type_of(name);
    if (text.ends_with("ForSequenceClassification")) {
      classifies = true;
      continue;
    }
    bool known = false;
    for (const std::string_view end : {"Model", "ForMaskedLM", "ForPreTraining", "ForConditionalGeneration"})
      known = known || text.ends_with(end);
    if (!known)
      keys.refuse("key \"architectures\" holds \"" + precis::shown(text) + "\", which this engine does not support",
                  "a model that embeds texts, such as BertModel");
  }
  return classifies;
}

config read_encoder(const json_object& keys, architecture a, const encoder_defaults& d) {
  if (is_classifier(keys, false))
    keys.refuse("key \"architectures\" names a classifier, which this engine supports for model type bert alone",
                "a model that embeds texts, such as BertModel");
  config c{.architecture = a};
  c.layers = keys.whole_number(d.layers);
  c.width = keys.whole_number(d.width);
  c.heads = c.kv_heads = keys.whole_number(d.heads);
  c.hidden = keys.whole_number(d.hidden);
  c.vocabulary = keys.whole_number("vocab_size");
  c.context = keys.whole_number(d.context);
  if (c.layers == 0 || c.layers > (std::size_t{1} << 16))
    keys.refuse("key \"" + std::string(d.layers) + "\" is " + std::to_string(c.layers), "1 to 2^16");
  if (c.heads == 0 || c.width % c.heads != 0)
    keys.refuse("key \"" + std::string(d.width) + "\" is " + std::to_string(c.width) + " with " +
                    std::to_string(c.heads) + " heads",
                "a multiple of the heads");
  if (d.token_types != 0) c.token_types = keys.whole_number_or("type_vocab_size", d.token_types);
  c.norm_epsilon =
      d.epsilon_key.empty() ? static_cast<float>(d.epsilon) : positive_number(keys, d.epsilon_key, d.epsilon);
  c.activation = read_any_activation(keys, d.activation, "gelu");
  if (const std::string positions = keys.text_or("position_embedding_type", "absolute"); positions != "absolute")
    keys.refuse(
        "key \"position_embedding_type\" is \"" + precis::shown(positions) + "\", which this engine does not support",
        "absolute");
  must_be(keys, "is_decoder", false);
  must_be(keys, "add_cross_attention", false);
  knobs k{.norms = norm_place::after_sum,
          .rms = false,
          .final_norm = false,
          .qkv_bias = true,
          .output_bias = true,
          .mlp_bias = true,
          .gated = false,
          .embeds = true};
  k.layers.assign(c.layers,
                  {.rope = no_rope, .head_width = c.width / c.heads, .kv_heads = c.heads, .hidden = c.hidden});
  c.knobs = std::move(k);
  return c;
}

void complete_encoder(const gguf_reader& g, json& config) {
  if (g.keys().flag_or(g.key(".attention.causal"), false)) g.keys().refuse(g.key(".attention.causal"), "false");
  if (const std::size_t pooled = g.whole_or(".pooling_type", 1); pooled > 2)
    g.keys().refuse(g.key(".pooling_type"), "1, the mean of a text's rows, or 2, the first of them");
  config["architectures"] = {"BertModel"};  // no classifier
  const gguf_tensor* const types = g.tensor("token_types.weight");
  if (types != nullptr) config["type_vocab_size"] = types->shape.front();
  const std::string act = std::string(g.keys().text_or(g.key(".hidden_activation"), "gelu"));
  config["hidden_activation"] = act;
}

void number_after_padding(const json_object& keys, config& c, std::size_t padding) {
  if (c.context <= padding + 1)
    keys.refuse("key \"max_position_embeddings\" is " + std::to_string(c.context) + " with a padding token of " +
                    std::to_string(padding),
                "more than " + std::to_string(padding + 1) + ": positions begin there");
  c.context -= padding + 1;
  c.knobs->padding = padding;
}

bool is_head(std::string_view name) noexcept {
  for (const std::string_view part : {"pooler.", "cls.", "lm_head.", "vocab_", "head.", "decoder."})
    if (name.starts_with(part)) return true;
  return false;
}

}  // namespace engine
