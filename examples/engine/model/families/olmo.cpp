#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

// OLMo-2, whose norms follow attention and MLP, and OLMoE, a mixture of experts.

namespace engine {
namespace {

[[nodiscard]] config read_olmo2(const json_object& keys) {
  config c = read_decoder(keys, architecture::olmo2, {.epsilon = 1e-5});
  knobs& k = *c.knobs;
  k.norms = norm_place::branch;
  k.query_key_norm = head_norm::whole;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  return c;
}

[[nodiscard]] config read_olmoe(const json_object& keys) {
  config c = read_decoder(keys, architecture::olmoe, {.epsilon = 1e-5});
  knobs& k = *c.knobs;
  k.query_key_norm = head_norm::whole;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  if (keys.find("clip_qkv") != nullptr) k.qkv_clip = positive_number(keys, "clip_qkv", 1);
  k.mixture = {.router = {.experts = keys.whole_number_or("num_experts", keys.whole_number_or("num_local_experts", 64)),
                          .chosen = keys.whole_number_or("num_experts_per_tok", 8),
                          .renormalize = keys.flag_or("norm_topk_prob", false)},
               .hidden = c.hidden};
  for (layer_settings& l : k.layers) l.experts = true;
  return c;
}

constexpr slot olmo2_slots[] = {
    attention_part("self_attn.q_proj", &block::query, extent::query_width),
    norm_part("self_attn.q_norm", &block::query_norm, extent::query_norm),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    norm_part("self_attn.k_norm", &block::key_norm, extent::key_norm),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("post_attention_layernorm", &block::attention_post_norm),
    mlp_part("mlp.gate_proj", &block::gate),
    mlp_part("mlp.up_proj", &block::up),
    mlp_part("mlp.down_proj", &block::down),
    norm_part("post_feedforward_layernorm", &block::mlp_post_norm)};

constexpr gguf_family olmo2_gguf{.architecture = "olmo2"};
constexpr name_pair olmoe_keys[] = {{".attention.clamp_kqv", "clip_qkv"}};
constexpr gguf_family olmoe_gguf{.architecture = "olmoe",
                                 .keys = olmoe_keys,
                                 .honours = ".expert_count .expert_used_count .expert_feed_forward_length"};

}  // namespace

constinit const family olmo2_family{.name = "OLMo-2",
                                    .model_type = "olmo2",
                                    .hugging_face_class = "Olmo2ForCausalLM",
                                    .prefix = "model.",
                                    .token_embedding = "embed_tokens",
                                    .blocks = "layers.",
                                    .in_block = olmo2_slots,
                                    .final_norm = "norm",
                                    .head = "lm_head",
                                    .keys = "attention_bias",
                                    .gguf = &olmo2_gguf,
                                    .read_config = read_olmo2,
                                    .meaning_of = usual_meaning};

constinit const family olmoe_family{
    .name = "OLMoE",
    .model_type = "olmoe",
    .hugging_face_class = "OlmoeForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = mixture_slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys = "attention_bias clip_qkv num_experts num_local_experts num_experts_per_tok norm_topk_prob",
    .gguf = &olmoe_gguf,
    .read_config = read_olmoe,
    .meaning_of = usual_meaning};

}  // namespace engine
