#pragma once

#include <engine/files/safetensors.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/weights.hpp>
#include <engine/model_files/load.hpp>

#include <precis/core/random.hpp>

#include "engine/support.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

/// Tiny models of every family, and files of them in every format.
namespace support {

[[nodiscard]] inline engine::config tiny_gpt2() {
  return {.architecture = engine::architecture::gpt2,
          .layers = 2,
          .width = 8,
          .heads = 2,
          .kv_heads = 2,
          .hidden = 12,
          .vocabulary = 300,
          .context = 6};
}

[[nodiscard]] inline engine::config tiny_llama(bool tied = true) {
  return {.architecture = engine::architecture::llama,
          .layers = 2,
          .width = 8,
          .heads = 2,
          .kv_heads = 1,
          .hidden = 12,
          .vocabulary = 300,
          .context = 6,
          .norm_epsilon = 1e-5f,
          .rope_theta = 10000.f,
          .tied_head = tied,
          .activation = engine::activation::silu};
}

[[nodiscard]] inline engine::config tiny_opt() {
  engine::config c = tiny_gpt2();
  c.architecture = engine::architecture::opt;
  c.activation = engine::activation::relu;
  return c;
}

[[nodiscard]] inline engine::config tiny_phi() {
  engine::config c = tiny_llama(false);
  c.architecture = engine::architecture::phi;
  c.activation = engine::activation::gelu_tanh;
  c.rotary_width = 2;
  return c;
}

[[nodiscard]] inline engine::config tiny_bert() {
  engine::config c = tiny_gpt2();
  c.architecture = engine::architecture::bert;
  c.norm_epsilon = 1e-12f;
  c.activation = engine::activation::gelu_erf;
  c.token_types = 2;
  c.labels = 3;
  return c;
}

/// Weights that every storage type represents exactly: multiples of 1/8 up to 2.
[[nodiscard]] inline engine::weights sample_weights(const engine::config& c, std::uint64_t seed = 1) {
  engine::weights w = engine::zeros(c);
  const precis::random_stream random(seed, precis::purpose("sample-weights"));
  std::uint64_t draw = 0;
  for (const engine::tensor<float>& t : engine::tensors(w))
    for (float& v : t.values) v = (static_cast<float>(random.below(draw++, 33)) - 16.f) / 8.f;
  return w;
}

/// A tensor to be written to a file.
struct entry {
  std::string name;
  engine::dtype type = engine::dtype::f32;
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

/// All weights as entries of one type, under the engine's names.
[[nodiscard]] inline std::vector<entry> entries_of(const engine::weights& w, engine::dtype type = engine::dtype::f32) {
  std::vector<entry> all;
  for (const engine::tensor<const float>& t : engine::tensors(w))
    all.push_back({t.name, type, t.shape, {t.values.begin(), t.values.end()}});
  return all;
}

inline void put_container(const std::filesystem::path& path, const std::vector<entry>& entries,
                          const std::map<std::string, std::string, std::less<>>& metadata = {}) {
  std::vector<engine::tensor_declaration> declarations;
  for (const entry& e : entries) declarations.push_back({e.name, e.type, e.shape});
  engine::safetensors_writer writer(path, declarations, metadata);
  for (const entry& e : entries) {
    std::vector<std::byte> bytes(e.values.size() * engine::size_of(e.type));
    if (engine::is_weight(e.type)) engine::encode(e.type, e.values, bytes);
    writer.write(bytes);
  }
  writer.commit();
}

/// Writes a model folder with these tensors.
inline void put_folder(const std::filesystem::path& folder, const engine::config& c,
                       const std::vector<entry>& entries) {
  std::filesystem::create_directories(folder);
  put(folder / "config.json", engine::config_json(c));
  put_container(folder / "model.safetensors", entries);
}

/// Hugging Face's name of one of the engine's Llama tensors.
[[nodiscard]] inline std::string hugging_face_name(std::string name) {
  const std::pair<std::string, std::string> names[] = {
      {"tok_embeddings", "embed_tokens"},       {"attention_norm", "input_layernorm"},
      {"attention.wq", "self_attn.q_proj"},     {"attention.wk", "self_attn.k_proj"},
      {"attention.wv", "self_attn.v_proj"},     {"attention.wo", "self_attn.o_proj"},
      {"ffn_norm", "post_attention_layernorm"}, {"feed_forward.w1", "mlp.gate_proj"},
      {"feed_forward.w2", "mlp.down_proj"},     {"feed_forward.w3", "mlp.up_proj"}};
  if (name == "output.weight") return "lm_head.weight";
  for (const auto& [engine_name, hugging_face] : names)
    if (const std::size_t at = name.find(engine_name); at != std::string::npos)
      name.replace(at, engine_name.size(), hugging_face);
  return "model." + name;
}

/// Whether two models have equal weights.
[[nodiscard]] inline bool same(const engine::weights& a, const engine::weights& b) {
  const auto left = engine::all_values(a), right = engine::all_values(b);
  if (!(a.config == b.config) || left.size() != right.size()) return false;
  for (std::size_t i = 0; i < left.size(); ++i) {
    const std::span<const float> first = left[i].read();
    const std::vector<float> copy(first.begin(), first.end());  // `first` is valid until the next read
    if (left[i].name != right[i].name || !std::ranges::equal(copy, right[i].read())) return false;
  }
  return true;
}

/// A llama2.c file of version 0. The rotary tables are filled with NaN, because readers must ignore them.
[[nodiscard]] inline std::string llama2c_text(const engine::weights& w) {
  const engine::config& c = w.config;
  const auto number = [](std::size_t n) { return raw(static_cast<std::int32_t>(n)); };
  std::string text = number(c.width) + number(c.hidden) + number(c.layers) + number(c.heads) + number(c.kv_heads) +
                     raw(static_cast<std::int32_t>(c.vocabulary) * (c.tied_head ? 1 : -1)) + number(c.context);
  const auto add = [&](const auto& values) {
    for (const float v : values) text += raw(v);
  };
  const auto layers = [&](auto member) {
    for (const engine::block& b : w.blocks) add(member(b));
  };
  add(w.token_embedding);
  layers([](const auto& b) { return b.attention_norm.scale; });
  layers([](const auto& b) { return b.query.values; });
  layers([](const auto& b) { return b.key.values; });
  layers([](const auto& b) { return b.value.values; });
  layers([](const auto& b) { return b.attention_out.values; });
  layers([](const auto& b) { return b.mlp_norm.scale; });
  layers([](const auto& b) { return b.gate.values; });
  layers([](const auto& b) { return b.down.values; });
  layers([](const auto& b) { return b.up.values; });
  add(w.final_norm.scale);
  add(std::vector<float>(c.context * c.head_width(), std::numeric_limits<float>::quiet_NaN()));
  if (!c.tied_head) add(w.head);
  return text;
}

}  // namespace support
