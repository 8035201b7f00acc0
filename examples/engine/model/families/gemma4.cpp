#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <engine/files/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

// Gemma 4: layers with inputs of their own, full layers with other heads, last layers that share keys and values.

namespace engine {
namespace {

[[nodiscard]] config read_gemma4(const json_object& keys) {
  config c = read_decoder(keys, architecture::gemma4,
                          {.kv_heads = 4,
                           .head_width = 256,
                           .tied = true,
                           .activation_key = "hidden_activation",
                           .activation = "gelu_pytorch_tanh",
                           .layer_type = "sliding_attention"});
  knobs& k = *c.knobs;
  k.norms = norm_place::around;
  k.query_key_norm = head_norm::per_head;
  k.value_norm = true;
  k.attention_scale = 1;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(c.width)));
  if (keys.find("final_logit_softcapping") != nullptr)
    k.logit_cap = positive_number(keys, "final_logit_softcapping", 30);
  must_be(keys, "enable_moe_block", false);
  must_be(keys, "use_bidirectional_attention", false);
  k.layer_scalars = true;
  k.layer_input_width = keys.whole_number_or("hidden_size_per_layer_input", 256);
  k.layer_input_vocabulary = keys.whole_number_or("vocab_size_per_layer_input", 262144);
  if (k.layer_input_width != 0 && k.layer_input_vocabulary < c.vocabulary)
    keys.refuse("key \"vocab_size_per_layer_input\" is " + std::to_string(k.layer_input_vocabulary),
                "at least the vocabulary of " + std::to_string(c.vocabulary));

  std::vector<std::string> types(c.layers, "sliding_attention");
  if (auto stated = read_layer_types(keys, c.layers, "full_attention sliding_attention"))
    types = std::move(*stated);
  else
    for (std::size_t l = 5; l < c.layers; l += 6) types[l] = "full_attention";
  types.back() = "full_attention";  // whatever is stated
  const std::size_t window = read_window(keys, "sliding_window", 512), head = k.layers.front().head_width;
  const std::size_t global_head = keys.whole_number_or("global_head_dim", 512);
  const bool keys_are_values = keys.flag_or("attention_k_eq_v", false);
  const std::size_t global_kv =
      keys_are_values ? keys.whole_number_or("num_global_key_value_heads", c.kv_heads) : c.kv_heads;
  const std::size_t shared = keys.whole_number_or("num_kv_shared_layers", 0);
  if (shared >= c.layers)
    keys.refuse("key \"num_kv_shared_layers\" is " + std::to_string(shared), "fewer than there are layers");
  const bool wide = keys.flag_or("use_double_wide_mlp", false);
  rope_settings sliding = read_rope(keys, {.head_width = head, .theta = 10000}, c.context, "sliding_attention");
  rope_settings full = has_rope_of(keys, "full_attention")
                           ? read_rope(keys, {.head_width = global_head, .theta = 1e6}, c.context, "full_attention")
                           : rope_settings{.type = rope_type::proportional,
                                           .theta = 1e6,
                                           .head_width = global_head,
                                           .rotary_width = rotary_width_of(rope_type::proportional, global_head, 0.25)};
  k.ropes = {full, sliding};
  for (std::size_t l = 0; l < c.layers; ++l) {
    layer_settings& s = k.layers[l];
    const bool slides = types[l] == "sliding_attention";
    s.window = slides ? window : 0;
    s.rope = slides ? 1 : 0;
    s.head_width = slides ? head : global_head;
    s.kv_heads = slides ? c.kv_heads : global_kv;
    s.value_is_key = !slides && keys_are_values;
    if (l < c.layers - shared) continue;
    if (wide) s.hidden = 2 * c.hidden;
    for (std::size_t source = c.layers - shared; source-- > 0 && s.kv_source == own_keys;)
      if (types[source] == types[l]) s.kv_source = source;
    if (s.kv_source == own_keys)
      keys.refuse("layer " + std::to_string(l) + " shares keys and values of type " + types[l],
                  "an earlier layer of that type");
  }
  return c;
}

/// Files hold maps of keys and values of layers that read those of others.
[[nodiscard]] bool is_unused(const knobs& k, std::string_view name) {
  const auto s = split_block_name("layers.", name);
  if (!s || s->layer >= k.layers.size() || k.layers[s->layer].kv_source == own_keys) return false;
  return s->name == "self_attn.k_proj" || s->name == "self_attn.v_proj" || s->name == "self_attn.k_norm";
}

[[nodiscard]] constexpr slot layer_map(std::string_view name, linear block::* map, extent out, extent in) {
  return {.name = name, .map = map, .part = precis::part::mlp, .out = out, .in = in};
}

constexpr slot slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_width),
    norm_part("self_attn.q_norm", &block::query_norm, extent::query_norm),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    norm_part("self_attn.k_norm", &block::key_norm, extent::key_norm),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("post_attention_layernorm", &block::attention_post_norm),
    norm_part("pre_feedforward_layernorm", &block::mlp_norm),
    mlp_part("mlp.gate_proj", &block::gate),
    mlp_part("mlp.up_proj", &block::up),
    mlp_part("mlp.down_proj", &block::down),
    norm_part("post_feedforward_layernorm", &block::mlp_post_norm),
    layer_map("per_layer_input_gate", &block::layer_gate, extent::layer_input, extent::width),
    layer_map("per_layer_projection", &block::layer_projection, extent::width, extent::layer_input),
    norm_part("post_per_layer_input_norm", &block::layer_post_norm),
    slot{.name = "layer_scalar", .values = &block::layer_scalar, .part = precis::part::mlp, .out = extent::one}};

