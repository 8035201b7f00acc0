#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/encoders.hpp>

#include <nlohmann/json.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

// ModernBERT: norms before, rotary positions with a base for layers that see all positions and another for those with
// a window, a gated MLP. Files hold query, key and value in one map, and both inputs of the gate in another.

namespace engine {
namespace {

constexpr slot slots[] = {norm_part("attn_norm", &block::attention_norm),
                          attention_part("attn.q", &block::query),
                          attention_part("attn.k", &block::key),
                          attention_part("attn.v", &block::value),
                          attention_part("attn.Wo", &block::attention_out),
                          norm_part("mlp_norm", &block::mlp_norm),
                          mlp_part("mlp.gate", &block::gate),
                          mlp_part("mlp.up", &block::up),
                          mlp_part("mlp.Wo", &block::down)};

[[nodiscard]] config read_modernbert(const json_object& keys) {
  config c =
      read_encoder(keys, architecture::modernbert,
                   {.activation = "hidden_activation", .epsilon_key = "norm_eps", .epsilon = 1e-5, .token_types = 0});
  knobs& k = *c.knobs;
  k.norms = norm_place::before;
  k.final_norm = true;
  k.gated = true;
  k.norm_shift = keys.flag_or("norm_bias", false);
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);

  const std::size_t every = keys.whole_number_or("global_attn_every_n_layers", 3);
  if (every == 0) keys.refuse("key \"global_attn_every_n_layers\" is 0", "at least 1");
  const std::size_t window = keys.whole_number_or("local_attention", 128) / 2 * 2 + 1;
  const double global = keys.number_or("global_rope_theta", 160000), local = keys.number_or("local_rope_theta", 10000);
  const std::size_t head = c.width / c.heads;
  k.ropes = {read_rope(keys, {.head_width = head, .theta = global}, c.context, "full_attention"),
             read_rope(keys, {.head_width = head, .theta = local}, c.context, "sliding_attention")};
  if (keys.find("local_rope_theta") == nullptr && keys.contains("local_rope_theta") &&
      !has_rope_of(keys, "sliding_attention"))
    k.ropes[1] = k.ropes[0];  // null: the same
  const auto types = read_layer_types(keys, c.layers, "full_attention sliding_attention");
  for (std::size_t i = 0; i < c.layers; ++i) {
    const bool is_local = types ? (*types)[i] == "sliding_attention" : i % every != 0;
    k.layers[i].rope = is_local ? 1 : 0;
    k.layers[i].window = is_local ? window : 0;
    k.layers[i].attention_norm = i != 0;
  }
  return c;
}

[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const auto s = split_block_name("layers.", name);
  if (!s || s->layer >= c.layers) return std::nullopt;
  const bool weight = s->after == ".weight";
  const auto part = [&](std::string_view whole, std::size_t rows, std::size_t first) {
    return row_range(std::string(s->before) + std::string(whole) + std::string(s->after),
                     weight ? std::vector<std::size_t>{rows, c.width} : std::vector<std::size_t>{rows}, first,
                     weight ? c.width : 1);
  };
  const std::size_t hidden = k.layers[s->layer].hidden;
  if (s->name == "attn.q") return part("attn.Wqkv", 3 * c.width, 0);
  if (s->name == "attn.k") return part("attn.Wqkv", 3 * c.width, c.width);
  if (s->name == "attn.v") return part("attn.Wqkv", 3 * c.width, 2 * c.width);
  if (s->name == "mlp.gate") return part("mlp.Wi", 2 * hidden, 0);
  if (s->name == "mlp.up") return part("mlp.Wi", 2 * hidden, hidden);
  return std::nullopt;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  return {std::string(stored), false};
}

[[nodiscard]] bool is_unused(const knobs&, std::string_view name) { return is_head(name); }

void complete_gguf(const gguf_reader& g, json& config) {
  complete_encoder(g, config);
  config["global_rope_theta"] = config["rope_theta"];
  config["local_rope_theta"] = g.number_or(".rope.freq_base_swa", 10000);
  config.erase("rope_theta");
  config["local_attention"] = g.whole_or(".attention.sliding_window", 128);
  config["global_attn_every_n_layers"] = g.whole_or(".attention.sliding_window_pattern", 3);
}
constexpr gguf_family gguf{.architecture = "modern-bert",
                           .layer_norm = true,
                           .whole_heads = true,
                           .fused_qkv = true,
                           .fused_gate_up = true,
                           .honours =
                               ".attention.causal .pooling_type .attention.sliding_window .hidden_activation "
                               ".attention.sliding_window_pattern .rope.freq_base_swa",
                           .complete = complete_gguf};

}  // namespace

constinit const family modernbert_family{
    .name = "ModernBERT",
    .model_type = "modernbert",
    .hugging_face_class = "ModernBertModel",
    .prefix = "model.",
    .causal = false,
    .token_embedding = "embeddings.tok_embeddings",
    .embedding_norm = "embeddings.norm",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "final_norm",
    .keys =
        "num_hidden_layers hidden_size num_attention_heads intermediate_size vocab_size max_position_embeddings "
        "norm_eps norm_bias hidden_activation attention_bias mlp_bias global_attn_every_n_layers local_attention "
        "global_rope_theta local_rope_theta rope_parameters layer_types position_embedding_type is_decoder "
        "add_cross_attention architectures layer_norm_eps classifier_activation classifier_bias "
        "classifier_pooling decoder_bias deterministic_flash_attn mlp_dropout sparse_pred_ignore_index "
        "sparse_prediction reference_compile repad_logits_with_grad embedding_dropout",
    .gguf = &gguf,
    .read_config = read_modernbert,
    .meaning_of = meaning_of,
    .part_of = part_of,
    .is_unused = is_unused};

}  // namespace engine
