#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/families.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace engine {
namespace {

constexpr slot slots[] = {norm_part("ln_1", &block::attention_norm),
                          attention_part("attn.c_attn", &block::qkv, extent::three_widths),
                          attention_part("attn.c_proj", &block::attention_out),
                          norm_part("ln_2", &block::mlp_norm),
                          mlp_part("mlp.c_fc", &block::up),
                          mlp_part("mlp.c_proj", &block::down)};

constexpr gguf_family gguf{.architecture = "gpt2", .layer_norm = true, .rotary = false};

[[nodiscard]] config read_config(const json_object& keys) {
  config c{.architecture = architecture::gpt2};
  c.layers = keys.whole_number("n_layer");
  c.width = keys.whole_number("n_embd");
  c.heads = c.kv_heads = keys.whole_number("n_head");
  c.vocabulary = keys.whole_number("vocab_size");
  c.context =
      keys.whole_number(keys.find("n_positions") == nullptr && keys.find("n_ctx") != nullptr ? "n_ctx" : "n_positions");
  c.hidden = keys.whole_number_or("n_inner", c.width <= (std::size_t{1} << 60) ? 4 * c.width : 0);
  c.norm_epsilon = positive_number(keys, "layer_norm_epsilon", 1e-5);
  c.tied_head = keys.flag_or("tie_word_embeddings", true);
  c.activation = read_activation(keys, "activation_function", "gelu_new");
  must_be(keys, "scale_attn_weights", true);
  must_be(keys, "scale_attn_by_inverse_layer_idx", false);
  must_be(keys, "add_cross_attention", false);
  return c;
}

void write_config(const config& c, nlohmann::ordered_json& keys) {
  keys["activation_function"] = activation_name(c.activation);
  keys["n_layer"] = c.layers;
  keys["n_head"] = c.heads;
  keys["n_embd"] = c.width;
  keys["n_inner"] = c.hidden;
  keys["n_positions"] = c.context;
  keys["vocab_size"] = c.vocabulary;
  keys["layer_norm_epsilon"] = shortest(c.norm_epsilon);
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("transformer.")) stored.remove_prefix(12);
  // Old files contain the causal mask and its constant.
  if (stored.ends_with(".attn.bias") || stored.ends_with(".attn.masked_bias")) return {};
  return {std::string(stored), false};
}

[[nodiscard]] knobs usual(const config&) {
  return {.rms = false, .fused = true, .qkv_bias = true, .output_bias = true, .mlp_bias = true, .gated = false};
}

}  // namespace

constinit const family gpt2_family{.name = "GPT-2",
                                   .model_type = "gpt2",
                                   .hugging_face_class = "GPT2LMHeadModel",
                                   .prefix = "transformer.",
                                   .in_major = true,
                                   .token_embedding = "wte",
                                   .position_embedding = "wpe",
                                   .blocks = "h.",
                                   .in_block = slots,
                                   .final_norm = "ln_f",
                                   .head = "lm_head",
                                   .gguf = &gguf,
                                   .read_config = read_config,
                                   .write_config = write_config,
                                   .meaning_of = meaning_of,
                                   .usual = usual};

}  // namespace engine
