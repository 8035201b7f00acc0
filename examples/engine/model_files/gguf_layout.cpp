#include <engine/model_files/gguf_layout.hpp>

#include <engine/model/gguf_family.hpp>
#include <engine/model_files/source.hpp>

#include <precis/core/text.hpp>

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

namespace engine {
namespace {

template<class Member>
struct member_name {
  Member member;
  std::string_view name;
};

// llama.cpp's names of a block's tensors.
constexpr member_name<norm block::*> norm_names[] = {
    {&block::attention_norm, "attn_norm"}, {&block::attention_post_norm, "post_attention_norm"},
    {&block::query_norm, "attn_q_norm"},   {&block::key_norm, "attn_k_norm"},
    {&block::mlp_norm, "ffn_norm"},        {&block::mlp_post_norm, "post_ffw_norm"},
    {&block::layer_post_norm, "post_norm"}};
constexpr member_name<linear block::*> map_names[] = {{&block::qkv, "attn_qkv"},
                                                      {&block::query, "attn_q"},
                                                      {&block::key, "attn_k"},
                                                      {&block::value, "attn_v"},
                                                      {&block::attention_out, "attn_output"},
                                                      {&block::mixer_in, "ssm_in"},
                                                      {&block::mixer_query, "attn_qkv"},
                                                      {&block::mixer_key, "attn_qkv"},
                                                      {&block::mixer_value, "attn_qkv"},
                                                      {&block::mixer_gate, "attn_gate"},
                                                      {&block::mixer_write, "ssm_beta"},
                                                      {&block::mixer_decay, "ssm_alpha"},
                                                      {&block::mixer_out, "ssm_out"},
                                                      {&block::gate, "ffn_gate"},
                                                      {&block::up, "ffn_up"},
                                                      {&block::down, "ffn_down"},
                                                      {&block::router, "ffn_gate_inp"},
                                                      {&block::shared_gate, "ffn_gate_shexp"},
                                                      {&block::shared_up, "ffn_up_shexp"},
                                                      {&block::shared_down, "ffn_down_shexp"},
                                                      {&block::shared_scale, "ffn_gate_inp_shexp"},
                                                      {&block::layer_gate, "inp_gate"},
                                                      {&block::layer_projection, "proj"}};
constexpr member_name<linear expert::*> expert_names[] = {
    {&expert::gate, "ffn_gate_exps"}, {&expert::up, "ffn_up_exps"}, {&expert::down, "ffn_down_exps"}};
constexpr member_name<std::vector<float> block::*> value_names[] = {
    {&block::sinks, "attn_sinks.weight"},
    {&block::conv_kernel, "ssm_conv1d.weight"},
    {&block::conv_bias, "ssm_conv1d.bias"},
    {&block::decay_log, "ssm_a"},
    {&block::step_bias, "ssm_dt.bias"},
    {&block::skip, "ssm_d"},
    {&block::mixer_norm, "ssm_norm.weight"},
    {&block::router_correction, "exp_probs_b.bias"},
    {&block::layer_scalar, "layer_output_scale.weight"}};

template<class Table, class Member>
[[nodiscard]] std::string_view name_in(const Table& table, Member member) {
  const auto* const at = std::ranges::find(table, member, [](const auto& m) { return m.member; });
  return at == std::end(table) ? std::string_view{} : at->name;
}

/// The architecture's own name for one of the usual ones.
[[nodiscard]] std::string_view own_name(const gguf_family& g, std::string_view usual) {
  const auto at = std::ranges::find(g.names, usual, [](const auto& pair) { return pair.first; });
  return at == g.names.end() ? usual : at->second;
}

/// A name and its ending; a name that begins with = has none.
[[nodiscard]] std::string with_ending(std::string_view name, std::string_view ending) {
  return name.starts_with('=') ? std::string(name.substr(1)) : std::string(name) + std::string(ending);
}

[[nodiscard]] std::string_view block_name(const gguf_family& g, const slot& s) {
  if (s.norm != nullptr) return own_name(g, name_in(norm_names, s.norm));
  if (s.of_expert != nullptr) return own_name(g, name_in(expert_names, s.of_expert));
  if (s.values != nullptr) return own_name(g, name_in(value_names, s.values));
  return own_name(g, name_in(map_names, s.map));
}

/// The name of a tensor outside of the blocks, without its ending.
[[nodiscard]] std::string_view outer_name(const family& f, std::string_view name) {
  const std::pair<std::string_view, std::string_view> names[] = {{f.token_embedding, "token_embd"},
                                                                 {f.position_embedding, "position_embd"},
                                                                 {f.type_embedding, "token_types"},
                                                                 {f.embedding_norm, "token_embd_norm"},
                                                                 {f.layer_embedding, "per_layer_token_embd"},
                                                                 {f.layer_projection, "per_layer_model_proj"},
                                                                 {f.layer_norm, "per_layer_proj_norm"},
                                                                 {f.relative_bias, "enc.blk.0.attn_rel_b"},
                                                                 {f.final_norm, "output_norm"},
                                                                 {f.head, "output"}};
  for (const auto& [ours, theirs] : names)
    if (!ours.empty() && name == ours) return own_name(*f.gguf, theirs);
  return {};
}

/// Splits off ".weight" or ".bias".
[[nodiscard]] std::pair<std::string_view, std::string_view> split_ending(std::string_view name) {
  for (const std::string_view end : {".weight", ".bias"})
    if (name.ends_with(end)) return {name.substr(0, name.size() - end.size()), end};
  return {name, {}};
}

/// The slot of a tensor's name in a block, "self_attn.q_proj" or "mlp.experts.3.up_proj", and which expert it is of.
struct found_slot {
  const slot* where = nullptr;
  std::size_t expert = 0;
};
[[nodiscard]] found_slot find_slot(const family& f, std::string_view name) {
  for (const slot& s : f.in_block) {
    const std::size_t star = s.name.find('*');
    if (star == std::string_view::npos) {
      if (name == s.name) return {&s};
      continue;
    }
    const std::string_view before = s.name.substr(0, star), after = s.name.substr(star + 1);
    std::size_t expert = 0;
    if (name.size() > before.size() + after.size() && name.starts_with(before) && name.ends_with(after) &&
        precis::text::read(name.substr(before.size(), name.size() - before.size() - after.size()), expert))
      return {&s, expert};
  }
  return {};
}
[[nodiscard]] const slot* slot_of(const family& f, std::string_view name) { return find_slot(f, name).where; }

[[nodiscard]] bool is_qkv(const slot& s) noexcept {
  return s.map != nullptr && (s.map == &block::query || s.map == &block::key || s.map == &block::value);
}

/// Rows of heads in which the pairs (i, i + half) of the first `rotary` features are adjacent.
[[nodiscard]] std::vector<std::uint32_t> adjacent_pairs(std::size_t rows, std::size_t head, std::size_t rotary) {
  std::vector<std::uint32_t> order(rows);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::size_t i = r % head, half = rotary / 2;
    const std::size_t to = i >= rotary ? i : i < half ? 2 * i : 2 * (i - half) + 1;
    order[r] = static_cast<std::uint32_t>(r - i + to);
  }
  return order;
}

/// Value heads that are grouped by key head, in the order in which neighbours have neighbouring key heads.
[[nodiscard]] std::vector<std::uint32_t> tiled_heads(const delta_net_shape& s, std::size_t width, std::size_t before) {
  std::vector<std::uint32_t> order(before + s.value_heads * width);
  std::iota(order.begin(), order.end(), 0u);
  const std::size_t served = s.value_heads / s.key_heads;
  for (std::size_t v = 0; v < s.value_heads; ++v)
    for (std::size_t i = 0; i < width; ++i)
      order[before + v * width + i] =
          static_cast<std::uint32_t>(before + (v % served * s.key_heads + v / served) * width + i);
  return order;
}

/// Makes the places of one model.
struct placer {
  const config& c;
  const family& f = family_of(c);
  const gguf_family& g = *f.gguf;
  knobs k = settings_of(c);
  gguf_fusion fusion;

