#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/families.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace engine {
namespace {

constexpr slot slots[] = {norm_part("input_layernorm", &block::attention_norm),
                          attention_part("self_attn.q_proj", &block::query),
                          attention_part("self_attn.k_proj", &block::key, extent::kv_width),
                          attention_part("self_attn.v_proj", &block::value, extent::kv_width),
                          attention_part("self_attn.dense", &block::attention_out),
                          mlp_part("mlp.fc1", &block::up),
                          mlp_part("mlp.fc2", &block::down)};

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_usual_extents(keys, architecture::phi);
  c.kv_heads = keys.whole_number_or("num_key_value_heads", c.heads);
  c.hidden = keys.whole_number("intermediate_size");
  c.norm_epsilon = positive_number(keys, "layer_norm_eps", 1e-5);
  const rotary_settings rotary = read_rotary(keys, 0.5);
  c.rope_theta = rotary.base;
  c.rotary_width =
      static_cast<std::size_t>(rotary.share * static_cast<double>(c.head_width()) + 1e-6);  // 0.4 of 80 is 32
  c.tied_head = keys.flag_or("tie_word_embeddings", false);
  if (c.tied_head) keys.refuse("key \"tie_word_embeddings\" is true, which this engine does not support", "false");
  c.activation = read_activation(keys, "hidden_act", "gelu_new");
  must_be(keys, "qk_layernorm", false);
  return c;
}

void write_config(const config& c, nlohmann::ordered_json& keys) {
  keys["hidden_act"] = activation_name(c.activation);
  write_usual_extents(c, keys);
  keys["num_key_value_heads"] = c.kv_heads;
  keys["intermediate_size"] = c.hidden;
  keys["layer_norm_eps"] = shortest(c.norm_epsilon);
  keys["rope_theta"] = shortest(static_cast<double>(c.rope_theta));  // read as a double
  keys["partial_rotary_factor"] = static_cast<double>(c.rotary_width) / static_cast<double>(c.head_width());
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  if (stored.ends_with("rotary_emb.inv_freq")) return {};
  return {std::string(stored), false};
}

[[nodiscard]] knobs usual(const config& c) {
  return {
      .rms = false,
      .qkv_bias = true,
      .output_bias = true,
      .mlp_bias = true,
      .head_bias = true,
      .parallel = true,
      .shared_norm = true,
      .gated = false,
      .ropes = {
          {.theta = static_cast<double>(c.rope_theta), .head_width = c.head_width(), .rotary_width = c.rotary_width}}};
}

constexpr gguf_family gguf{.architecture = "phi2", .layer_norm = true};

}  // namespace

constinit const family phi_family{.name = "Phi",
                                  .model_type = "phi",
                                  .hugging_face_class = "PhiForCausalLM",
                                  .prefix = "model.",
                                  .token_embedding = "embed_tokens",
                                  .blocks = "layers.",
                                  .in_block = slots,
                                  .final_norm = "final_layernorm",
                                  .head = "lm_head",
                                  .gguf = &gguf,
                                  .read_config = read_config,
                                  .write_config = write_config,
                                  .meaning_of = meaning_of,
                                  .usual = usual};

}  // namespace engine
