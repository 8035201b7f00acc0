#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/hybrid_keys.hpp>

#include <precis/core/shown.hpp>
#include <precis/core/text.hpp>

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
    norm_part("post_attention_layernorm", &block::mlp_norm),
    router_part("block_sparse_moe.router.layer"),
    expert_part("block_sparse_moe.experts.*.gate_proj", &expert::gate),
    expert_part("block_sparse_moe.experts.*.up_proj", &expert::up),
    expert_part("block_sparse_moe.experts.*.down_proj", &expert::down),
    mlp_part("shared_mlp.gate_proj", &block::gate),
    mlp_part("shared_mlp.up_proj", &block::up),
    mlp_part("shared_mlp.output_linear", &block::down),
    shared_part("shared_mlp.gate_proj", &block::shared_gate),
    shared_part("shared_mlp.up_proj", &block::shared_up),
    shared_part("shared_mlp.output_linear", &block::shared_down)};

[[nodiscard]] std::vector<mixer> mixers_of(const json_object& keys, std::size_t layers) {
  if (const auto types = read_layer_types(keys, layers, mamba_types)) return mixers_named(*types, mixer::mamba);
  return std::vector<mixer>(layers, mixer::mamba);
}

[[nodiscard]] config read_config(const json_object& keys) {
  const std::size_t experts = keys.whole_number_or("num_local_experts", 8);
  config c = read_decoder(keys, architecture::granite_hybrid);
  const std::size_t expert_width = c.hidden;
  c.hidden = keys.whole_number_or("shared_intermediate_size", 1024);
  if (const std::string norm = keys.text_or("normalization_function", "rmsnorm"); norm != "rmsnorm")
    keys.refuse("key \"normalization_function\" is \"" + precis::shown(norm) + "\"", "rmsnorm");
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.attention_scale = positive_number(keys, "attention_multiplier", 1);
  k.embedding_scale = finite_number(keys, "embedding_multiplier", 1);
  k.residual_scale = finite_number(keys, "residual_multiplier", 1);
  k.logit_scale = 1 / positive_number(keys, "logits_scaling", 1);
  const std::string positions = keys.text_or("position_embedding_type", "nope");
  if (positions == "nope")
    k.ropes.clear();
  else if (positions != "rope")
    keys.refuse("key \"position_embedding_type\" is \"" + precis::shown(positions) + "\"", "nope or rope");
  read_mamba(keys, expanded_width(keys, c), c);
  set_mixers(c, mixers_of(keys, c.layers));
  if (experts == 0) return c;
  for (layer_settings& l : k.layers) l.experts = true;
  k.mixture = {.router = {.rule = router_rule::choice_then_softmax,
                          .experts = experts,
                          .chosen = keys.whole_number_or("num_experts_per_tok", 2)},
               .hidden = expert_width,
               .shared_hidden = c.hidden};
  return c;
}

/// Gate and up are one tensor, and all experts' are one.
[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  if (const std::size_t at = name.find("shared_mlp."); at != std::string_view::npos) {
    if (ends(".output_linear.weight")) return {};
    return tensor_part{.whole = std::string(name.substr(0, at)) + "shared_mlp.input_linear.weight",
                       .shape = {2 * c.hidden, c.width},
                       .first = ends(".up_proj.weight") ? c.hidden * c.width : 0,
                       .out_stride = c.width};
  }
  constexpr std::string_view experts = "block_sparse_moe.experts.";
  const std::size_t at = name.find(experts);
  if (at == std::string_view::npos) return {};
  std::size_t expert = 0;
  const std::string_view rest = name.substr(at + experts.size());
  if (!precis::text::read(rest.substr(0, rest.find('.')), expert)) return {};
  const std::size_t all = k.mixture.router.experts, hidden = k.mixture.hidden;
  const std::string before(name.substr(0, at));
  if (ends(".down_proj.weight"))
    return tensor_part{.whole = before + "block_sparse_moe.output_linear.weight",
                       .shape = {all, c.width, hidden},
                       .first = expert * c.width * hidden,
                       .out_stride = hidden};
  return tensor_part{.whole = before + "block_sparse_moe.input_linear.weight",
                     .shape = {all, 2 * hidden, c.width},
                     .first = (2 * expert + (ends(".up_proj.weight") ? 1 : 0)) * hidden * c.width,
                     .out_stride = c.width};
}

constexpr name_pair gguf_keys[] = {{".attention.scale", "attention_multiplier"},
                                   {".embedding_scale", "embedding_multiplier"},
                                   {".residual_scale", "residual_multiplier"},
                                   {".logit_scale", "logits_scaling"}};
void complete_gguf(const gguf_reader& g, json& config) {
  complete_mamba(g, config);
  // Without experts, the dense MLP has the name of the shared expert.
  config["shared_intermediate_size"] =
      g.whole_or(".expert_shared_feed_forward_length", config["intermediate_size"].get<std::size_t>());
  if (g.has(".expert_feed_forward_length")) config["intermediate_size"] = g.whole_or(".expert_feed_forward_length", 0);
  if (!g.has(".expert_count")) config["num_local_experts"] = std::size_t{0};
  config["position_embedding_type"] = g.keys().flag_or(g.key(".rope.scaling.finetuned"), true) ? "rope" : "nope";
}
[[nodiscard]] bool has_no_positions(const gguf_reader& g) {
  return !g.keys().flag_or(g.key(".rope.scaling.finetuned"), true);
}
constexpr gguf_family gguf{.architecture = "granitehybrid",
                           .varies = true,
                           .adjacent_pairs = true,
                           .keys = gguf_keys,
                           .honours = mamba_gguf_keys,
                           .is_of = has_no_positions,
                           .complete = complete_gguf};

}  // namespace

constinit const family granite_hybrid_family{
    .name = "Granite 4 hybrid",
    .model_type = "granitemoehybrid",
    .hugging_face_class = "GraniteMoeHybridForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "shared_intermediate_size normalization_function attention_bias attention_multiplier embedding_multiplier "
        "residual_multiplier logits_scaling position_embedding_type layer_types num_local_experts num_experts_per_tok "
        "output_router_logits router_aux_loss_coef init_method mamba_n_heads mamba_d_head mamba_n_groups mamba_d_state "
        "mamba_d_conv mamba_expand mamba_chunk_size mamba_conv_bias mamba_proj_bias time_step_limit time_step_min "
        "time_step_max",
    .gguf = &gguf,
    .read_config = read_config,
    .meaning_of = usual_meaning,
    .part_of = part_of};

}  // namespace engine
