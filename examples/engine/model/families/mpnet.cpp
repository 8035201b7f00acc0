#include <engine/model/families/encoders.hpp>

#include <string>
#include <string_view>

// MPNet: RoBERTa without token types, with a bias of scores by relative position.

namespace engine {
namespace {

constexpr slot slots[] = {attention_part("attention.attn.q", &block::query),
                          attention_part("attention.attn.k", &block::key),
                          attention_part("attention.attn.v", &block::value),
                          attention_part("attention.attn.o", &block::attention_out),
                          norm_part("attention.LayerNorm", &block::attention_norm),
                          mlp_part("intermediate.dense", &block::up),
                          mlp_part("output.dense", &block::down),
                          norm_part("output.LayerNorm", &block::mlp_norm)};

[[nodiscard]] config read_mpnet(const json_object& keys) {
  config c = read_encoder(keys, architecture::mpnet, {.token_types = 0});
  // The padding token and the number of buckets are no settings: only the table's size is one.
  number_after_padding(keys, c, 1);
  const std::size_t rows = keys.whole_number_or("relative_attention_num_buckets", 32);
  if (rows < 32)
    keys.refuse("key \"relative_attention_num_buckets\" is " + std::to_string(rows),
                "at least 32, the buckets that MPNet uses");
  c.knobs->relative_bias = {.rows = rows, .buckets = 32, .distance = 128};
  return c;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("mpnet.")) stored.remove_prefix(6);
  if (stored == "embeddings.position_ids") return {};
  return {std::string(stored), false};
}

[[nodiscard]] bool is_unused(const knobs&, std::string_view name) { return is_head(name); }

}  // namespace

constinit const family mpnet_family{
    .name = "MPNet",
    .model_type = "mpnet",
    .hugging_face_class = "MPNetModel",
    .prefix = "mpnet.",
    .causal = false,
    .token_embedding = "embeddings.word_embeddings",
    .position_embedding = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .relative_bias = "encoder.relative_attention_bias",
    .blocks = "encoder.layer.",
    .in_block = slots,
    .keys =
        "num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size max_position_embeddings "
        "layer_norm_eps hidden_act position_embedding_type is_decoder add_cross_attention "
        "relative_attention_num_buckets architectures",
    .read_config = read_mpnet,
    .meaning_of = meaning_of,
    .is_unused = is_unused};

}  // namespace engine