  [[nodiscard]] bool reorders(const layer_settings&) const {
    return g.adjacent_pairs && !k.ropes.empty() && k.ropes.front().half_split;
  }
  /// Query, key and value of layer `l` as parts of one tensor.
  void fuse_qkv(const slot& s, const layer_settings& l, gguf_place& p, std::string_view ending) const {
    const std::size_t query = size_of(extent::query_gated, c, k, l), kv = size_of(extent::kv_width, c, k, l);
    p.tensor = p.tensor.substr(0, p.tensor.find('.', 4) + 1) + "attn_qkv" + std::string(ending);
    p.first = s.map == &block::query ? 0 : s.map == &block::key ? query : query + kv;
    p.shape.front() = query + 2 * kv;
  }
  /// What distinguishes the maps of a delta net.
  void place_delta_net(const slot& s, gguf_place& p) const {
    const delta_net_shape& d = k.delta_net;
    if (s.map == &block::mixer_query || s.map == &block::mixer_key || s.map == &block::mixer_value) {
      p.first = s.map == &block::mixer_query ? 0 : s.map == &block::mixer_key ? d.keys() : 2 * d.keys();
      p.shape.front() = d.channels();
    }
    const bool small = s.map == &block::mixer_write || s.map == &block::mixer_decay;
    if (small && block_name(g, s) == "ssm_ba") {  // by key head: its b, then its a
      const std::size_t served = d.value_heads / d.key_heads;
      p.shape.front() = 2 * d.value_heads;
      p.rows.resize(d.value_heads);
      for (std::size_t v = 0; v < d.value_heads; ++v)
        p.rows[v] = static_cast<std::uint32_t>(v / served * 2 * served + v % served +
                                               (s.map == &block::mixer_decay ? served : 0));
    }
    if (!g.tiled_value_heads || d.key_heads == d.value_heads) return;
    if (s.map == &block::mixer_value || s.map == &block::mixer_gate) p.rows = tiled_heads(d, d.value_width, 0);
    if (small || s.values == &block::decay_log || s.values == &block::step_bias) p.rows = tiled_heads(d, 1, 0);
    if (s.map == &block::mixer_out) p.columns = tiled_heads(d, d.value_width, 0);
    if (s.values == &block::conv_kernel) p.rows = tiled_heads(d, d.value_width, 2 * d.keys());
  }

