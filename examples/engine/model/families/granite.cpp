#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

// Granite: a Llama with four multipliers.

namespace engine {
namespace {

[[nodiscard]] config read_granite(const json_object& keys) {
  config c = read_decoder(keys, architecture::granite);
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);
  k.attention_scale = positive_number(keys, "attention_multiplier", 1);
  k.embedding_scale = positive_number(keys, "embedding_multiplier", 1);
  k.residual_scale = positive_number(keys, "residual_multiplier", 1);
  k.logit_scale = 1 / positive_number(keys, "logits_scaling", 1);
  return c;
}

constexpr name_pair gguf_keys[] = {{".attention.scale", "attention_multiplier"},
                                   {".embedding_scale", "embedding_multiplier"},
                                   {".residual_scale", "residual_multiplier"},
                                   {".logit_scale", "logits_scaling"}};
constexpr gguf_family gguf{.architecture = "granite", .adjacent_pairs = true, .keys = gguf_keys};

}  // namespace

constinit const family granite_family{
    .name = "Granite",
    .model_type = "granite",
    .hugging_face_class = "GraniteForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = usual_slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys = "attention_bias mlp_bias attention_multiplier embedding_multiplier residual_multiplier logits_scaling",
    .gguf = &gguf,
    .read_config = read_granite,
    .meaning_of = usual_meaning};

}  // namespace engine
