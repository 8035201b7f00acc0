#include <engine/model/families/decoder.hpp>

#include <nlohmann/json.hpp>

#include <string>

// Phi-3 and Phi-4: files hold query, key and value in one map, and gate and up in another.

namespace engine {
namespace {

[[nodiscard]] config read_phi3(const json_object& keys) {
  config c = read_decoder(keys, architecture::phi3, {.epsilon = 1e-5});
  const std::size_t window = read_window(keys, "sliding_window", 0);
  for (layer_settings& l : c.knobs->layers) l.window = window;
  return c;
}

[[nodiscard]] std::optional<tensor_part> part_of(const config& c, const knobs& k, std::string_view name) {
  const auto s = split_block_name("layers.", name);
  if (!s || s->layer >= c.layers || s->after != ".weight") return std::nullopt;
  const layer_settings& l = k.layers[s->layer];
  const std::size_t q = c.heads * l.head_width, kv = l.kv_heads * l.head_width;
  const auto part = [&](std::string_view whole, std::size_t rows, std::size_t first) {
    return row_range(std::string(s->before) + std::string(whole) + ".weight", {rows, c.width}, first, c.width);
  };
  if (s->name == "self_attn.q_proj") return part("self_attn.qkv_proj", q + 2 * kv, 0);
  if (s->name == "self_attn.k_proj") return part("self_attn.qkv_proj", q + 2 * kv, q);
  if (s->name == "self_attn.v_proj") return part("self_attn.qkv_proj", q + 2 * kv, q + kv);
  if (s->name == "mlp.gate_proj") return part("mlp.gate_up_proj", 2 * l.hidden, 0);
  if (s->name == "mlp.up_proj") return part("mlp.gate_up_proj", 2 * l.hidden, l.hidden);
  return std::nullopt;
}

constexpr name_pair gguf_keys[] = {{".attention.sliding_window", "sliding_window"}};
void complete_gguf(const gguf_reader&, json& config) {
  if (config.contains("sliding_window") && config["sliding_window"] == 0) config["sliding_window"] = nullptr;
}
constexpr gguf_family gguf{.architecture = "phi3",
                           .fused_qkv = true,
                           .fused_gate_up = true,
                           .attends_to_all = true,
                           .keys = gguf_keys,
                           .complete = complete_gguf};

}  // namespace

constinit const family phi3_family{.name = "Phi-3",
                                   .model_type = "phi3",
                                   .hugging_face_class = "Phi3ForCausalLM",
                                   .prefix = "model.",
                                   .token_embedding = "embed_tokens",
                                   .blocks = "layers.",
                                   .in_block = usual_slots,
                                   .final_norm = "norm",
                                   .head = "lm_head",
                                   .keys = "sliding_window partial_rotary_factor original_max_position_embeddings",
                                   .gguf = &gguf,
                                   .read_config = read_phi3,
                                   .meaning_of = usual_meaning,
                                   .part_of = part_of};

}  // namespace engine
