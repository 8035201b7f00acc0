#include <engine/model/families/encoders.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

// RoBERTa and XLM-RoBERTa: BERT with positions that begin after that of the padding token.

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

template<architecture A>
[[nodiscard]] config read_roberta(const json_object& keys) {
  config c = read_encoder(keys, A, {});
  number_after_padding(keys, c, keys.whole_number_or("pad_token_id", 1));
  return c;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("roberta.")) stored.remove_prefix(8);
  if (stored == "embeddings.position_ids" || stored == "embeddings.token_type_ids") return {};
  return {std::string(stored), false};
}

[[nodiscard]] bool is_unused(const knobs&, std::string_view name) { return is_head(name); }

/// Files have no rows for the padding token and those before it.
void complete_gguf(const gguf_reader& g, json& config) {
  complete_encoder(g, config);
  const std::size_t padding = g.keys().whole_number_or("tokenizer.ggml.padding_token_id", 1);
  if (padding > 1000) g.keys().refuse("tokenizer.ggml.padding_token_id", "one of the first tokens");
  config["pad_token_id"] = padding;
  config["max_position_embeddings"] = config["max_position_embeddings"].get<std::size_t>() + padding + 1;
}
[[nodiscard]] bool has_bytes(const gguf_reader& g) { return g.keys().text_or("tokenizer.ggml.model", "") == "gpt2"; }
constexpr gguf_family gguf_of_bytes{.architecture = "bert",
                                    .layer_norm = true,
                                    .rotary = false,
                                    .names = encoder_gguf_names,
                                    .honours = encoder_gguf_keys,
                                    .is_of = has_bytes,
                                    .complete = complete_gguf};
[[nodiscard]] bool has_pieces(const gguf_reader& g) { return g.keys().text_or("tokenizer.ggml.model", "") == "t5"; }
constexpr gguf_family gguf_of_pieces{.architecture = "bert",
                                     .layer_norm = true,
                                     .rotary = false,
                                     .names = encoder_gguf_names,
                                     .honours = encoder_gguf_keys,
                                     .is_of = has_pieces,
                                     .complete = complete_gguf};

[[nodiscard]] constexpr family roberta_like(std::string_view name, std::string_view type, std::string_view published,
                                            config (*read)(const json_object&), const gguf_family* gguf) {
  return {.name = name,
          .model_type = type,
          .hugging_face_class = published,
          .prefix = "roberta.",
          .causal = false,
          .token_embedding = "embeddings.word_embeddings",
          .position_embedding = "embeddings.position_embeddings",
          .type_embedding = "embeddings.token_type_embeddings",
          .embedding_norm = "embeddings.LayerNorm",
          .blocks = "encoder.layer.",
          .in_block = slots,
          .keys =
              "num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size "
              "max_position_embeddings type_vocab_size layer_norm_eps hidden_act position_embedding_type is_decoder "
              "add_cross_attention pad_token_id architectures",
          .gguf = gguf,
          .read_config = read,
          .meaning_of = meaning_of,
          .is_unused = is_unused};
}

}  // namespace

constinit const family roberta_family =
    roberta_like("RoBERTa", "roberta", "RobertaModel", read_roberta<architecture::roberta>, &gguf_of_bytes);
constinit const family xlm_roberta_family = roberta_like("XLM-RoBERTa", "xlm-roberta", "XLMRobertaModel",
                                                         read_roberta<architecture::xlm_roberta>, &gguf_of_pieces);

}  // namespace engine
