#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace engine {
namespace {

constexpr slot slots[] = {norm_part("attention_norm", &block::attention_norm),
                          attention_part("attention.wq", &block::query, extent::query_width),
                          attention_part("attention.wk", &block::key, extent::kv_width),
                          attention_part("attention.wv", &block::value, extent::kv_width),
                          attention_part("attention.wo", &block::attention_out, extent::width, extent::query_width),
                          norm_part("ffn_norm", &block::mlp_norm),
                          mlp_part("feed_forward.w1", &block::gate),
                          mlp_part("feed_forward.w2", &block::down),
                          mlp_part("feed_forward.w3", &block::up)};

constexpr gguf_family gguf{.architecture = "llama", .whole_heads = true, .adjacent_pairs = true};

constexpr name_pair hugging_face_names[] = {
    {"tok_embeddings", "embed_tokens"},    {"output", "lm_head"},
    {"attention_norm", "input_layernorm"}, {"attention.wq", "self_attn.q_proj"},
    {"attention.wk", "self_attn.k_proj"},  {"attention.wv", "self_attn.v_proj"},
    {"attention.wo", "self_attn.o_proj"},  {"ffn_norm", "post_attention_layernorm"},
    {"feed_forward.w1", "mlp.gate_proj"},  {"feed_forward.w2", "mlp.down_proj"},
    {"feed_forward.w3", "mlp.up_proj"}};

[[nodiscard]] knobs usual(const config& c) {
  return {.ropes = {{.theta = static_cast<double>(c.rope_theta),
                     .head_width = c.head_width(),
                     .rotary_width = c.head_width(),
                     .half_split = false}}};
}

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_decoder(keys, architecture::llama);
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);
  rope_settings& rope = k.ropes.front();
  const double share = static_cast<double>(rope.rotary_width) / static_cast<double>(rope.head_width);
  if (rope.rotary_width != rope.head_width && rope.type != rope_type::proportional)
    keys.refuse(
        "key \"partial_rotary_factor\" is " + precis::text::number(share) + ", which this engine does not support",
        "1");
  if (rope.type == rope_type::proportional) keys.refuse("key \"rope_type\" is \"proportional\"", "another type");
  rope.half_split = false;  // the rows of the query and key maps are reordered when they are loaded
  c.rope_theta = static_cast<float>(rope.theta);
  // A plain Llama needs no knobs.
  config plain = c;
  plain.knobs.reset();
  knobs as_stated = k;
  as_stated.layers.clear();
  const std::size_t width = c.heads == 0 ? 0 : c.width / c.heads;
  if (c.activation == activation::silu && k.layers.front().head_width == width && as_stated == usual(plain))
    return plain;
  return c;
}

void write_config(const config& c, nlohmann::ordered_json& keys) {
  keys["hidden_act"] = activation_name(c.activation);
  write_usual_extents(c, keys);
  keys["num_key_value_heads"] = c.kv_heads;
  keys["intermediate_size"] = c.hidden;
  keys["rms_norm_eps"] = shortest(c.norm_epsilon);
  keys["rope_theta"] = shortest(static_cast<double>(c.rope_theta));  // read as a double
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  if (stored.ends_with("rotary_emb.inv_freq") || stored == "rope.freqs") return {};
  const std::size_t dot = stored.starts_with("layers.") ? stored.find('.', 7) : std::string_view::npos;
  const std::size_t at = dot == std::string_view::npos ? 0 : dot + 1;
  for (const auto& [ours, theirs] : hugging_face_names)
    for (const std::string_view end : {".weight", ".bias"})
      if (stored.substr(at) == std::string(theirs) + std::string(end))
        return {std::string(stored.substr(0, at)) + std::string(ours) + std::string(end),
                theirs == "self_attn.q_proj" || theirs == "self_attn.k_proj"};
  return {std::string(stored), false};
}

}  // namespace

constinit const family llama_family{.name = "Llama",
                                    .model_type = "llama",
                                    .hugging_face_class = "LlamaForCausalLM",
                                    .prefix = "model.",
                                    .token_embedding = "tok_embeddings",
                                    .blocks = "layers.",
                                    .in_block = slots,
                                    .final_norm = "norm",
                                    .head = "output",
                                    .hugging_face_names = hugging_face_names,
                                    .gguf = &gguf,
                                    .read_config = read_config,
                                    .write_config = write_config,
                                    .meaning_of = meaning_of,
                                    .usual = usual};

}  // namespace engine
