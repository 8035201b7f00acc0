#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

#include <string>

// GPT-NeoX and Pythia: parallel attention and MLP with norms of their own; query, key and value in one map, head by head.

namespace engine {
namespace {

[[nodiscard]] config read_gpt_neox(const json_object& keys) {
  config c = read_usual_extents(keys, architecture::gpt_neox);
  if (c.layers == 0 || c.layers > (std::size_t{1} << 16))
    keys.refuse("key \"num_hidden_layers\" is " + std::to_string(c.layers), "1 to 2^16");
  if (c.heads == 0 || c.width % c.heads != 0)
    keys.refuse("key \"hidden_size\" is " + std::to_string(c.width) + " with " + std::to_string(c.heads) + " heads",
                "a multiple of num_attention_heads");
  c.hidden = keys.whole_number("intermediate_size");
  c.norm_epsilon = positive_number(keys, "layer_norm_eps", 1e-5);
  c.tied_head = keys.flag_or("tie_word_embeddings", false);
  c.activation = read_any_activation(keys, "hidden_act", "gelu");
  const std::size_t head_width = c.width / c.heads;
  knobs k;
  k.rms = false;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", true);
  k.mlp_bias = true;
  k.gated = false;
  k.parallel = keys.flag_or("use_parallel_residual", true);
  const double theta = keys.number_or("rotary_emb_base", 10000), share = keys.number_or("rotary_pct", 0.25);
  k.ropes = {read_rope(keys, {.head_width = head_width, .theta = theta, .share = share}, c.context)};
  k.layers.assign(c.layers, {.head_width = head_width, .kv_heads = c.heads, .hidden = c.hidden});
  c.knobs = std::move(k);
  return c;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  // Old files contain the causal mask, its constant, and the rotary frequencies.
  for (const std::string_view end : {".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"})
    if (stored.ends_with(end)) return {};
  if (stored.starts_with("gpt_neox.")) stored.remove_prefix(9);
  return {std::string(stored), false};
}

[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const auto s = split_block_name("layers.", name);
  if (!s || s->layer >= c.layers) return std::nullopt;
  const std::string_view parts[] = {"attention.query", "attention.key", "attention.value"};
  const std::size_t head = k.layers[s->layer].head_width, in = s->after == ".weight" ? c.width : 1;
  for (std::size_t i = 0; i < 3; ++i)
    if (s->name == parts[i])
      return tensor_part{.whole = std::string(s->before) + "attention.query_key_value" + std::string(s->after),
                         .shape = s->after == ".weight" ? std::vector<std::size_t>{3 * c.width, c.width}
                                                        : std::vector<std::size_t>{3 * c.width},
                         .first = i * head * in,
                         .group = head,
                         .group_stride = 3 * head * in,
                         .out_stride = in};
  return std::nullopt;
}

constexpr slot slots[] = {norm_part("input_layernorm", &block::attention_norm),
                          attention_part("attention.query", &block::query),
                          attention_part("attention.key", &block::key),
                          attention_part("attention.value", &block::value),
                          attention_part("attention.dense", &block::attention_out),
                          norm_part("post_attention_layernorm", &block::mlp_norm),
                          mlp_part("mlp.dense_h_to_4h", &block::up),
                          mlp_part("mlp.dense_4h_to_h", &block::down)};

constexpr name_pair gguf_keys[] = {{".use_parallel_residual", "use_parallel_residual"}};
constexpr gguf_family gguf{.architecture = "gptneox", .layer_norm = true, .fused_qkv = true, .keys = gguf_keys};

}  // namespace

constinit const family gpt_neox_family{.name = "GPT-NeoX",
                                       .model_type = "gpt_neox",
                                       .hugging_face_class = "GPTNeoXForCausalLM",
                                       .prefix = "gpt_neox.",
                                       .token_embedding = "embed_in",
                                       .blocks = "layers.",
                                       .in_block = slots,
                                       .final_norm = "final_layer_norm",
                                       .head = "embed_out",
                                       .keys =
                                           "layer_norm_eps attention_bias use_parallel_residual rotary_emb_base "
                                           "rotary_pct partial_rotary_factor",
                                       .gguf = &gguf,
                                       .read_config = read_gpt_neox,
                                       .meaning_of = meaning_of,
                                       .part_of = part_of};

}  // namespace engine
