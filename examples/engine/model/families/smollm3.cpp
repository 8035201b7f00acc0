#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

// SmolLM3: a Llama in which some layers have no rotary positions, and only those may have a window.

namespace engine {
namespace {

[[nodiscard]] config read_smollm3(const json_object& keys) {
  config c = read_decoder(keys, architecture::smollm3, {.kv_heads = 4, .theta = 2e6, .tied = true});
  knobs& k = *c.knobs;
  k.qkv_bias = k.output_bias = keys.flag_or("attention_bias", false);
  k.mlp_bias = keys.flag_or("mlp_bias", false);
  const std::size_t interval = keys.whole_number_or("no_rope_layer_interval", 4);
  if (interval == 0) keys.refuse("key \"no_rope_layer_interval\" is 0", "at least 1");
  const json* const stated = keys.find("no_rope_layers");
  if (stated != nullptr && (!stated->is_array() || stated->size() != c.layers))
    keys.refuse(
        "key \"no_rope_layers\" is " + type_of(*stated),
        "a list of " + std::to_string(c.layers) + " numbers, 1 for layers with rotary positions and 0 for others");
  const auto types = read_layer_types(keys, c.layers, "full_attention sliding_attention");
  const std::size_t window = keys.flag_or("use_sliding_window", false) ? read_window(keys, "sliding_window", 0) : 0;
  for (std::size_t l = 0; l < c.layers; ++l) {
    bool rotates = (l + 1) % interval != 0;
    if (stated != nullptr) {
      const json& value = (*stated)[l];
      if (value != 0 && value != 1) keys.refuse("key \"no_rope_layers\" holds " + type_of(value), "0 or 1");
      rotates = value == 1;
    }
    if (!rotates) k.layers[l].rope = no_rope;
    const bool slides = types ? (*types)[l] == "sliding_attention" : !rotates;
    if (types && slides && window == 0)
      keys.refuse("key \"layer_types\" holds sliding_attention without a window",
                  "use_sliding_window true and a sliding_window, or full_attention alone");
    if (slides) k.layers[l].window = window;
  }
  return c;
}

constexpr gguf_family gguf{.architecture = "smollm3", .adjacent_pairs = true, .attends_to_all = true};

}  // namespace

constinit const family smollm3_family{
    .name = "SmolLM3",
    .model_type = "smollm3",
    .hugging_face_class = "SmolLM3ForCausalLM",
    .prefix = "model.",
    .token_embedding = "embed_tokens",
    .blocks = "layers.",
    .in_block = usual_slots,
    .final_norm = "norm",
    .head = "lm_head",
    .keys =
        "attention_bias mlp_bias no_rope_layers no_rope_layer_interval layer_types use_sliding_window "
        "sliding_window",
    .gguf = &gguf,
    .read_config = read_smollm3,
    .meaning_of = usual_meaning};

}  // namespace engine
