#include <engine/model/families/decoder.hpp>
#include <engine/model/families/qwen3_hybrid.hpp>

#include <nlohmann/json.hpp>

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
    mlp_part("mlp.down_proj", &block::down)};

[[nodiscard]] config read_config(const json_object& keys) {
  const json* const text = keys.find("text_config");
  if (text == nullptr) return read_qwen3_hybrid(keys, architecture::qwen3_5, 4);
  if (!text->is_object()) keys.refuse("key \"text_config\" is " + type_of(*text), "an object");
  const json_object inner(*text, keys.where());
  config c = read_qwen3_hybrid(inner, architecture::qwen3_5, 4);
  if (const bool tied = keys.flag_or("tie_word_embeddings", c.tied_head); tied != c.tied_head) {
    if (inner.contains("tie_word_embeddings"))
      keys.refuse("key \"tie_word_embeddings\" is " + std::string(tied ? "true" : "false") + ", but not in text_config",
                  "one value");
    c.tied_head = tied;
  }
  return c;
}

/// Queries, keys and values of a delta net are one tensor.
[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const std::size_t at = name.find("in_proj_");
  if (at == std::string_view::npos) return {};
  const std::string_view part = name.substr(at + 8);
  const delta_net_shape& s = k.delta_net;
  const std::size_t first = part == "q.weight"   ? 0
                            : part == "k.weight" ? s.keys()
                            : part == "v.weight" ? 2 * s.keys()
                                                 : s.channels();
  if (first == s.channels()) return {};  // z, b and a are tensors of their own
  return row_range(std::string(name.substr(0, at)) + "in_proj_qkv.weight", {s.channels(), c.width}, first, c.width);
}

/// Beside the language model, files hold a vision tower and a layer that predicts a further token.
[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) {
  for (const std::string_view other : {"model.visual.", "visual.", "mtp."})
    if (stored.starts_with(other)) return {};
  for (const std::string_view prefix : {"model.language_model.", "model."})
    if (stored.starts_with(prefix)) return {std::string(stored.substr(prefix.size())), false};
  return {std::string(stored), false};
}

constexpr name_pair gguf_names[] = {{"ffn_norm", "post_attention_norm"}};
constexpr gguf_family gguf{.architecture = "qwen35",
                           .tiled_value_heads = true,
                           .names = gguf_names,
                           .honours =
                               ".ssm.conv_kernel .ssm.state_size .ssm.group_count .ssm.time_step_rank .ssm.inner_size "
                               ".full_attention_interval .rope.dimension_sections",
                           .complete = complete_delta_net};

}  // namespace

constinit const family qwen3_5_family{.name = "Qwen3.5",
                                      .model_type = "qwen3_5",
                                      .hugging_face_class = "Qwen3_5ForConditionalGeneration",
                                      .prefix = "model.language_model.",
                                      .token_embedding = "embed_tokens",
                                      .blocks = "layers.",
                                      .in_block = slots,
                                      .final_norm = "norm",
                                      .head = "lm_head",
                                      .nested = "text_config",
                                      .keys =
                                          "attention_bias layer_types full_attention_interval linear_conv_kernel_dim "
                                          "linear_key_head_dim linear_value_head_dim linear_num_key_heads "
                                          "linear_num_value_heads attn_output_gate mamba_ssm_dtype "
                                          "mtp_num_hidden_layers mtp_use_dedicated_embeddings text_config "
                                          "vision_config image_token_id video_token_id vision_start_token_id "
                                          "vision_end_token_id",
                                      .gguf = &gguf,
                                      .read_config = read_config,
                                      .meaning_of = meaning_of,
                                      .part_of = part_of};

}  // namespace engine
