#include <engine/model/families/decoder.hpp>
#include <engine/model/families/qwen3_hybrid.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace engine {
namespace {

constexpr slot slots[] = {
    norm_part("input_layernorm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_gated),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.o_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("self_attn.q_norm", &block::query_norm, extent::query_norm),
    norm_part("self_attn.k_norm", &block::key_norm, extent::key_norm),
    attention_part("linear_attn.in_proj_q", &block::mixer_query, extent::mixer_keys),
    attention_part("linear_attn.in_proj_k", &block::mixer_key, extent::mixer_keys),
    attention_part("linear_attn.in_proj_v", &block::mixer_value, extent::mixer_inner),
    attention_part("linear_attn.in_proj_z", &block::mixer_gate, extent::mixer_inner),
    small_part("linear_attn.in_proj_b", &block::mixer_write, extent::mixer_heads),
    small_part("linear_attn.in_proj_a", &block::mixer_decay, extent::mixer_heads),
    values_part("linear_attn.conv1d.weight", &block::conv_kernel, extent::conv_channels, extent::conv_taps),
    values_part("linear_attn.A_log", &block::decay_log, extent::mixer_heads),
    values_part("linear_attn.dt_bias", &block::step_bias, extent::mixer_heads),
    values_part("linear_attn.norm.weight", &block::mixer_norm, extent::mixer_norm),
    attention_part("linear_attn.out_proj", &block::mixer_out, extent::width, extent::mixer_inner),
    norm_part("post_attention_layernorm", &block::mlp_norm),
    mlp_part("mlp.gate_proj", &block::gate),
    mlp_part("mlp.up_proj", &block::up),
    mlp_part("mlp.down_proj", &block::down),
    router_part("mlp.gate"),
    expert_part("mlp.experts.*.gate_proj", &expert::gate),
    expert_part("mlp.experts.*.up_proj", &expert::up),
    expert_part("mlp.experts.*.down_proj", &expert::down),
    shared_part("mlp.shared_expert.gate_proj", &block::shared_gate),
    shared_part("mlp.shared_expert.up_proj", &block::shared_up),
    shared_part("mlp.shared_expert.down_proj", &block::shared_down),
    shared_scale_part("mlp.shared_expert_gate")};

[[nodiscard]] config read_config(const json_object& keys) {
  config c = read_qwen3_hybrid(keys, architecture::qwen3_next, 2);
  knobs& k = *c.knobs;
  const std::size_t experts = keys.whole_number_or("num_experts", 512);
  const std::size_t step = keys.whole_number_or("decoder_sparse_step", 1);
  if (step == 0) keys.refuse("key \"decoder_sparse_step\" is 0", "1 or more");
  const std::vector<std::size_t> dense =
      read_indices(keys, "mlp_only_layers", c.layers).value_or(std::vector<std::size_t>());
  for (std::size_t l = 0; l < c.layers; ++l)
    k.layers[l].experts = experts != 0 && (l + 1) % step == 0 && std::ranges::find(dense, l) == dense.end();
  if (experts != 0)
    k.mixture = {.router = {.rule = router_rule::softmax_then_choice,
                            .experts = experts,
                            .chosen = keys.whole_number_or("num_experts_per_tok", 10),
                            .renormalize = keys.flag_or("norm_topk_prob", true)},
                 .hidden = keys.whole_number_or("moe_intermediate_size", 512),
                 .shared_hidden = keys.whole_number_or("shared_expert_intermediate_size", 512),
                 .shared_gate = true};
  return c;
}

/// The rows of in_proj_qkvz and in_proj_ba go by key head: its query and key, then the values of the heads that it
/// serves, then their gates; b, then a.
[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const std::size_t at = name.find("in_proj_");
  if (at == std::string_view::npos || name.size() != at + 16) return {};  // "in_proj_q.weight"
  const delta_net_shape& s = k.delta_net;
  const std::size_t served = s.value_heads / s.key_heads, values = served * s.value_width;
  const auto part = [&](std::string_view whole, std::size_t first, std::size_t rows, std::size_t rows_of_head) {
    return tensor_part{.whole = std::string(name.substr(0, at)) + std::string(whole),
                       .shape = {s.key_heads * rows_of_head, c.width},
                       .first = first * c.width,
                       .group = rows,
                       .group_stride = rows_of_head * c.width,
                       .out_stride = c.width};
  };
  const std::size_t head = 2 * s.key_width + 2 * values;
  switch (name[at + 8]) {
    case 'q': return part("in_proj_qkvz.weight", 0, s.key_width, head);
    case 'k': return part("in_proj_qkvz.weight", s.key_width, s.key_width, head);
    case 'v': return part("in_proj_qkvz.weight", 2 * s.key_width, values, head);
    case 'z': return part("in_proj_qkvz.weight", 2 * s.key_width + values, values, head);
    case 'b': return part("in_proj_ba.weight", 0, served, 2 * served);
    case 'a': return part("in_proj_ba.weight", served, served, 2 * served);
    default: return {};
  }
}

/// Files may also hold a layer that predicts a further token.
[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  if (stored.starts_with("mtp.")) return {};
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  return {std::string(stored), false};
}

constexpr name_pair gguf_names[] = {
    {"ffn_norm", "post_attention_norm"}, {"ssm_beta", "ssm_ba"}, {"ssm_alpha", "ssm_ba"}};
constexpr gguf_family gguf{.architecture = "qwen3next",
                           .names = gguf_names,
                           .honours =
                               ".ssm.conv_kernel .ssm.state_size .ssm.group_count .ssm.time_step_rank .ssm.inner_size "
                               ".full_attention_interval .expert_count .expert_used_count .expert_feed_forward_length "
                               ".expert_shared_feed_forward_length",
                           .complete = complete_delta_net};

}  // namespace

constinit const family qwen3_next_family{
    .name = "Qwen3-Next",
    .model_type = "qwen3_next",
    .hugging_face_class = "Qwen3NextForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "attention_bias partial_rotary_factor layer_types full_attention_interval linear_conv_kernel_dim "
        "linear_key_head_dim linear_value_head_dim linear_num_key_heads linear_num_value_heads attn_output_gate "
        "num_experts num_experts_per_tok norm_topk_prob moe_intermediate_size shared_expert_intermediate_size "
        "decoder_sparse_step mlp_only_layers output_router_logits router_aux_loss_coef",
    .gguf = &gguf,
    .read_config = read_config,
    .meaning_of = meaning_of,
    .part_of = part_of};

}  // namespace engine
