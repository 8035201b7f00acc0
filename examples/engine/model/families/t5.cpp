#include <engine/model/families/config_keys.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/families/encoders.hpp>

#include <precis/core/shown.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

// The encoder of T5: RMSNorms before, no biases, positions only as a bias of scores, scores that are not scaled.

namespace engine {
namespace {

/// A tensor of the MLP whose name depends on whether there is a gate.
[[nodiscard]] constexpr slot up_part(std::string_view name, gating only) {
  slot s = mlp_part(name, &block::up);
  s.only = only;
  return s;
}

constexpr slot slots[] = {
    norm_part("layer.0.layer_norm", &block::attention_norm),
    attention_part("layer.0.SelfAttention.q", &block::query, extent::query_width),
    attention_part("layer.0.SelfAttention.k", &block::key, extent::kv_width),
    attention_part("layer.0.SelfAttention.v", &block::value, extent::kv_width),
    attention_part("layer.0.SelfAttention.o", &block::attention_out, extent::width, extent::query_width),
    norm_part("layer.1.layer_norm", &block::mlp_norm),
    mlp_part("layer.1.DenseReluDense.wi_0", &block::gate),
    up_part("layer.1.DenseReluDense.wi_1", gating::gated),
    up_part("layer.1.DenseReluDense.wi", gating::plain),
    mlp_part("layer.1.DenseReluDense.wo", &block::down)};

[[nodiscard]] config read_t5(const json_object& keys) {
  if (is_classifier(keys, false))
    keys.refuse("key \"architectures\" names a classifier, which this engine supports for model type bert alone",
                "a model that embeds texts, such as T5EncoderModel");
  config c{.architecture = architecture::t5};
  c.layers = keys.whole_number_or("num_layers", 6);
  c.width = keys.whole_number_or("d_model", 512);
  c.heads = c.kv_heads = keys.whole_number_or("num_heads", 8);
  c.hidden = keys.whole_number_or("d_ff", 2048);
  c.vocabulary = keys.whole_number_or("vocab_size", 32128);
  c.context = keys.whole_number_or("n_positions", 512);
  c.norm_epsilon = positive_number(keys, "layer_norm_epsilon", 1e-6);
  if (c.layers == 0 || c.layers > (std::size_t{1} << 16))
    keys.refuse("key \"num_layers\" is " + std::to_string(c.layers), "1 to 2^16");

  const std::string projection = keys.text_or("feed_forward_proj", "relu");
  const bool gated = projection.starts_with("gated-");
  std::string function = gated ? projection.substr(6) : projection;
  if (projection == "gated-gelu") function = "gelu_new";  // the only name that stands for another
  const json named{{"feed_forward_proj", function}};
  knobs k{.qkv_bias = false,
          .attention_scale = 1,
          .gated = keys.flag_or("is_gated_act", gated),
          .embeds = true,
          .relative_bias = {.rows = keys.whole_number_or("relative_attention_num_buckets", 32),
                            .buckets = keys.whole_number_or("relative_attention_num_buckets", 32),
                            .distance = keys.whole_number_or("relative_attention_max_distance", 128)}};
  c.activation = keys.find("dense_act_fn") != nullptr
                     ? read_any_activation(keys, "dense_act_fn", function)
                     : read_any_activation(json_object(named, keys.where()), "feed_forward_proj", function);
  k.layers.assign(
      c.layers,
      {.rope = no_rope, .head_width = keys.whole_number_or("d_kv", 64), .kv_heads = c.heads, .hidden = c.hidden});
  if (k.relative_bias.buckets % 2 != 0)
    keys.refuse("key \"relative_attention_num_buckets\" is " + std::to_string(k.relative_bias.buckets),
                "an even number");
  c.knobs = std::move(k);
  return c;
}

[[nodiscard]] tensor_meaning meaning_of(std::string_view stored) { return {std::string(stored), false}; }

/// A whole T5 also has a decoder, a head, and its token embedding under further names.
[[nodiscard]] bool is_unused(const knobs&, std::string_view name) {
  return is_head(name) || name == "encoder.embed_tokens.weight";
}

constexpr name_pair gguf_names[] = {{"attn_output", "attn_o"}, {"output_norm", "enc.output_norm"}};
constexpr name_pair gguf_keys[] = {{".attention.relative_buckets_count", "relative_attention_num_buckets"}};
void complete_gguf(const gguf_reader& g, json& config) {
  complete_encoder(g, config);
  config["architectures"] = {"T5EncoderModel"};
  config["feed_forward_proj"] = g.tensor("enc.blk.0.ffn_gate.weight") != nullptr ? "gated-gelu" : "relu";
}
constexpr gguf_family gguf{.architecture = "t5encoder",
                           .blocks = "enc.blk.",
                           .rotary = false,
                           .names = gguf_names,
                           .keys = gguf_keys,
                           .honours = encoder_gguf_keys,
                           .complete = complete_gguf};

}  // namespace

constinit const family t5_family{
    .name = "T5",
    .model_type = "t5",
    .hugging_face_class = "T5EncoderModel",
    .prefix = "",
    .causal = false,
    .token_embedding = "shared",
    .relative_bias = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
    .blocks = "encoder.block.",
    .in_block = slots,
    .final_norm = "encoder.final_layer_norm",
    .keys =
        "num_layers d_model num_heads d_ff d_kv vocab_size n_positions layer_norm_epsilon feed_forward_proj "
        "is_gated_act dense_act_fn relative_attention_num_buckets relative_attention_max_distance architectures "
        "is_encoder_decoder num_decoder_layers dropout_rate initializer_factor is_decoder",
    .gguf = &gguf,
    .read_config = read_t5,
    .meaning_of = meaning_of,
    .is_unused = is_unused};

}  // namespace engine