/// A number per layer where layers differ; full layers have proportional rotary positions, as divisors.
void complete_gguf(const gguf_reader& g, json& config) {
  const std::size_t layers = config["num_hidden_layers"], full_head = config["head_dim"];
  const std::vector<std::size_t> slides = g.per_layer(".attention.sliding_window_pattern", layers),
                                 kv = g.per_layer(".attention.head_count_kv", layers),
                                 hidden = g.per_layer(".feed_forward_length", layers);
  json types = json::array();
  for (const std::size_t s : slides) types.push_back(s != 0 ? "sliding_attention" : "full_attention");
  for (std::size_t l = 0; l < layers; ++l)
    config[slides[l] != 0 ? "num_key_value_heads" : "num_global_key_value_heads"] = kv[l];
  config["layer_types"] = types;
  config["sliding_window"] = g.whole_or(".attention.sliding_window", 0);
  const std::size_t head = g.whole_or(".attention.key_length_swa", full_head);
  config["global_head_dim"] = full_head;
  config["head_dim"] = head;
  const std::size_t shared = g.whole_or(".attention.shared_kv_layers", 0);
  config["num_kv_shared_layers"] = shared;
  config["use_double_wide_mlp"] = shared != 0 && shared < layers && hidden.back() == 2 * hidden.front();
  bool keys_are_values = false;
  for (std::size_t l = 0; l + shared < layers; ++l)
    keys_are_values = keys_are_values || g.tensor("blk." + std::to_string(l) + ".attn_v.weight") == nullptr;
  config["attention_k_eq_v"] = keys_are_values;
  config["hidden_size_per_layer_input"] = g.whole_or(".embedding_length_per_layer_input", 0);
  const gguf_tensor* const table = g.tensor("per_layer_token_embd.weight");
  config["vocab_size_per_layer_input"] = table == nullptr ? 1 : table->shape.front();
  config["final_logit_softcapping"] =
      g.has(".final_logit_softcapping") ? json(g.number_or(".final_logit_softcapping", 0)) : json();
  std::size_t turning = full_head / 2;
  if (const gguf_tensor* const divisors = g.tensor("rope_freqs.weight"); divisors != nullptr) {
    std::vector<float> values(divisors->data.size() / sizeof(float));
    decode(dtype::f32, divisors->data.first(values.size() * sizeof(float)), values);
    turning = static_cast<std::size_t>(std::ranges::count(values, 1.f));
    for (const float v : values)
      if (v != 1 && v < 1e20f)
        g.keys().refuse(g.key(".rope.freq_base"), "divisors of 1, or so large that nothing turns");
  }
  const double share = (2 * static_cast<double>(turning) + 0.25) / static_cast<double>(full_head);
  const double sliding_share =
      g.has(".rope.dimension_count_swa")
          ? static_cast<double>(g.whole_or(".rope.dimension_count_swa", head)) / static_cast<double>(head)
          : 1.0;
  config["rope_parameters"] = {{"full_attention",
                                {{"rope_type", "proportional"},
                                 {"rope_theta", config["rope_theta"]},
                                 {"partial_rotary_factor", std::min(share, 1.0)}}},
                               {"sliding_attention",
                                {{"rope_type", "default"},
                                 {"rope_theta", g.number_or(".rope.freq_base_swa", 10000)},
                                 {"partial_rotary_factor", sliding_share}}}};
  config.erase("rope_scaling");
  config.erase("partial_rotary_factor");
  config.erase("rope_theta");
}
constexpr gguf_family gguf{.architecture = "gemma4",
                           .varies = true,
                           .honours =
                               ".attention.sliding_window_pattern .attention.sliding_window .attention.key_length_swa "
                               ".attention.value_length_swa .attention.shared_kv_layers "
                               ".embedding_length_per_layer_input .final_logit_softcapping .rope.freq_base_swa "
                               ".rope.dimension_count_swa",
                           .complete = complete_gguf};

}  // namespace

constinit const family gemma4_family{
    .name = "Gemma 4",
    .model_type = "gemma4_text",
    .hugging_face_class = "Gemma4ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .layer_embedding = "embed_tokens_per_layer",
    .layer_projection = "per_layer_model_projection",
    .layer_norm = "per_layer_projection_norm",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "hidden_activation attention_bias final_logit_softcapping attention_k_eq_v enable_moe_block "
        "use_bidirectional_attention hidden_size_per_layer_input vocab_size_per_layer_input layer_types "
        "sliding_window global_head_dim num_global_key_value_heads num_kv_shared_layers use_double_wide_mlp",
    .gguf = &gguf,
    .read_config = read_gemma4,
    .meaning_of = usual_meaning,
    .is_unused = is_unused};

}  // namespace engine