  [[nodiscard]] gguf_place in_block(const place& at, const tensor_shape& t, std::string_view ending) const {
    const slot& s = *at.slot;
    const layer_settings& l = k.layers[at.layer];
    gguf_place p{.shape = t.shape};
    p.tensor = std::string(g.blocks) + std::to_string(at.layer) + "." +
               with_ending(block_name(g, s), s.values != nullptr ? std::string_view{} : ending);
    if (t.in_major) std::ranges::reverse(p.shape);
    if (s.norm != nullptr && k.norm_plus_one) p.value = gguf_form::plus_one;
    if (s.values == &block::decay_log) p.value = gguf_form::minus_exp;
    if (s.values == &block::conv_kernel) p.shape.erase(p.shape.begin() + 1);
    if (l.mixer != mixer::delta_net && (s.values == &block::decay_log || s.values == &block::skip))
      p.shape.push_back(1);  // as in Mamba-1
    if (l.mixer != mixer::delta_net && s.values == &block::mixer_norm)
      p.shape = {k.mamba.groups, k.mamba.inner() / k.mamba.groups};
    if (s.map == &block::shared_scale && p.shape.size() == 2) p.shape.erase(p.shape.begin());
    if ((s.map == &block::query || s.map == &block::key) && reorders(l))
      p.rows = adjacent_pairs(t.shape.front(), l.head_width, k.ropes.front().rotary_width);
    if (fusion.qkv && is_qkv(s)) fuse_qkv(s, l, p, ending);
    if (fusion.gate_up && (s.map == &block::gate || s.map == &block::up)) {
      p.tensor = std::string(g.blocks) + std::to_string(at.layer) + ".ffn_up" + std::string(ending);
      p.first = s.map == &block::gate ? 0 : p.shape.front();
      p.shape.front() *= 2;
    }
    if (s.of_expert != nullptr) {
      p.first = at.expert * t.shape.front();
      p.shape.insert(p.shape.begin(), k.mixture.router.experts);
    }
    if (l.mixer == mixer::delta_net) place_delta_net(s, p);
    return p;
  }
};

}  // namespace

