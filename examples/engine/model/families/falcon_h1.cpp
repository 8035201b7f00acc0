#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/hybrid_keys.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace engine {
namespace {

constexpr slot slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_width),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    attention_part("mamba.in_proj", &block::mixer_in, extent::mixer_in),
    values_part("mamba.conv1d.weight", &block::conv_kernel, extent::conv_channels, extent::conv_taps),
    values_part("mamba.conv1d.bias", &block::conv_bias, extent::conv_channels),
    values_part("mamba.A_log", &block::decay_log, extent::mixer_heads),
    values_part("mamba.D", &block::skip, extent::mixer_heads),
    values_part("mamba.dt_bias", &block::step_bias, extent::mixer_heads),
    values_part("mamba.norm.weight", &block::mixer_norm, extent::mixer_norm),
    attention_part("mamba.out_proj", &block::mixer_out, extent::width, extent::mixer_inner),
    norm_part("pre_ff_layernorm", &block::mlp_norm),
    mlp_part("feed_forward.gate_proj", &block::gate),
    mlp_part("feed_forward.up_proj", &block::up),
    mlp_part("feed_forward.down_proj", &block::down)};

/// mamba_d_ssm: absent it has a default, null means that mamba_expand says it.
[[nodiscard]] std::size_t inner_width(const json_object& keys, const config& c) {
  if (keys.contains("mamba_d_ssm") && keys.find("mamba_d_ssm") == nullptr) return expanded_width(keys, c);
  return keys.whole_number_or("mamba_d_ssm", 1024);
}

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_decoder(keys, architecture::falcon_h1, {.kv_heads = 8, .epsilon = 1e-5});
  must_be(keys, "mamba_use_mlp", true);
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);
  read_mamba(keys, inner_width(keys, c), c);
  k.mixer_out_bias = keys.flag_or("projectors_bias", false);
  k.mamba.order = !keys.flag_or("mamba_rms_norm", false)         ? gate_order::gate_alone
                  : keys.flag_or("mamba_norm_before_gate", true) ? gate_order::norm_then_gate
                                                                 : gate_order::gate_then_norm;
  const auto scale = [&](const char* key) { return finite_number(keys, key, 1); };
  k.embedding_scale = scale("embedding_multiplier");
  k.logit_scale = scale("lm_head_multiplier");
  k.key_scale = scale("key_multiplier");
  k.attention_in_scale = scale("attention_in_multiplier");
  k.attention_out_scale = scale("attention_out_multiplier");
  k.mixer_in_scale = scale("ssm_in_multiplier");
  k.mixer_out_scale = scale("ssm_out_multiplier");
  const std::vector<double> mlp = read_numbers(keys, "mlp_multipliers", {1, 1});
  k.gate_scale = static_cast<float>(mlp[0]);
  k.down_scale = static_cast<float>(mlp[1]);
  const std::vector<double> parts = read_numbers(keys, "ssm_multipliers", {1, 1, 1, 1, 1});
  std::ranges::transform(parts, k.mamba.scales.begin(), [](double v) { return static_cast<float>(v); });
  set_mixers(c, std::vector<mixer>(c.layers, mixer::attention_and_mamba));
  return c;
}

void complete_gguf(const gguf_reader& g, json& config) {
  complete_mamba(g, config);
  config["mamba_d_ssm"] = g.whole_or(".ssm.inner_size", 0);
  config["mamba_rms_norm"] = g.tensor("blk.0.ssm_norm.weight") != nullptr;
  config["mamba_norm_before_gate"] = false;
}
constexpr name_pair gguf_names[] = {{"ffn_norm", "=ffn_norm"}};  // without ".weight"
constexpr gguf_family gguf{.architecture = "falcon-h1",
                           .folds_scales = true,
                           .names = gguf_names,
                           .honours = mamba_gguf_keys,
                           .complete = complete_gguf};

}  // namespace

constinit const family falcon_h1_family{
    .name = "Falcon-H1",
    .model_type = "falcon_h1",
    .hugging_face_class = "FalconH1ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "final_layernorm",
    .head = "lm_head",
    .keys =
        "attention_bias mlp_bias projectors_bias attn_layer_indices num_logits_to_keep mamba_use_mlp "
        "mlp_expansion_factor mamba_d_ssm mamba_rms_norm mamba_norm_before_gate embedding_multiplier "
        "lm_head_multiplier key_multiplier attention_in_multiplier attention_out_multiplier ssm_in_multiplier "
        "ssm_out_multiplier mlp_multipliers ssm_multipliers mamba_n_heads mamba_d_head mamba_n_groups mamba_d_state "
        "mamba_d_conv mamba_expand mamba_chunk_size mamba_conv_bias mamba_proj_bias time_step_limit time_step_min "
        "time_step_max",
    .gguf = &gguf,
    .read_config = read_config,
    .meaning_of = usual_meaning};

}  // namespace engine
