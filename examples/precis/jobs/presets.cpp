#include "jobs/presets.hpp"

#include "jobs/session.hpp"

#include <engine/model_files/gguf_model.hpp>

#include <precis/allocate/ggml_preset.hpp>
#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

namespace program {
namespace {

using precis::allocate::ggml_preset;
using precis::allocate::ggml_role;
using precis::allocate::ggml_tensor;

[[nodiscard]] std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

[[nodiscard]] ggml_role role_of(std::string_view gguf_name, bool tied) {
  constexpr std::pair<std::string_view, ggml_role> parts[] = {
      {"attn_q", ggml_role::attention_q},    {"attn_k", ggml_role::attention_k},
      {"attn_v", ggml_role::attention_v},    {"attn_qkv", ggml_role::attention_qkv},
      {"attn_kv_b", ggml_role::attention_v}, {"attn_output", ggml_role::attention_output},
      {"ffn_gate", ggml_role::ffn_gate},     {"ffn_up", ggml_role::ffn_up},
      {"ffn_down", ggml_role::ffn_down},     {"ffn_gate_exps", ggml_role::ffn_gate},
      {"ffn_up_exps", ggml_role::ffn_up},    {"ffn_down_exps", ggml_role::ffn_down},
      {"ffn_gate_inp", ggml_role::kept}};
  if (gguf_name == "token_embd") return tied ? ggml_role::output : ggml_role::token_embedding;
  if (gguf_name == "output") return ggml_role::output;
  std::string_view last = gguf_name.substr(gguf_name.rfind('.') + 1);
  if (last.ends_with("_shexp")) last.remove_suffix(6);
  const auto* const at = std::ranges::find(parts, last, [](const auto& p) { return p.first; });
  return at == std::end(parts) ? ggml_role::other : at->second;
}

}  // namespace

std::vector<std::string> preset_names() {
  std::vector<std::string> all;
  for (const ggml_preset::mixture& m : ggml_preset::all) all.emplace_back(m.name);
  return all;
}

precis::plan preset_plan(const session& s, const std::string& preset, bool importance) {
  const std::string name = upper(preset);
  const engine::config& c = s.model.shape();
  std::vector<ggml_tensor> tensors;
  std::map<std::string, std::size_t, std::less<>> known;
  std::vector<std::size_t> tensor_of;  // of each matrix: experts, or query, key and value, may share one
  for (const precis::matrix_info& m : s.model.matrices()) {
    const std::string gguf = engine::gguf_name(c, m.name);
    if (gguf.empty())
      precis::refuse({.what = "matrix " + m.name + " has no name in GGUF",
                      .where = "--preset " + name,
                      .expected = "a model of a family that llama.cpp's files can hold"});
    const auto [at, fresh] = known.emplace(gguf, tensors.size());
    if (fresh)
      tensors.push_back({.role = role_of(gguf, c.tied_head),
                         .columns = m.in,
                         .layer = m.layer,
                         .experts = engine::expert_of(c, m.name).has_value()});
    tensor_of.push_back(at->second);
  }
  const std::vector<std::string> types = ggml_preset{.name = name, .importance = importance}(
      tensors, {.layers = c.layers,
                .heads_per_key = c.heads / std::max<std::size_t>(1, c.kv_heads),
                .experts = c.knobs ? c.knobs->mixture.router.experts : 0});
  precis::plan p{.model = s.fingerprint,
                 .units = precis::unit_kind::matrix,
                 .notes = {"preset " + name + (importance ? " with importance" : "")},
                 .choices = {}};
  std::map<std::string, std::size_t> replaced;
  const std::string_view base = std::ranges::find(ggml_preset::all, name, &ggml_preset::mixture::name)->base;
  for (std::size_t i = 0; i < tensor_of.size(); ++i) {
    const precis::matrix_info& m = s.model.matrices()[i];
    const std::string& type = types[tensor_of[i]];
    p.choices.push_back({.unit = m.name, .codec = type.empty() ? "float32" : type});
    if (ggml_preset::fitting(base, m.in) != base)
      ++replaced[fmt::format("rows of {} are not whole blocks of {}", m.in, base)];
  }
  for (const auto& [what, count] : replaced) p.notes.push_back(fmt::format("{} in {} matrices", what, count));
  return p;
}

}  // namespace program