gguf_fusion usual_fusion(const config& c) noexcept {
  const gguf_family* const g = family_of(c).gguf;
  return g == nullptr ? gguf_fusion{} : gguf_fusion{g->fused_qkv, g->fused_gate_up};
}

std::vector<gguf_place> gguf_places(const config& c, gguf_fusion fusion) {
  const placer make{.c = c, .fusion = fusion};
  std::map<std::string, place, std::less<>> in_blocks;
  for (const place& p : places_of(c, make.k)) in_blocks.emplace(name_of(c, p), p);
  std::vector<gguf_place> all;
  for (const tensor_shape& t : expected_tensors(c)) {
    const auto [name, ending] = split_ending(t.name);
    auto at = in_blocks.find(t.name);  // values have their endings in their names
    if (at == in_blocks.end()) at = in_blocks.find(name);
    if (at != in_blocks.end()) {
      all.push_back(make.in_block(at->second, t, ending));
      continue;
    }
    gguf_place p{.tensor = std::string(outer_name(make.f, name)) + std::string(ending), .shape = t.shape};
    if (t.in_major) std::ranges::reverse(p.shape);
    if (name == make.f.position_embedding && make.k.padding != no_padding) {
      p.absent = make.k.padding + 1;
      p.shape.front() -= p.absent;
    }
    if (make.k.norm_plus_one && name == make.f.final_norm) p.value = gguf_form::plus_one;
    all.push_back(std::move(p));
  }
  return all;
}

std::optional<expert_of_tensor> expert_of(const config& c, std::string_view matrix) {
  const family& f = family_of(c);
  if (f.blocks.empty() || !matrix.starts_with(f.blocks) || !c.knobs) return std::nullopt;
  const std::size_t dot = matrix.find('.', f.blocks.size());
  if (dot == std::string_view::npos) return std::nullopt;
  const found_slot found = find_slot(f, matrix.substr(dot + 1));
  if (found.where == nullptr || found.where->of_expert == nullptr) return std::nullopt;
  return expert_of_tensor{found.expert, c.knobs->mixture.router.experts};
}

std::string gguf_name(const config& c, std::string_view name) {
  const family& f = family_of(c);
  if (f.gguf == nullptr) return {};
  if (!f.blocks.empty() && name.starts_with(f.blocks)) {
    std::string_view rest = name.substr(f.blocks.size());
    const std::size_t dot = rest.find('.');
    if (dot == std::string_view::npos) return {};
    const std::string before = std::string(f.gguf->blocks) + std::string(rest.substr(0, dot + 1));
    rest.remove_prefix(dot + 1);
    std::string_view ending = {};
    const slot* s = slot_of(f, rest);  // a matrix, or values
    if (s == nullptr) std::tie(rest, ending) = split_ending(rest);
    if (s == nullptr) s = slot_of(f, rest);
    if (s == nullptr) return {};
    const gguf_fusion fusion = usual_fusion(c);
    std::string_view own = block_name(*f.gguf, *s);
    if (fusion.qkv && is_qkv(*s)) own = "attn_qkv";
    if (fusion.gate_up && s->map == &block::gate) own = "ffn_up";
    return before + with_ending(own, ending);
  }
  const auto [outer, ending] = split_ending(name);
  const std::string_view theirs = outer_name(f, outer);
  return theirs.empty() ? std::string() : std::string(theirs) + std::string(ending);
}

}  // namespace engine
