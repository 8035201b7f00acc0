#include <engine/model/known_keys.hpp>

#include <precis/core/text.hpp>

#include <algorithm>

namespace engine {
namespace key_tables {
namespace {

using enum key_use;

constexpr key_row config_json[] = {
    {.use = read, .keys = "model_type bos_token_id eos_token_id"},

    // The families' shapes and settings.
    {.use = extent, .keys = "n_layer n_head n_embd n_positions n_ctx n_inner vocab_size", .families = "gpt2"},
    {.use = read,
     .keys = "layer_norm_epsilon activation_function scale_attn_weights scale_attn_by_inverse_layer_idx "
             "add_cross_attention tie_word_embeddings",
     .families = "gpt2"},
    {.use = extent,
     .keys = "num_hidden_layers hidden_size num_attention_heads vocab_size max_position_embeddings",
     .families = "llama opt phi bert"},
    {.use = extent, .keys = "intermediate_size", .families = "llama phi bert"},
    {.use = extent, .keys = "num_key_value_heads", .families = "llama phi"},
    {.use = read,
     .keys = "rope_theta rope_scaling rope_parameters partial_rotary_factor tie_word_embeddings hidden_act",
     .families = "llama phi"},
    {.use = extent, .keys = "head_dim", .families = "llama"},
    {.use = read, .keys = "rms_norm_eps attention_bias mlp_bias", .families = "llama"},
    {.use = read, .keys = "layer_norm_eps qk_layernorm", .families = "phi"},
    {.use = extent, .keys = "ffn_dim word_embed_proj_dim", .families = "opt"},
    {.use = read,
     .keys = "activation_function do_layer_norm_before enable_bias layer_norm_elementwise_affine "
             "_remove_final_layer_norm tie_word_embeddings",
     .families = "opt"},
    {.use = extent, .keys = "type_vocab_size", .families = "bert"},
    {.use = read,
     .keys = "layer_norm_eps hidden_act position_embedding_type problem_type is_decoder add_cross_attention id2label "
             "num_labels",
     .families = "bert"},
    {.use = ignored, .keys = "tie_word_embeddings", .families = "bert encoder"},  // the head is a classifier, or none

    // What other models can do and these cannot.
    {.use = neutral, .neutral = "default", .keys = "rope_scaling rope_parameters"},
    {.use = neutral, .neutral = "1", .keys = "partial_rotary_factor rotary_pct rope_pct rotary_percentage"},
    {.use = neutral, .keys = "rotary_dim rope_local_base_freq rope_type"},
    {.use = neutral, .neutral = "false", .keys = "rope_interleaved", .families = "llama phi decoder"},
    {.use = neutral, .neutral = "true", .keys = "use_rope", .families = "llama phi decoder"},
    {.use = neutral,
     .neutral = "1",
     .keys = "no_rope_layers",
     .families = "llama phi decoder"},  // 1 means that it has them
    {.use = neutral,
     .neutral = "0",
     .keys = "no_rope_layer_interval nope_layer_interval",
     .families = "llama phi decoder"},
    {.use = window, .keys = "sliding_window window_size"},
    {.use = neutral, .neutral = "full_attention", .keys = "layer_types"},
    {.use = neutral, .neutral = "0", .keys = "attention_chunk_size sliding_window_pattern num_kv_shared_layers"},
    {.use = neutral,
     .neutral = "false",
     .keys =
         "use_sliding_window use_bidirectional_attention attn_temperature_tuning attention_sink use_qk_norm qk_norm "
         "qk_layernorm alibi use_alibi multi_query new_decoder_architecture normalize_embedding scale_embedding "
         "is_encoder_decoder tie_encoder_decoder add_cross_attention"},
    {.use = neutral, .neutral = "true", .keys = "is_causal", .families = "gpt2 llama opt phi decoder"},
    {.use = neutral, .neutral = "false", .keys = "is_causal", .families = "bert encoder"},
    {.use = neutral,
     .neutral = "false",
     .keys = "parallel_attn parallel_attention use_parallel_residual parallel_residual",
     .families = "gpt2 llama opt bert decoder encoder"},
    {.use = neutral,
     .neutral = "true",
     .keys = "parallel_attn parallel_attention use_parallel_residual parallel_residual",
     .families = "phi"},
    {.use = neutral,
     .neutral = "false",
     .keys = "bias use_bias qkv_bias use_qkv_bias attention_out_bias attention_o_bias lm_head_bias",
     .families = "llama decoder"},
    {.use = neutral, .neutral = "false", .keys = "attention_bias mlp_bias", .families = "decoder"},
    {.use = neutral,
     .neutral = "true",
     .keys = "bias use_bias qkv_bias use_qkv_bias attention_bias attention_out_bias mlp_bias",
     .families = "gpt2 opt phi bert"},
    {.use = neutral, .neutral = "silu", .keys = "hidden_activation activation_function", .families = "llama"},
    {.use = neutral, .keys = "hidden_activation"},
    {.use = neutral,
     .neutral = "1",
     .keys = "logits_scaling logit_scale embedding_multiplier residual_multiplier scale_emb key_multiplier "
             "lm_head_multiplier attention_in_multiplier attention_out_multiplier mup_width_scale"},
    {.use = neutral,
     .keys = "attention_multiplier query_pre_attn_scalar scale_depth dim_model_base mlp_multipliers ssm_multipliers"},
    {.use = neutral,
     .neutral = "0",
     .keys = "clip_qkv attn_logit_softcapping final_logit_softcapping activation_sparsity_pattern swiglu_limit"},
    {.use = neutral,
     .neutral = "0",
     .keys = "num_experts num_local_experts n_routed_experts n_shared_experts num_experts_per_tok "
             "moe_intermediate_size num_nextn_predict_layers q_lora_rank kv_lora_rank hidden_size_per_layer_input"},
    {.use = neutral, .neutral = "1", .keys = "full_attn_mod interpolate_factor"},
    {.use = neutral, .keys = "compression_config cross_attention_hidden_size pruned_heads"},

    // What changes no result: labels of a language model, provenance, training, files of other programs.
    {.keys = "id2label num_labels problem_type is_decoder"},
    {.keys = "rope_theta original_max_position_embeddings max_window_layers"},
    {.keys = "architectures _name_or_path name_or_path transformers_version torch_dtype dtype use_cache return_dict "
             "output_attentions output_hidden_states torchscript use_bfloat16 tf_legacy_loss tokenizer_class "
             "task_specific_params finetuning_task chunk_size_feed_forward label2id auto_map _commit_hash "
             "_attn_implementation attn_implementation _attn_implementation_autoset _attn_implementation_internal "
             "_flash_attn_2_enabled pad_token_id sep_token_id unk_token_id cls_token_id mask_token_id "
             "decoder_start_token_id output_past language prefix is_llama_config output_router_logits "
             "router_aux_loss_coef router_jitter_noise initializer_cutoff_factor"},
    {.keys =
         "attn_pdrop embd_pdrop resid_pdrop resid_dropout dropout attention_dropout activation_dropout hidden_dropout "
         "embedding_dropout hidden_dropout_prob attention_probs_dropout_prob classifier_dropout layerdrop "
         "initializer_range init_std gradient_checkpointing pretraining_tp reorder_and_upcast_attn summary_activation "
         "summary_first_dropout summary_proj_to_labels summary_type summary_use_proj"},
    {.keys = "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head "
             "pooler_type",
     .families = "bert"},
};

/// Older files have these keys in config.json.
constexpr key_row generation_config[] = {
    {.use = read, .keys = "bos_token_id eos_token_id"},
    {.keys = "pad_token_id decoder_start_token_id transformers_version _from_model_config use_cache "
             "return_dict_in_generate "
             "output_scores output_logits output_attentions output_hidden_states cache_implementation "
             "renormalize_logits remove_invalid_values"},
    // How to sample is for the user of the program to say.
    {.keys =
         "do_sample temperature top_k top_p top_h typical_p min_p epsilon_cutoff eta_cutoff penalty_alpha num_beams "
         "num_beam_groups num_return_sequences early_stopping length_penalty diversity_penalty max_length "
         "max_new_tokens max_time trust_remote_code"},
    {.use = unapplied, .neutral = "1", .keys = "repetition_penalty encoder_repetition_penalty guidance_scale"},
    {.use = unapplied,
     .neutral = "0",
     .keys = "min_length min_new_tokens no_repeat_ngram_size encoder_no_repeat_ngram_size"},
    {.use = unapplied,
     .keys = "bad_words_ids suppress_tokens begin_suppress_tokens forced_bos_token_id forced_eos_token_id "
             "forced_decoder_ids force_words_ids constraints sequence_bias stop_strings "
             "exponential_decay_length_penalty watermarking_config"},
};

constexpr key_row gguf_model[] = {
    {.use = extent,
     .keys = ".block_count .embedding_length .attention.head_count .attention.head_count_kv .feed_forward_length "
             ".context_length .vocab_size"},
    {.use = read, .keys = ".attention.layer_norm_rms_epsilon .rope.freq_base", .families = "llama"},
    {.use = extent, .keys = ".rope.dimension_count .attention.key_length .attention.value_length", .families = "llama"},
    {.use = extent, .keys = ".attention.key_length .attention.value_length", .families = "gpt2"},
    {.use = read, .keys = ".attention.layer_norm_epsilon", .families = "gpt2"},
    {.keys = ".attention.layer_norm_epsilon .attention.layer_norm_rms_epsilon"},
    {.keys = ".rope.dimension_count .rope.freq_base"},  // without rotary positions

    {.use = neutral, .neutral = "0 1", .keys = ".rope.scale_linear .rope.scaling.alpha"},
    {.use = neutral, .neutral = "1", .keys = ".rope.scaling.yarn_attn_factor"},
    {.use = neutral, .neutral = "-1 0", .keys = ".rope.scaling.yarn_ext_factor"},
    {.use = neutral, .neutral = "0", .keys = ".rope.scaling.yarn_log_multiplier .rope.dimension_sections"},

    {.use = neutral, .neutral = "true", .keys = ".attention.causal"},
    {.use = window, .keys = ".attention.sliding_window"},
    {.use = neutral, .neutral = "0 1 false", .keys = ".attention.sliding_window_pattern"},
    {.keys = ".rope.dimension_count_swa .rope.freq_base_swa .attention.key_length_swa .attention.value_length_swa"},
    {.use = neutral,
     .neutral = "0",
     .keys = ".attention.scale .attention.clamp_kqv .attention.max_alibi_bias .attention.temperature_length "
             ".attention.temperature_scale .attention.group_norm_epsilon .attention.group_norm_groups "
             ".attention.q_lora_rank .attention.kv_lora_rank .attention.decay_lora_rank .attention.iclr_lora_rank "
             ".attention.value_residual_mix_lora_rank .attention.gate_lora_rank .attention.relative_buckets_count "
             ".attention.key_length_mla .attention.value_length_mla .attention.shared_kv_layers "
             ".attention.indexer.head_count .attention.indexer.key_length .attention.indexer.top_k"},
    {.use = neutral,
     .neutral = "0 1",
     .keys = ".attention.output_scale .logit_scale .residual_scale .embedding_scale .expert_weights_scale "
             ".expert_group_scale"},
    {.use = neutral,
     .neutral = "0",
     .keys = ".attn_logit_softcapping .final_logit_softcapping .router_logit_softcapping .swiglu_clamp_exp "
             ".swiglu_clamp_shexp .activation_sparsity_scale"},
    {.use = neutral,
     .neutral = "0",
     .keys = ".expert_count .expert_used_count .expert_shared_count .expert_group_count .expert_group_used_count "
             ".expert_gating_func .expert_feed_forward_length .expert_shared_feed_forward_length "
             ".expert_chunk_feed_forward_length .experts_per_group .leading_dense_block_count .moe_every_n_layers "
             ".moe_latent_size .interleave_moe_layer_step .nextn_predict_layers"},
    {.use = neutral, .neutral = "false", .keys = ".expert_weights_norm .use_parallel_residual .swin_norm"},
    {.use = neutral,
     .neutral = "0",
     .keys = ".embedding_length_per_layer_input .features_length .n_deepstack_layers .rescale_every_n_layers "
             ".time_mix_extra_dim .time_decay_extra_dim .token_shift_count .full_attention_interval .altup.active_idx "
             ".altup.num_inputs .ssm.conv_kernel .ssm.inner_size .ssm.state_size .ssm.time_step_rank .ssm.group_count "
             ".ssm.dt_b_c_rms .kda.head_dim .wkv.head_size .shortconv.l_cache"},
    {.use = neutral, .neutral = "-1", .keys = ".deepstack_mapping"},
    {.use = neutral, .neutral = "silu", .keys = ".hidden_activation", .families = "llama"},
    {.use = neutral, .neutral = "gelu gelu_new gelu_pytorch_tanh", .keys = ".hidden_activation", .families = "gpt2"},
    {.use = neutral, .keys = ".classifier.output_labels .embedding_length_out"},
    {.keys = ".pooling_type .tensor_data_layout .decoder_start_token_id .decoder_block_count"},

    {.use = neutral, .neutral = "model", .keys = "general.type"},  // not an adapter, a projector or importance data
    {.use = neutral, .neutral = "0 1", .keys = "split.count"},
    {.use = neutral, .neutral = "0", .keys = "split.no"},
    {.use = neutral, .keys = "adapter.type diffusion.shift_logits xielu.alpha_p xielu.alpha_n xielu.beta xielu.eps"},
};

}  // namespace
}  // namespace key_tables

namespace {

/// Calls use(word) for the words of a list until it returns true; whether one did.
template<class Use>
bool any_word(std::string_view list, Use&& use) {
  while (!list.empty()) {
    const std::size_t stop = std::min(list.find(' '), list.size());
    if (stop != 0 && use(list.substr(0, stop))) return true;
    list.remove_prefix(std::min(stop + 1, list.size()));
  }
  return false;
}

[[nodiscard]] bool equals(const plain_value& value, std::string_view word) {
  if (const auto* flag = std::get_if<bool>(&value)) return word == (*flag ? "true" : "false");
  if (const auto* text = std::get_if<std::string>(&value)) return word == *text;
  double number = 0;
  if (!precis::text::read(word, number)) return false;
  const auto* whole = std::get_if<std::uint64_t>(&value);
  return whole != nullptr ? static_cast<double>(*whole) == number : std::get<double>(value) == number;
}

}  // namespace

std::span<const key_row> config_json_keys() noexcept { return key_tables::config_json; }
std::span<const key_row> generation_config_keys() noexcept { return key_tables::generation_config; }
std::span<const key_row> gguf_model_keys() noexcept { return key_tables::gguf_model; }

bool has_word(std::string_view list, std::string_view word) noexcept {
  return any_word(list, [word](std::string_view w) { return w == word; });
}

const key_row* find_key(std::span<const key_row> rows, std::string_view key, std::string_view family) {
  const key_row* general = nullptr;
  for (const key_row& row : rows) {
    if (!has_word(row.keys, key)) continue;
    if (has_word(row.families, family)) return &row;
    if (row.families.empty() && general == nullptr) general = &row;
  }
  return general;
}

std::string expected_instead(const key_row& row, std::span<const plain_value> values, std::size_t context) {
  const auto all = [&](auto holds) { return std::ranges::all_of(values, holds); };
  const auto* const first = values.empty() ? nullptr : std::get_if<std::uint64_t>(&values.front());
  switch (row.use) {
    case key_use::read:
    case key_use::ignored: return {};
    case key_use::extent:
      if (first != nullptr && *first != 0 && *first <= (std::uint64_t{1} << 28) &&
          all([&](const plain_value& v) { return v == values.front(); }))
        return {};
      return "a whole number from 1 to 2^28";
    case key_use::window:
      if (all([&](const plain_value& v) {
            const auto* reach = std::get_if<std::uint64_t>(&v);
            return reach != nullptr && (*reach == 0 || *reach >= context);
          }))
        return {};
      return "0, or at least the context of " + std::to_string(context);
    case key_use::neutral:
    case key_use::unapplied: break;
  }
  if (all([&](const plain_value& v) {
        return any_word(row.neutral, [&](std::string_view word) { return equals(v, word); });
      }))
    return {};
  std::string expected;
  (void)any_word(row.neutral, [&](std::string_view word) {
    expected += (expected.empty() ? "" : " or ") + std::string(word);
    return false;
  });
  return expected.empty() ? "no such key" : expected;
}

}  // namespace engine
