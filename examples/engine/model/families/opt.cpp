#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/families.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace engine {
namespace {

constexpr block_part block_parts[] = {norm_part("self_attn_layer_norm", &block::attention_norm),
                                      attention_part("self_attn.q_proj", &block::query),
                                      attention_part("self_attn.k_proj", &block::key),
                                      attention_part("self_attn.v_proj", &block::value),
                                      attention_part("self_attn.out_proj", &block::attention_out),
                                      norm_part("final_layer_norm", &block::mlp_norm),
                                      mlp_part("fc1", &block::up),
                                      mlp_part("fc2", &block::down)};

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_usual_extents(keys, architecture::opt);
  c.hidden = keys.whole_number("ffn_dim");
  c.tied_head = keys.flag_or("tie_word_embeddings", true);
  c.activation = activation::relu;
  if (const std::string activation = keys.text_or("activation_function", "relu"); activation != "relu")
    keys.refuse("key \"activation_function\" is \"" + activation + "\"", "relu");
  must_be(keys, "do_layer_norm_before", true);  // only OPT-350m has false
  if (const std::size_t projected = keys.whole_number_or("word_embed_proj_dim", c.width); projected != c.width)
    keys.refuse("key \"word_embed_proj_dim\" is " + std::to_string(projected) +
                    ": embeddings narrower than hidden_size are not supported",
                std::to_string(c.width));
  must_be(keys, "enable_bias", true);
  must_be(keys, "layer_norm_elementwise_affine", true);
  must_be(keys, "_remove_final_layer_norm", false);
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
                                  .blocks = "layers.",
                                  .in_block = block_parts,
                                  .final_norm = "final_layer_norm",
                                  .head = "lm_head",
                                  .read_config = read_config,
                                  .write_config = write_config,
                                  .meaning_of = meaning_of};

}  // namespace engine
