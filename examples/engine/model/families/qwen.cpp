#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>
#include <vector>

// Qwen2 and 2.5, Qwen3, and Qwen3's mixtures of experts.

namespace engine {
namespace {

/// Windows of Qwen: none without use_sliding_window; otherwise by layer_types, or from layer max_window_layers on.
void read_windows(const json_object& keys, config& c) {
  knobs& k = *c.knobs;
  const auto types = read_layer_types(keys, c.layers, "full_attention sliding_attention");
  const std::size_t window = keys.flag_or("use_sliding_window", false) ? read_window(keys, "sliding_window", 4096) : 0;
  const std::size_t first = keys.whole_number_or("max_window_layers", 28);
  for (std::size_t l = 0; l < c.layers; ++l) {
    const bool slides = types ? (*types)[l] == "sliding_attention" : l >= first;
    if (types && slides && window == 0)
      keys.refuse("key \"layer_types\" holds sliding_attention without a window",
                  "use_sliding_window true and a sliding_window, or full_attention alone");
    if (slides) k.layers[l].window = window;
  }
}

[[nodiscard]] config read_qwen2(const json_object& keys) {
  config c = read_decoder(keys, architecture::qwen2, {.kv_heads = 32});
  c.knobs->qkv_bias = true;
  read_windows(keys, c);
  return c;
}

[[nodiscard]] config read_qwen3(const json_object& keys) {
  config c = read_decoder(keys, architecture::qwen3, {.kv_heads = 32, .head_width = 128});
  c.knobs->query_key_norm = head_norm::per_head;
  c.knobs->qkv_bias = c.knobs->output_bias = keys.flag_or("attention_bias", false);
  read_windows(keys, c);
  return c;
}

[[nodiscard]] config read_qwen3_moe(const json_object& keys) {
  config c = read_decoder(keys, architecture::qwen3_moe, {.kv_heads = 4});
  knobs& k = *c.knobs;
  k.query_key_norm = head_norm::per_head;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mixture = {
      .router = {.experts = keys.whole_number_or("num_experts", keys.whole_number_or("num_local_experts", 128)),
                 .chosen = keys.whole_number_or("num_experts_per_tok", 8),
                 .renormalize = keys.flag_or("norm_topk_prob", false)},
      .hidden = keys.whole_number_or("moe_intermediate_size", 768)};
  const std::size_t step = keys.whole_number_or("decoder_sparse_step", 1);
  if (step == 0) keys.refuse("key \"decoder_sparse_step\" is 0", "at least 1");
  std::vector<std::size_t> dense;
  if (const json* const only = keys.find("mlp_only_layers")) {
    if (!only->is_array()) keys.refuse("key \"mlp_only_layers\" is " + type_of(*only), "a list of layers");
    for (const json& l : *only) {
      if (!l.is_number_unsigned()) keys.refuse("key \"mlp_only_layers\" holds " + type_of(l), "indices of layers");
      dense.push_back(l.get<std::size_t>());
    }
  }
  // Here a window is that of every layer.
  const std::size_t window = keys.flag_or("use_sliding_window", false) ? read_window(keys, "sliding_window", 4096) : 0;
  for (std::size_t l = 0; l < c.layers; ++l) {
    k.layers[l].window = window;
    k.layers[l].experts =
        k.mixture.router.experts != 0 && std::ranges::find(dense, l) == dense.end() && (l + 1) % step == 0;
  }
  return c;
}

constexpr std::string_view window_keys =
    "use_sliding_window sliding_window max_window_layers layer_types attention_bias";

constexpr gguf_family qwen2_gguf{.architecture = "qwen2", .attends_to_all = true};
constexpr gguf_family qwen3_gguf{.architecture = "qwen3", .attends_to_all = true};
constexpr gguf_family qwen3_moe_gguf{.architecture = "qwen3moe",
                                     .attends_to_all = true,
                                     .honours = ".expert_count .expert_used_count .expert_feed_forward_length",
                                     .states = R"({"norm_topk_prob": true})"};

}  // namespace

constinit const family qwen2_family{.name = "Qwen2",
                                    .model_type = "qwen2",
                                    .hugging_face_class = "Qwen2ForCausalLM",
                                    .prefix = "model.",
                                    .token_embedding = "embed_tokens",
                                    .blocks = "layers.",
                                    .in_block = usual_slots,
                                    .final_norm = "norm",
                                    .head = "lm_head",
                                    .keys = "use_sliding_window sliding_window max_window_layers layer_types",
                                    .gguf = &qwen2_gguf,
                                    .read_config = read_qwen2,
                                    .meaning_of = usual_meaning};

constinit const family qwen3_family{.name = "Qwen3",
                                    .model_type = "qwen3",
                                    .hugging_face_class = "Qwen3ForCausalLM",
                                    .prefix = "model.",
                                    .token_embedding = "embed_tokens",
                                    .blocks = "layers.",
                                    .in_block = usual_slots,
                                    .final_norm = "norm",
                                    .head = "lm_head",
                                    .keys = window_keys,
                                    .gguf = &qwen3_gguf,
                                    .read_config = read_qwen3,
                                    .meaning_of = usual_meaning};

constinit const family qwen3_moe_family{.name = "Qwen3-MoE",
                                        .model_type = "qwen3_moe",
                                        .hugging_face_class = "Qwen3MoeForCausalLM",
                                        .prefix = "model.",
                                        .token_embedding = "embed_tokens",
                                        .blocks = "layers.",
                                        .in_block = mixture_slots,
                                        .final_norm = "norm",
                                        .head = "lm_head",
                                        .keys =
                                            "use_sliding_window sliding_window attention_bias num_experts "
                                            "num_local_experts num_experts_per_tok norm_topk_prob "
                                            "moe_intermediate_size decoder_sparse_step mlp_only_layers",
                                        .gguf = &qwen3_moe_gguf,
                                        .read_config = read_qwen3_moe,
                                        .meaning_of = usual_meaning};

}  // namespace engine
