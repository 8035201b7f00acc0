#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

// Mistral, Mixtral and Ministral 3.

namespace engine {
namespace {

void read_windows(const json_object& keys, config& c, std::size_t otherwise) {
  const std::size_t window = read_window(keys, "sliding_window", otherwise);
  for (layer_settings& l : c.knobs->layers) l.window = window;
}

[[nodiscard]] config read_mistral(const json_object& keys) {
  config c = read_decoder(keys, architecture::mistral, {.kv_heads = 8});
  read_windows(keys, c, 4096);
  return c;
}

[[nodiscard]] config read_mixtral(const json_object& keys) {
  config c = read_decoder(keys, architecture::mixtral, {.kv_heads = 8, .epsilon = 1e-5, .theta = 1e6});
  c.knobs->mixture = {
      .router = {.experts = keys.whole_number_or("num_local_experts", keys.whole_number_or("num_experts", 8)),
                 .chosen = keys.whole_number_or("num_experts_per_tok", 2),
                 .renormalize = true},
      .hidden = c.hidden};
  for (layer_settings& l : c.knobs->layers) l.experts = true;
  read_windows(keys, c, 0);
  return c;
}

[[nodiscard]] config read_ministral3(const json_object& keys) {
  config c =
      read_decoder(keys, architecture::ministral3, {.kv_heads = 8, .head_width = 128, .epsilon = 1e-5, .theta = 1e6});
  read_windows(keys, c, 0);
  knobs& k = *c.knobs;
  if (keys.find("rope_parameters") == nullptr && keys.find("rope_scaling") == nullptr) {
    rope_settings& r = k.ropes.front();
    r = {.type = rope_type::yarn,
         .theta = 1e6,
         .head_width = r.head_width,
         .rotary_width = r.head_width,
         .factor = 16,
         .original_context = 16384,
         .mscale = 1,
         .mscale_all = 1};
    k.temperature_slope = 0.1f;
    k.temperature_context = 16384;
  }
  for (const char* const name : {"rope_parameters", "rope_scaling"})
    if (const json* const found = keys.find(name)) {
      const json_object rope(*found, keys.where());
      k.temperature_slope = finite_number(rope, "llama_4_scaling_beta", 0);
      k.temperature_context = rope.whole_number_or("original_max_position_embeddings", c.context);
      if (k.temperature_context == 0)
        keys.refuse("key \"original_max_position_embeddings\" is 0", "the context before scaling");
    }
  return c;
}

constexpr slot mixtral_slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_width),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("post_attention_layernorm", &block::mlp_norm),
    router_part("block_sparse_moe.gate"),
    expert_part("block_sparse_moe.experts.*.w1", &expert::gate),
    expert_part("block_sparse_moe.experts.*.w3", &expert::up),
    expert_part("block_sparse_moe.experts.*.w2", &expert::down)};

constexpr name_pair mistral_keys[] = {{".attention.sliding_window", "sliding_window"}};
[[nodiscard]] bool has_experts(const gguf_reader& g) { return g.whole_or(".expert_count", 0) != 0; }
constexpr gguf_family mistral_gguf{.architecture = "llama",
                                   .adjacent_pairs = true,
                                   .attends_to_all = true,
                                   .keys = mistral_keys,
                                   .states = R"({"sliding_window": null})"};
constexpr gguf_family mixtral_gguf{.architecture = "llama",
                                   .adjacent_pairs = true,
                                   .attends_to_all = true,
                                   .keys = mistral_keys,
                                   .honours = ".expert_count .expert_used_count .expert_feed_forward_length",
                                   .states = R"({"sliding_window": null})",
                                   .is_of = has_experts};

/// The temperature is one of rope_parameters.
void complete_ministral3(const gguf_reader& g, json& config) {
  config["sliding_window"] = nullptr;
  if (!g.has(".attention.temperature_scale")) return;
  json& rope = config["rope_scaling"];
  if (!rope.is_object()) rope = json::object();
  rope["llama_4_scaling_beta"] = g.number_or(".attention.temperature_scale", 0);
  if (!rope.contains("original_max_position_embeddings"))
    rope["original_max_position_embeddings"] = g.whole_or(".attention.temperature_length", 0);
}
constexpr gguf_family ministral3_gguf{.architecture = "mistral3",
                                      .adjacent_pairs = true,
                                      .attends_to_all = true,
                                      .honours =
                                          ".attention.temperature_scale .attention.temperature_length "
                                          ".rope.scaling.yarn_log_multiplier",
                                      .complete = complete_ministral3};

}  // namespace

constinit const family mistral_family{.name = "Mistral",
                                      .model_type = "mistral",
                                      .hugging_face_class = "MistralForCausalLM",
                                      .prefix = "model.",
                                      .token_embedding = "embed_tokens",
                                      .blocks = "layers.",
                                      .in_block = usual_slots,
                                      .final_norm = "norm",
                                      .head = "lm_head",
                                      .keys = "sliding_window",
                                      .gguf = &mistral_gguf,
                                      .read_config = read_mistral,
                                      .meaning_of = usual_meaning};

constinit const family mixtral_family{.name = "Mixtral",
                                      .model_type = "mixtral",
                                      .hugging_face_class = "MixtralForCausalLM",
                                      .prefix = "model.",
                                      .token_embedding = "embed_tokens",
                                      .blocks = "layers.",
                                      .in_block = mixtral_slots,
                                      .final_norm = "norm",
                                      .head = "lm_head",
                                      .keys = "sliding_window num_local_experts num_experts num_experts_per_tok",
                                      .gguf = &mixtral_gguf,
                                      .read_config = read_mixtral,
                                      .meaning_of = usual_meaning};

constinit const family ministral3_family{.name = "Ministral 3",
                                         .model_type = "ministral3",
                                         .hugging_face_class = "Ministral3ForCausalLM",
                                         .prefix = "model.",
                                         .token_embedding = "embed_tokens",
                                         .blocks = "layers.",
                                         .in_block = usual_slots,
                                         .final_norm = "norm",
                                         .head = "lm_head",
                                         .keys = "sliding_window",
                                         .gguf = &ministral3_gguf,
                                         .read_config = read_ministral3,
                                         .meaning_of = usual_meaning};

}  // namespace engine
