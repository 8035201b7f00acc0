#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

// Gemma 2 and 3: norms around both halves, scales stored minus one, windows in some layers.

namespace engine {
namespace {

/// What Gemma 2 and 3 share.
[[nodiscard]] config read_gemma(const json_object& keys, architecture a, const decoder_defaults& d,
                                const std::vector<std::string>& types) {
  config c = read_decoder(keys, a, d);
  knobs& k = *c.knobs;
  k.norms = norm_place::around;
  k.norm_plus_one = true;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.attention_scale =
      static_cast<float>(1 / std::sqrt(static_cast<double>(positive_number(keys, "query_pre_attn_scalar", 256))));
  k.embedding_scale = static_cast<float>(std::sqrt(static_cast<double>(c.width)));
  must_be(keys, "use_bidirectional_attention", false);
  const std::size_t window = read_window(keys, "sliding_window", 4096);
  for (std::size_t l = 0; l < c.layers; ++l) k.layers[l].window = types[l] == "sliding_attention" ? window : 0;
  return c;
}

[[nodiscard]] std::size_t layers_of(const json_object& keys) {
  const std::size_t layers = keys.whole_number("num_hidden_layers");
  if (layers > (std::size_t{1} << 16))
    keys.refuse("key \"num_hidden_layers\" is " + std::to_string(layers), "1 to 2^16");
  return layers;
}

/// A soft cap: `otherwise` if it is absent, none if it is null.
[[nodiscard]] float read_cap(const json_object& keys, std::string_view key, double otherwise) {
  if (!keys.contains(key)) return static_cast<float>(otherwise);
  return keys.find(key) == nullptr ? 0 : positive_number(keys, key, otherwise);
}

[[nodiscard]] config read_gemma2(const json_object& keys) {
  const std::size_t layers = layers_of(keys);
  std::vector<std::string> types(layers, "full_attention");
  if (auto stated = read_layer_types(keys, layers, "full_attention sliding_attention"))
    types = std::move(*stated);
  else
    for (std::size_t l = 0; l < layers; l += 2) types[l] = "sliding_attention";
  config c = read_gemma(keys, architecture::gemma2,
                        {.kv_heads = 4,
                         .head_width = 256,
                         .tied = true,
                         .activation_key = "hidden_activation",
                         .activation = "gelu_pytorch_tanh",
                         .layer_type = "sliding_attention"},
                        types);
  c.knobs->score_cap = read_cap(keys, "attn_logit_softcapping", 50);
  c.knobs->logit_cap = read_cap(keys, "final_logit_softcapping", 30);
  return c;
}

[[nodiscard]] config read_gemma3(const json_object& keys) {
  const std::size_t layers = layers_of(keys);
  std::vector<std::string> types(layers, "sliding_attention");
  const std::size_t pattern =
      keys.whole_number_or("sliding_window_pattern", keys.whole_number_or("_sliding_window_pattern", 6));
  if (pattern == 0) keys.refuse("key \"sliding_window_pattern\" is 0", "at least 1");
  if (auto stated = read_layer_types(keys, layers, "full_attention sliding_attention"))
    types = std::move(*stated);
  else
    for (std::size_t l = pattern - 1; l < layers; l += pattern) types[l] = "full_attention";
  config c = read_gemma(keys, architecture::gemma3,
                        {.kv_heads = 4,
                         .head_width = 256,
                         .theta = 1e6,
                         .tied = true,
                         .activation_key = "hidden_activation",
                         .activation = "gelu_pytorch_tanh",
                         .layer_type = "sliding_attention"},
                        types);
  knobs& k = *c.knobs;
  k.query_key_norm = head_norm::per_head;
  k.logit_cap = read_cap(keys, "final_logit_softcapping", 0);
  // Full layers have rope_theta, scaled; sliding ones rope_local_base_freq, not scaled.
  const std::size_t head = k.layers.front().head_width;
  const double local = static_cast<double>(positive_number(keys, "rope_local_base_freq", 10000));
  const rope_settings full = read_rope(keys, {.head_width = head, .theta = 1e6}, c.context, "full_attention");
  rope_settings sliding{.theta = local, .head_width = head, .rotary_width = head};
  if (has_rope_of(keys, "sliding_attention"))
    sliding = read_rope(keys, {.head_width = head, .theta = local}, c.context, "sliding_attention");
  k.ropes = {full, sliding};
  for (std::size_t l = 0; l < layers; ++l) k.layers[l].rope = types[l] == "sliding_attention" ? 1 : 0;
  return c;
}

constexpr slot gemma_slots[] = {
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
    norm_part("post_feedforward_layernorm", &block::mlp_post_norm)};

/// What Gemma 2 and 3 share: soft caps and windows that are absent are none; the attention scale is that of a head, but for
/// the models with 27 billion weights.
void complete_gemma(const gguf_reader& g, json& config, std::size_t largest) {
  for (const char* const cap : {"attn_logit_softcapping", "final_logit_softcapping"}) {
    const std::string rest = "." + std::string(cap);
    config[cap] = g.has(rest) ? json(g.number_or(rest, 0)) : json();
  }
  if (g.has(".attention.sliding_window"))
    config["sliding_window"] = g.whole_or(".attention.sliding_window", 0);
  else
    config["sliding_window"] = nullptr;
  const std::size_t layers = config["num_hidden_layers"], heads = config["num_attention_heads"];
  const std::size_t usual =
      layers == largest ? config["hidden_size"].get<std::size_t>() / heads : config["head_dim"].get<std::size_t>();
  config["query_pre_attn_scalar"] = usual;
  if (!g.has(".attention.scale")) return;
  const double scale = g.number_or(".attention.scale", 1);
  if (!(scale > 0)) g.keys().refuse(g.key(".attention.scale"), "a positive number");
  const double scalar = 1 / (scale * scale), rounded = std::round(scalar);
  config["query_pre_attn_scalar"] = std::abs(rounded / scalar - 1) < 1e-6 ? rounded : scalar;
}
void complete_gemma2(const gguf_reader& g, json& config) { complete_gemma(g, config, 46); }
void complete_gemma3(const gguf_reader& g, json& config) {
  complete_gemma(g, config, 62);
  config["rope_local_base_freq"] = g.number_or(".rope.freq_base_swa", 10000);
  const std::size_t pattern = g.whole_or(".attention.sliding_window_pattern", 6);
  config["sliding_window_pattern"] = pattern;
}
constexpr std::string_view gemma_gguf_keys =
    ".attn_logit_softcapping .final_logit_softcapping .attention.sliding_window .attention.scale";
constexpr gguf_family gemma2_gguf{.architecture = "gemma2", .honours = gemma_gguf_keys, .complete = complete_gemma2};
constexpr gguf_family gemma3_gguf{.architecture = "gemma3",
                                  .honours =
                                      ".attn_logit_softcapping .final_logit_softcapping .attention.sliding_window "
                                      ".attention.scale .rope.freq_base_swa .attention.sliding_window_pattern",
                                  .complete = complete_gemma3};

}  // namespace

constinit const family gemma2_family{
    .name = "Gemma 2",
    .model_type = "gemma2",
    .hugging_face_class = "Gemma2ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = gemma_slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "hidden_activation attention_bias query_pre_attn_scalar sliding_window layer_types attn_logit_softcapping "
        "final_logit_softcapping use_bidirectional_attention",
    .gguf = &gemma2_gguf,
    .read_config = read_gemma2,
    .meaning_of = usual_meaning};

constinit const family gemma3_family{
    .name = "Gemma 3",
    .model_type = "gemma3_text",
    .hugging_face_class = "Gemma3ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = gemma_slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "hidden_activation attention_bias query_pre_attn_scalar sliding_window layer_types sliding_window_pattern "
        "_sliding_window_pattern rope_local_base_freq final_logit_softcapping use_bidirectional_attention",
    .gguf = &gemma3_gguf,
    .read_config = read_gemma3,
    .meaning_of = usual_meaning};

}  // namespace engine
