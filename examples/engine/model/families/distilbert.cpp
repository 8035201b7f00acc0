#include <engine/model/families/encoders.hpp>

#include <string>
#include <string_view>

// DistilBERT: BERT without token types and pooler. Its norms' epsilon is no setting.

namespace engine {
namespace {

constexpr slot slots[] = {attention_part("attention.q_lin", &block::query),
                          attention_part("attention.k_lin", &block::key),
                          attention_part("attention.v_lin", &block::value),
                          attention_part("attention.out_lin", &block::attention_out),
                          norm_part("sa_layer_norm", &block::attention_norm),
                          mlp_part("ffn.lin1", &block::up),
                          mlp_part("ffn.lin2", &block::down),
                          norm_part("output_layer_norm", &block::mlp_norm)};

[[nodiscard]] config read_distilbert(const json_object& keys) {
  return read_encoder(keys, architecture::distilbert,
                      {.layers = "n_layers",
                       .width = "dim",
                       .heads = "n_heads",
                       .hidden = "hidden_dim",
                       .activation = "activation",
                       .epsilon_key = "",
                       .epsilon = 1e-12,
                       .token_types = 0});
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("distilbert.")) stored.remove_prefix(11);
  if (stored == "embeddings.position_ids") return {};
  return {std::string(stored), false};
}

[[nodiscard]] bool is_unused(const knobs&, std::string_view name) { return is_head(name); }

[[nodiscard]] bool has_no_types(const gguf_reader& g) { return g.tensor("token_types.weight") == nullptr; }
constexpr gguf_family gguf{.architecture = "bert",
                           .layer_norm = true,
                           .rotary = false,
                           .names = encoder_gguf_names,
                           .honours = encoder_gguf_keys,
                           .is_of = has_no_types,
                           .complete = complete_encoder};

}  // namespace

constinit const family distilbert_family{
    .name = "DistilBERT",
    .model_type = "distilbert",
    .hugging_face_class = "DistilBertModel",
    .prefix = "distilbert.",
    .causal = false,
    .token_embedding = "embeddings.word_embeddings",
    .position_embedding = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .blocks = "transformer.layer.",
    .in_block = slots,
    // A table of sinusoidal positions is in the file, like a learned one.
    .keys =
        "n_layers dim n_heads hidden_dim activation vocab_size max_position_embeddings position_embedding_type "
        "is_decoder add_cross_attention sinusoidal_pos_embds tie_weights_ qa_dropout seq_classif_dropout "
        "architectures",
    .gguf = &gguf,
    .read_config = read_distilbert,
    .meaning_of = meaning_of,
    .is_unused = is_unused};

}  // namespace engine
