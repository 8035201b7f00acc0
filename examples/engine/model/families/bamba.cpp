#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/hybrid_keys.hpp>

#include <nlohmann/json.hpp>

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

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_decoder(keys, architecture::bamba, {.kv_heads = 8, .epsilon = 1e-5});
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);
  // Half of each head rotates, whatever the file says.
  k.ropes.front().rotary_width = rotary_width_of(k.ropes.front().type, k.ropes.front().head_width, 0.5);
  std::vector<mixer> mixers(c.layers, mixer::mamba);
  if (const auto types = read_layer_types(keys, c.layers, mamba_types))
    mixers = mixers_named(*types, mixer::mamba);
  else if (const auto attending = read_indices(keys, "attn_layer_indices", c.layers))
    for (const std::size_t l : *attending) mixers[l] = mixer::attention;
  read_mamba(keys, expanded_width(keys, c), c);
  set_mixers(c, mixers);
  return c;
}

constexpr gguf_family gguf{.architecture = "granitehybrid",
                           .varies = true,
                           .adjacent_pairs = true,
                           .honours = mamba_gguf_keys,
                           .complete = complete_mamba};

}  // namespace

constinit const family bamba_family{
    .name = "Bamba",
    .model_type = "bamba",
    .hugging_face_class = "BambaForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "final_layernorm",
    .head = "lm_head",
    .keys =
        "attention_bias mlp_bias layer_types partial_rotary_factor attn_layer_indices attn_rotary_emb "
        "num_logits_to_keep "
        "z_loss_coefficient mamba_n_heads mamba_d_head mamba_n_groups mamba_d_state mamba_d_conv mamba_expand "
        "mamba_chunk_size mamba_conv_bias mamba_proj_bias time_step_limit time_step_min time_step_max",
    .gguf = &gguf,
    .read_config = read_config,
    .meaning_of = usual_meaning};

}  // namespace engine
