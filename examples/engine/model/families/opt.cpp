#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace engine {
namespace {

constexpr slot slots[] = {norm_part("self_attn_layer_norm", &block::attention_norm),
                          attention_part("self_attn.q_proj", &block::query),
                          attention_part("self_attn.k_proj", &block::key),
                          attention_part("self_attn.v_proj", &block::value),
                          attention_part("self_attn.out_proj", &block::attention_out),
                          norm_part("final_layer_norm", &block::mlp_norm),
                          mlp_part("fc1", &block::up),
                          mlp_part("fc2", &block::down)};

[[nodiscard]] knobs usual(const config&) {
  return {.rms = false, .qkv_bias = true, .output_bias = true, .mlp_bias = true, .gated = false};
}

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_usual_extents(keys, architecture::opt);
  c.hidden = keys.whole_number("ffn_dim");
  c.tied_head = keys.flag_or("tie_word_embeddings", true);
  c.activation = read_any_activation(keys, "activation_function", "relu");
  knobs k = usual(c);
  k.norm_scale = keys.flag_or("layer_norm_elementwise_affine", true);
  k.qkv_bias = k.output_bias = k.mlp_bias = keys.flag_or("enable_bias", true);
  if (!keys.flag_or("do_layer_norm_before", true)) k.norms = norm_place::after_sum;  // OPT-350M
  k.final_norm = k.norms == norm_place::before && !keys.flag_or("_remove_final_layer_norm", false);
  if (const std::size_t table = keys.whole_number_or("word_embed_proj_dim", c.width); table != c.width) {
    if (table == 0) keys.refuse("key \"word_embed_proj_dim\" is 0", "at least 1");
    k.embedding_width = table;
  }
  if (!(k == usual(c))) c.knobs = std::move(k);
  return c;
}

void write_config(const config& c, nlohmann::ordered_json& keys) {
  keys["activation_function"] = activation_name(c.activation);
  write_usual_extents(c, keys);
  keys["ffn_dim"] = c.hidden;
  keys["word_embed_proj_dim"] = c.width;
  keys["do_layer_norm_before"] = true;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  for (const std::string_view prefix : {"model.", "decoder."})
    if (stored.starts_with(prefix)) stored.remove_prefix(prefix.size());
  return {std::string(stored), false};
}

}  // namespace

constinit const family opt_family{.name = "OPT",
                                  .model_type = "opt",
                                  .hugging_face_class = "OPTForCausalLM",
                                  .prefix = "model.decoder.",
                                  .first_position = 2,
                                  .token_embedding = "embed_tokens",
                                  .position_embedding = "embed_positions",
                                  .embedding_projection = "project_in",
                                  .blocks = "layers.",
                                  .in_block = slots,
                                  .final_norm = "final_layer_norm",
                                  .head_projection = "project_out",
                                  .head = "lm_head",
                                  .read_config = read_config,
                                  .write_config = write_config,
                                  .meaning_of = meaning_of,
                                  .usual = usual};

}  // namespace engine
