#include <engine/model/slots.hpp>

#include <engine/model/family.hpp>
#include <engine/model/mixer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>

namespace engine {
namespace {

/// A slot is one of the family's row if it has the member.
template<class Member, class... Members>
[[nodiscard]] bool is_one_of(Member member, Members... members) noexcept {
  return ((member == members) || ...);
}

[[nodiscard]] bool has_memory(mixer m) noexcept { return recurs(m) && m != mixer::short_conv; }

}  // namespace

std::size_t size_of(extent e, const config& c, const knobs& k, const layer_settings& l) noexcept {
  const std::size_t query = c.heads * l.head_width, kv = l.kv_heads * l.head_width;
  const auto norm_width = [&](std::size_t all) { return k.query_key_norm == head_norm::whole ? all : l.head_width; };
  switch (e) {
    case extent::width: return c.width;
    case extent::query_width: return query;
    case extent::kv_width: return kv;
    case extent::three_widths: return query + 2 * kv;
    case extent::query_gated: return k.output_gate ? 2 * query : query;
    case extent::hidden: return l.hidden;
    case extent::expert_hidden: return k.mixture.hidden;
    case extent::shared_hidden: return k.mixture.shared_hidden;
    case extent::experts: return k.mixture.router.experts;
    case extent::heads: return c.heads;
    case extent::query_norm: return norm_width(query);
    case extent::key_norm: return norm_width(kv);
    case extent::layer_input: return k.layer_input_width;
    case extent::mixer_in: return mixer_sizes_of(c, k, l.mixer).projected;
    case extent::mixer_inner: return mixer_sizes_of(c, k, l.mixer).inner;
    case extent::mixer_keys: return k.delta_net.keys();
    case extent::mixer_heads: return l.mixer == mixer::delta_net ? k.delta_net.value_heads : k.mamba.heads;
    case extent::conv_channels: return mixer_sizes_of(c, k, l.mixer).channels;
    case extent::conv_taps: return mixer_sizes_of(c, k, l.mixer).taps;
    case extent::mixer_norm: return l.mixer == mixer::delta_net ? k.delta_net.value_width : k.mamba.inner();
    case extent::one: break;
  }
  return 1;
}

bool is_present(const slot& s, const knobs& k, const layer_settings& l) noexcept {
  if (s.only != gating::any && (s.only == gating::gated) != k.gated) return false;
  const bool own = l.kv_source == own_keys;
  if (s.of_expert != nullptr) return l.experts && (k.gated || s.of_expert != &expert::gate);
  if (s.values != nullptr) {
    if (s.values == &block::sinks) return attends(l.mixer) && k.sinks;
    if (s.values == &block::conv_kernel) return recurs(l.mixer);
    if (s.values == &block::conv_bias) return recurs(l.mixer) && l.mixer != mixer::delta_net && k.conv_bias;
    if (is_one_of(s.values, &block::decay_log, &block::step_bias)) return has_memory(l.mixer);
    if (s.values == &block::skip) return has_memory(l.mixer) && l.mixer != mixer::delta_net;
    if (s.values == &block::mixer_norm)
      return l.mixer == mixer::delta_net || (has_memory(l.mixer) && k.mamba.order != gate_order::gate_alone);
    if (s.values == &block::router_correction) return l.experts && k.mixture.router.rule == router_rule::sigmoid;
    return k.layer_scalars;
  }
  if (s.norm != nullptr) {
    if (s.norm == &block::query_norm) return attends(l.mixer) && k.query_key_norm != head_norm::none;
    if (s.norm == &block::key_norm) return attends(l.mixer) && own && k.query_key_norm != head_norm::none;
    if (s.norm == &block::attention_norm) return l.attention_norm;
    if (s.norm == &block::layer_post_norm) return k.layer_input_width != 0;
    return true;
  }
  if (is_one_of(s.map, &block::qkv, &block::query, &block::attention_out)) return attends(l.mixer);
  if (s.map == &block::key) return attends(l.mixer) && own;
  if (s.map == &block::value) return attends(l.mixer) && own && !l.value_is_key;
  if (s.map == &block::mixer_in) return recurs(l.mixer) && l.mixer != mixer::delta_net;
  if (s.map == &block::mixer_out) return recurs(l.mixer);
  if (is_one_of(s.map, &block::mixer_query, &block::mixer_key, &block::mixer_value, &block::mixer_gate,
                &block::mixer_write, &block::mixer_decay))
    return l.mixer == mixer::delta_net;
  if (s.map == &block::gate) return !l.experts && k.gated;
  if (is_one_of(s.map, &block::up, &block::down)) return !l.experts;
  if (s.map == &block::router) return l.experts;
  if (s.map == &block::shared_gate) return l.experts && k.mixture.shared_hidden != 0 && k.gated;
  if (is_one_of(s.map, &block::shared_up, &block::shared_down)) return l.experts && k.mixture.shared_hidden != 0;
  if (s.map == &block::shared_scale) return l.experts && k.mixture.shared_gate;
  if (is_one_of(s.map, &block::layer_gate, &block::layer_projection)) return k.layer_input_width != 0;
  return true;
}

bool is_biased(const slot& s, const knobs& k) noexcept {
  if (s.norm != nullptr) return !k.rms && k.norm_scale && k.norm_shift;
  if (s.of_expert != nullptr) return k.mixture.biased;
  if (is_one_of(s.map, &block::qkv, &block::query, &block::key, &block::value)) return k.qkv_bias;
  if (s.map == &block::attention_out) return k.output_bias;
  if (s.map == &block::mixer_in) return k.mixer_in_bias;
  if (s.map == &block::mixer_out) return k.mixer_out_bias;
  if (is_one_of(s.map, &block::gate, &block::up, &block::down)) return k.mlp_bias;
  return s.map == &block::router && k.mixture.biased_router;
}

namespace {

[[nodiscard]] std::vector<place> places(const config& c, const knobs& k, bool matrices_alone) {
  const std::span<const slot> slots = family_of(c).in_block;
  std::vector<place> all;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (std::size_t i = 0; i < slots.size();) {
      std::size_t end = i + 1;
      if (slots[i].of_expert != nullptr)
        while (end < slots.size() && slots[end].of_expert != nullptr) ++end;
      const std::size_t count = slots[i].of_expert != nullptr && k.layers[l].experts ? k.mixture.router.experts : 1;
      for (std::size_t e = 0; e < count; ++e)
        for (std::size_t j = i; j < end; ++j)
          if (is_present(slots[j], k, k.layers[l]) && (!matrices_alone || slots[j].is_matrix()))
            all.push_back({l, &slots[j], e});
      i = end;
    }
  return all;
}

}  // namespace

std::vector<place> places_of(const config& c, const knobs& k) { return places(c, k, false); }
std::vector<place> matrix_places_of(const config& c, const knobs& k) { return places(c, k, true); }

std::string name_of(const config& c, const place& p) {
  std::string name = std::string(family_of(c).blocks) + std::to_string(p.layer) + "." + std::string(p.slot->name);
  if (p.slot->of_expert != nullptr) name.replace(name.find('*'), 1, std::to_string(p.expert));
  return name;
}

linear& map_at(weights& w, const place& p) {
  block& b = w.blocks[p.layer];
  return p.slot->of_expert != nullptr ? b.experts[p.expert].*p.slot->of_expert : b.*p.slot->map;
}
const linear& map_at(const weights& w, const place& p) {
  const block& b = w.blocks[p.layer];
  return p.slot->of_expert != nullptr ? b.experts[p.expert].*p.slot->of_expert : b.*p.slot->map;
}

std::vector<precis::matrix_info> matrices_of(const config& c) {
  const knobs k = settings_of(c);
  std::vector<precis::matrix_info> matrices;
  for (const place& p : matrix_places_of(c, k)) {
    const layer_settings& l = k.layers[p.layer];
    std::string name = name_of(c, p), unit;
    if (p.slot->of_expert != nullptr) unit = name.substr(0, name.rfind('.'));
    matrices.push_back({.name = std::move(name),
                        .layer = p.layer,
                        .part = p.slot->part,
                        .out = size_of(p.slot->out, c, k, l),
                        .in = size_of(p.slot->in, c, k, l),
                        .unit = std::move(unit)});
  }
  return matrices;
}

namespace {

/// The place of one matrix.
[[nodiscard]] place place_of(const config& c, std::size_t matrix) {
  const std::vector<place> all = matrix_places_of(c, settings_of(c));
  PRECIS_EXPECTS(matrix < all.size(), "no such matrix");
  return all[matrix];
}

}  // namespace

linear& map_of(weights& w, std::size_t matrix) { return map_at(w, place_of(w.config, matrix)); }
const linear& map_of(const weights& w, std::size_t matrix) { return map_at(w, place_of(w.config, matrix)); }

}  // namespace engine
