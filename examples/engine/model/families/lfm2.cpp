#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/hybrid_keys.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>

namespace engine {
namespace {

constexpr slot slots[] = {
    norm_part("operator_norm", &block::attention_norm),
    attention_part("self_attn.q_proj", &block::query, extent::query_width),
    attention_part("self_attn.k_proj", &block::key, extent::kv_width),
    attention_part("self_attn.v_proj", &block::value, extent::kv_width),
    attention_part("self_attn.out_proj", &block::attention_out, extent::width, extent::query_width),
    norm_part("self_attn.q_layernorm", &block::query_norm, extent::query_norm),
    norm_part("self_attn.k_layernorm", &block::key_norm, extent::key_norm),
    attention_part("conv.in_proj", &block::mixer_in, extent::mixer_in),
    values_part("conv.conv.weight", &block::conv_kernel, extent::conv_channels, extent::conv_taps),
    values_part("conv.conv.bias", &block::conv_bias, extent::conv_channels),
    attention_part("conv.out_proj", &block::mixer_out, extent::width, extent::mixer_inner),
    norm_part("ffn_norm", &block::mlp_norm),
    mlp_part("feed_forward.w1", &block::gate),
    mlp_part("feed_forward.w3", &block::up),
    mlp_part("feed_forward.w2", &block::down)};

/// The width inside the MLP, of which the stated one is only the start.
[[nodiscard]] std::size_t adjusted_width(const json_object& keys, std::size_t stated) {
  if (!keys.flag_or("block_auto_adjust_ff_dim", true)) return stated;
  std::size_t width = 2 * stated / 3;
  if (keys.find("block_ffn_dim_multiplier") != nullptr)
    width = static_cast<std::size_t>(keys.number_or("block_ffn_dim_multiplier", 1) * static_cast<double>(width));
  const std::size_t multiple = keys.whole_number_or("block_multiple_of", 256);
  if (multiple == 0) keys.refuse("key \"block_multiple_of\" is 0", "1 or more");
  return (width + multiple - 1) / multiple * multiple;
}

[[nodiscard]] std::vector<mixer> mixers_of(const json_object& keys, std::size_t layers) {
  if (const auto types = read_layer_types(keys, layers, "full_attention conv"))
    return mixers_named(*types, mixer::short_conv);
  const auto attending = read_indices(keys, "full_attn_idxs", layers);
  if (!attending) return std::vector<mixer>(layers, mixer::attention);
  std::vector<mixer> mixers(layers, mixer::short_conv);
  for (const std::size_t l : *attending) mixers[l] = mixer::attention;
  return mixers;
}

[[nodiscard]] config read_config(const json_object& keys) {
  const bool block_key = keys.contains("block_ff_dim");
  config c = read_decoder(keys, architecture::lfm2,
                          {.kv_heads = 8,
                           .epsilon = 1e-5,
                           .theta = positive_number(keys, "theta", 1000000),
                           .tied = true,
                           .epsilon_key = "norm_eps",
                           .hidden_key = block_key ? "block_ff_dim" : "intermediate_size"});
  must_be_silu(keys, c);
  c.tied_head = keys.flag_or("tie_embedding", c.tied_head);  // before tie_word_embeddings
  c.hidden = adjusted_width(keys, c.hidden);
  must_be(keys, "use_pos_enc", true);
  must_be(keys, "block_use_swiglu", true);
  for (const char* const key : {"conv_dim", "block_dim"})
    if (keys.whole_number_or(key, c.width) != c.width)
      keys.refuse("key \"" + std::string(key) + "\" is " + std::to_string(keys.whole_number(key)),
                  std::to_string(c.width) + ", the hidden_size");
  knobs& k = *c.knobs;
  k.query_key_norm = head_norm::per_head;
  k.short_conv_width = keys.whole_number_or("conv_L_cache", 3);
  k.conv_bias = k.mixer_in_bias = k.mixer_out_bias = keys.flag_or("conv_bias", false);
  set_mixers(c, mixers_of(keys, c.layers));
  return c;
}

constexpr name_pair gguf_names[] = {{"ssm_in", "shortconv.in_proj"},
                                    {"ssm_out", "shortconv.out_proj"},
                                    {"ssm_conv1d.weight", "shortconv.conv.weight"},
                                    {"ssm_conv1d.bias", "shortconv.conv.bias"},
                                    {"output_norm", "token_embd_norm"}};
constexpr name_pair gguf_keys[] = {{".shortconv.l_cache", "conv_L_cache"}};
void complete_gguf(const gguf_reader& g, json& config) {
  config["block_auto_adjust_ff_dim"] = false;
  json types = json::array();
  for (const std::size_t kv : g.per_layer(".attention.head_count_kv", config["num_hidden_layers"]))
    types.push_back(kv != 0 ? "full_attention" : "conv");
  config["layer_types"] = types;
}
constexpr gguf_family gguf{
    .architecture = "lfm2", .varies = true, .names = gguf_names, .keys = gguf_keys, .complete = complete_gguf};

}  // namespace

constinit const family lfm2_family{
    .name = "LFM2",
    .model_type = "lfm2",
    .hugging_face_class = "Lfm2ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = slots,
    .final_norm = "embedding_norm",
    .head = "lm_head",
    .keys =
        "block_ff_dim block_auto_adjust_ff_dim block_ffn_dim_multiplier block_multiple_of "
        "norm_eps tie_embedding use_pos_enc block_use_swiglu conv_dim block_dim conv_L_cache "
        "conv_bias theta layer_types full_attn_idxs num_heads block_norm_eps "
        "block_mlp_init_scale block_out_init_scale block_use_xavier_init conv_use_xavier_init",
    .gguf = &gguf,
    .read_config = read_config,
    .meaning_of = usual_meaning};

}  // namespace engine
