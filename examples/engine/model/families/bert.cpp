#include <engine/model/config_json.hpp>
#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/encoders.hpp>
#include <engine/model/families/families.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace engine {
namespace {

constexpr slot slots[] = {attention_part("attention.self.query", &block::query),
                          attention_part("attention.self.key", &block::key),
                          attention_part("attention.self.value", &block::value),
                          attention_part("attention.output.dense", &block::attention_out),
                          norm_part("attention.output.LayerNorm", &block::attention_norm),
                          mlp_part("intermediate.dense", &block::up),
                          mlp_part("output.dense", &block::down),
                          norm_part("output.LayerNorm", &block::mlp_norm)};

[[nodiscard]] config read_config(const json_object& keys) {
  if (!is_classifier(keys, true)) return read_encoder(keys, architecture::bert, {});
  config c = read_usual_extents(keys, architecture::bert);
  c.hidden = keys.whole_number("intermediate_size");
  c.token_types = keys.whole_number_or("type_vocab_size", 2);
  c.labels = label_names(keys).size();
  c.norm_epsilon = positive_number(keys, "layer_norm_eps", 1e-12);
  c.activation = read_activation(keys, "hidden_act", "gelu", relu_support::yes);
  if (const std::string positions = keys.text_or("position_embedding_type", "absolute"); positions != "absolute")
    keys.refuse("key \"position_embedding_type\" is \"" + positions + "\", which this engine does not support",
                "absolute");
  if (const std::string problem = keys.text_or("problem_type", "single_label_classification");
      problem != "single_label_classification")
    keys.refuse("key \"problem_type\" is \"" + problem + "\", which this engine does not support",
                "single_label_classification");
  must_be(keys, "is_decoder", false);
  must_be(keys, "add_cross_attention", false);
  return c;
}

void write_config(const config& c, nlohmann::ordered_json& keys) {
  keys["hidden_act"] = activation_name(c.activation);
  write_usual_extents(c, keys);
  keys["intermediate_size"] = c.hidden;
  keys["type_vocab_size"] = c.token_types;
  keys["layer_norm_eps"] = shortest(c.norm_epsilon);
  keys["num_labels"] = c.labels;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("bert.")) stored.remove_prefix(5);
  if (stored == "embeddings.position_ids" || stored == "embeddings.token_type_ids")
    return {};  // 0, 1, 2, ... and zeros
  for (const auto& [old_suffix, suffix] : {std::pair{std::string_view(".gamma"), ".weight"}, {".beta", ".bias"}})
    if (stored.ends_with(old_suffix))
      return {std::string(stored.substr(0, stored.size() - old_suffix.size())) + suffix, false};
  return {std::string(stored), false};
}

[[nodiscard]] bool is_unused(const knobs& k, std::string_view name) { return k.embeds && is_head(name); }

[[nodiscard]] knobs usual(const config&) {
  return {.norms = norm_place::after_sum,
          .rms = false,
          .final_norm = false,
          .qkv_bias = true,
          .output_bias = true,
          .mlp_bias = true,
          .gated = false};
}

[[nodiscard]] bool has_word_pieces(const gguf_reader& g) {
  return g.tensor("token_types.weight") != nullptr && g.keys().text_or("tokenizer.ggml.model", "bert") == "bert";
}
constexpr gguf_family gguf{.architecture = "bert",
                           .layer_norm = true,
                           .rotary = false,
                           .names = encoder_gguf_names,
                           .honours = encoder_gguf_keys,
                           .is_of = has_word_pieces,
                           .complete = complete_encoder};

}  // namespace

constinit const family bert_family{.name = "BERT",
                                   .model_type = "bert",
                                   .hugging_face_class = "BertForSequenceClassification",
                                   .prefix = "bert.",
                                   .causal = false,
                                   .token_embedding = "embeddings.word_embeddings",
                                   .position_embedding = "embeddings.position_embeddings",
                                   .type_embedding = "embeddings.token_type_embeddings",
                                   .embedding_norm = "embeddings.LayerNorm",
                                   .blocks = "encoder.layer.",
                                   .in_block = slots,
                                   .pooler = "pooler.dense",
                                   .classifier = "classifier",
                                   .keys = "architectures",
                                   .gguf = &gguf,
                                   .read_config = read_config,
                                   .write_config = write_config,
                                   .meaning_of = meaning_of,
                                   .usual = usual,
                                   .is_unused = is_unused};

}  // namespace engine
