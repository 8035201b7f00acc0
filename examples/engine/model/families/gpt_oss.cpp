#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <string>

// gpt-oss: experts with biases and a limited gate, sinks, alternating windows. Files hold the maps of all experts in one
// tensor: BF16 as in x out, with gate and up interleaved, or MXFP4 as out x in.

namespace engine {
namespace {

[[nodiscard]] config read_gpt_oss(const json_object& keys) {
  config c =
      read_decoder(keys, architecture::gpt_oss, {.kv_heads = 8, .head_width = 64, .epsilon = 1e-5, .theta = 150000});
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", true);
  k.sinks = true;
  k.gate_limit = positive_number(keys, "swiglu_limit", 7);
  if (c.activation != activation::silu) keys.refuse("key \"hidden_act\" is not silu", "silu");
  k.mixture = {
      .router = {.rule = router_rule::choice_then_softmax,
                 .experts = keys.whole_number_or("num_local_experts", 128),
                 .chosen = keys.whole_number_or("num_experts_per_tok", keys.whole_number_or("experts_per_token", 4))},
      .hidden = c.hidden,
      .biased_router = true,
      .biased = true};
  const bool states_rope = keys.contains("rope_scaling") || keys.contains("rope_parameters");
  if (!states_rope) {
    rope_settings& r = k.ropes.front();
    r.type = rope_type::yarn;
    r.factor = 32;
    r.original_context = 4096;
    r.truncate = false;
  }
  const auto types = read_layer_types(keys, c.layers, "full_attention sliding_attention");
  const std::size_t window = read_window(keys, "sliding_window", 128);
  for (std::size_t l = 0; l < c.layers; ++l) {
    k.layers[l].experts = true;
    if (types ? (*types)[l] == "sliding_attention" : l % 2 == 0) k.layers[l].window = window;
  }
  if (const json* const quantization = keys.find("quantization_config")) {
    const json_object q(*quantization, keys.where());
    if (const std::string method = q.text_or("quant_method", ""); method != "mxfp4")
      keys.refuse("key \"quantization_config\": weights that are quantized with \"" + precis::shown(method) + "\"",
                  "mxfp4, or the original model with weights in F32, F16 or BF16");
    k.mxfp4 = true;
  }
  return c;
}

[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const auto s = split_block_name("layers.", name);
  constexpr std::string_view experts = "mlp.experts.";
  if (!s || s->layer >= c.layers || !s->name.starts_with(experts)) return std::nullopt;
  const std::size_t dot = s->name.find('.', experts.size());
  std::size_t e = 0;
  if (dot == std::string_view::npos || !precis::text::read(s->name.substr(experts.size(), dot - experts.size()), e) ||
      e >= k.mixture.router.experts)
    return std::nullopt;
  const std::string_view map = s->name.substr(dot + 1);
  const bool down = map == "down_proj", up = map == "up_proj";
  if (!down && !up && map != "gate_proj") return std::nullopt;
  const std::size_t count = k.mixture.router.experts, in = down ? k.mixture.hidden : c.width,
                    out = down ? c.width : 2 * k.mixture.hidden, step = down ? 1 : 2, from = up ? 1 : 0;
  const std::string whole = std::string(s->before) + "mlp.experts." + (down ? "down_proj" : "gate_up_proj");
  if (s->after == ".bias")
    return tensor_part{.whole = whole + "_bias", .shape = {count, out}, .first = e * out + from, .out_stride = step};
  if (k.mxfp4)
    return tensor_part{.whole = whole + "_blocks",
                       .shape = {count, out, in / 32, 16},
                       .first = (e * out + from) * in,
                       .out_stride = step * in,
                       .scales = whole + "_scales"};
  return tensor_part{
      .whole = whole, .shape = {count, in, out}, .first = e * in * out + from, .out_stride = step, .in_stride = out};
}

constexpr slot slots[] = {norm_part("input_layernorm", &block::attention_norm),
                          attention_part("self_attn.q_proj", &block::query, extent::query_width),
                          attention_part("self_attn.k_proj", &block::key, extent::kv_width),
                          attention_part("self_attn.v_proj", &block::value, extent::kv_width),
                          slot{.name = "self_attn.sinks", .values = &block::sinks, .out = extent::heads},
                          attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
                          norm_part("post_attention_layernorm", &block::mlp_norm),
                          router_part("mlp.router"),
                          expert_part("mlp.experts.*.gate_proj", &expert::gate),
                          expert_part("mlp.experts.*.up_proj", &expert::up),
                          expert_part("mlp.experts.*.down_proj", &expert::down)};

constexpr name_pair gguf_names[] = {{"ffn_norm", "post_attention_norm"}};
void complete_gguf(const gguf_reader& g, json& config) {
  config["sliding_window"] =
      g.has(".attention.sliding_window") ? json(g.whole_or(".attention.sliding_window", 0)) : json();
  if (g.has(".expert_feed_forward_length")) config["intermediate_size"] = g.whole_or(".expert_feed_forward_length", 0);
  if (!config.contains("rope_scaling"))
    config["rope_scaling"] = {{"rope_type", "default"}};
  else if (!config["rope_scaling"].contains("truncate"))
    config["rope_scaling"]["truncate"] = false;  // as published
  if (g.has(".swiglu_clamp_exp")) {
    const std::vector<float> limits = g.keys().floats(g.key(".swiglu_clamp_exp"));
    for (const float l : limits)
      if (l != limits.front()) g.keys().refuse(g.key(".swiglu_clamp_exp"), "the same number for all layers");
    if (!limits.empty()) config["swiglu_limit"] = limits.front();
  }
}
constexpr gguf_family gguf{.architecture = "gpt-oss",
                           .names = gguf_names,
                           .honours =
                               ".attention.sliding_window .expert_count .expert_used_count "
                               ".expert_feed_forward_length .swiglu_clamp_exp",
                           .complete = complete_gguf};

}  // namespace

constinit const family gpt_oss_family{
    .name = "gpt-oss",
    .model_type = "gpt_oss",
    .hugging_face_class = "GptOssForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "attention_bias swiglu_limit num_local_experts num_experts_per_tok experts_per_token sliding_window "
        "layer_types quantization_config initial_context_length",
    .gguf = &gguf,
    .read_config = read_gpt_oss,
    .meaning_of = usual_meaning,
    .part_of = part_of};

}  // namespace engine
