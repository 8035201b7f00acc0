#include <engine/packed/packed_transformer.hpp>

#include <engine/model/family.hpp>

#include <precis/codec/dense_copy.hpp>
#include <precis/core/error.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace engine {
namespace {

[[nodiscard]] stored_matrix& matrix_at(packed_weights& p, const place& at) {
  packed_block& b = p.blocks[at.layer];
  if (at.slot->of_expert != nullptr) {
    packed_block::packed_expert& e = b.experts[at.expert];
    return at.slot->of_expert == &expert::gate ? e.gate : at.slot->of_expert == &expert::up ? e.up : e.down;
  }
  return std::ranges::find(b.maps, at.slot->map, [](const auto& m) { return m.first; })->second;
}

/// The places of all maps.
[[nodiscard]] std::vector<place> map_places(const config& c) {
  std::vector<place> maps = places_of(c, settings_of(c));
  std::erase_if(maps, [](const place& p) { return p.slot->map == nullptr && p.slot->of_expert == nullptr; });
  return maps;
}

/// All matrices of the result, by the names of their tensors.
[[nodiscard]] std::map<std::string, stored_matrix*, std::less<>> matrices_by_name(packed_weights& p) {
  const family& f = family_of(p.config);
  std::map<std::string, stored_matrix*, std::less<>> all;
  for (const place& at : map_places(p.config)) all[name_of(p.config, at) + ".weight"] = &matrix_at(p, at);
  const auto add = [&](std::string_view name, stored_matrix& m) {
    if (!name.empty()) all[std::string(name) + ".weight"] = &m;
  };
  add(f.token_embedding, p.token_embedding);
  add(f.embedding_projection, p.embedding_projection);
  add(f.layer_embedding, p.layer_embedding);
  add(f.layer_projection, p.layer_projection);
  add(f.head_projection, p.head_projection);
  if (!p.config.tied_head) add(f.head, p.head);
  return all;
}

[[nodiscard]] std::span<const float> floats_of(const std::vector<float>& values) noexcept { return values; }
[[nodiscard]] std::span<const float> floats_of(const matrix_values& values) { return values.floats(); }

/// Moves everything except the matrices.
void take_rest(weights& rest, packed_weights& p) {
  p.position_embedding = std::move(rest.position_embedding);
  p.layer_norm = std::move(rest.layer_norm);
  p.final_norm = std::move(rest.final_norm);
  p.head_bias = std::move(rest.head_bias);
  for (std::size_t l = 0; l < p.blocks.size(); ++l) p.blocks[l].rest = std::move(rest.blocks[l]);
}

[[nodiscard]] packed_weights empty(const config& c) {
  check(c);
  if (!family_of(c).causal)
    precis::refuse({.what = "a " + std::string(family_of(c).name),
                    .where = "load_packed",
                    .expected = "a model that predicts the next token"});
  packed_weights p;
  p.config = c;
  p.blocks.resize(c.layers);
  for (const place& at : map_places(c)) {
    packed_block& b = p.blocks[at.layer];
    if (at.slot->map != nullptr)
      b.maps.emplace_back(at.slot->map, stored_matrix());
    else if (b.experts.size() <= at.expert)
      b.experts.resize(at.expert + 1);
  }
  return p;
}

[[nodiscard]] std::string_view codec_of(dtype type) noexcept {
  return type == dtype::f32 ? "float32" : type == dtype::f16 ? "float16" : "bfloat16";
}

/// A matrix in its stored bytes if a kernel can multiply them, otherwise decoded.
[[nodiscard]] stored_matrix stored(const source_tensor& t, const matrix_decoder& decoder) {
  const bool in_kernel_order = t.rotary_heads == 0 && !t.part && (!t.codec.empty() || t.in_major == t.transposed);
  std::optional<stored_matrix> m;
  if (in_kernel_order) {
    check_stored(t, decoder);
    m = stored_matrix::of(t.codec.empty() ? codec_of(t.type) : std::string_view(t.codec), t.bytes, t.out(), t.in());
    if (m && m->surely_finite()) return std::move(*m);
  }
  std::vector<float> values(t.elements());
  decode(t, decoder, values);  // refuses values that are not finite, with their index
  if (m) return std::move(*m);
  const precis::weight_view as_stored(values, t.shape[0], t.shape[1]);
  const precis::codec::with_contiguous_rows rows(t.in_major ? as_stored.transposed() : as_stored);
  if (!t.codec.empty()) return stored_matrix::of(rows.view());
  std::vector<std::byte> bytes(values.size() * size_of(t.type));
  encode(t.type, {rows.view().data, values.size()}, bytes);  // exact, because the values were stored in this type
  return std::move(*stored_matrix::of(codec_of(t.type), bytes, t.out(), t.in()));
}

}  // namespace

const stored_matrix& packed_block::of(linear block::* map) const noexcept {
  return std::ranges::find(maps, map, [](const auto& m) { return m.first; })->second;
}

std::size_t packed_weights::bytes() const noexcept {
  const auto floats = [](const auto&... values) { return (values.size() + ...) * sizeof(float); };
  const auto of_norm = [&](const norm& n) { return floats(n.scale, n.shift); };
  std::size_t sum = token_embedding.bytes() + head.bytes() + embedding_projection.bytes() + layer_embedding.bytes() +
                    layer_projection.bytes() + head_projection.bytes() + of_norm(final_norm) + of_norm(layer_norm) +
                    floats(position_embedding, head_bias);
  for (const packed_block& b : blocks) {
    for (const auto& [map, matrix] : b.maps) sum += matrix.bytes();
    for (const packed_block::packed_expert& e : b.experts) sum += e.gate.bytes() + e.up.bytes() + e.down.bytes();
  }
  for (const place& p : places_of(config, settings_of(config))) {
    const block& b = blocks[p.layer].rest;
    if (p.slot->norm != nullptr)
      sum += of_norm(b.*p.slot->norm);
    else if (p.slot->values != nullptr)
      sum += floats(b.*p.slot->values);
    else
      sum += floats((p.slot->of_expert != nullptr ? b.experts[p.expert].*p.slot->of_expert : b.*p.slot->map).bias);
  }
  return sum;
}

packed_weights load_packed(const model_source& source, const matrix_decoder& decoder) {
  packed_weights p = empty(source.config);
  auto matrices = matrices_by_name(p);
  weights rest = without_values(source.config);
  std::size_t i = 0;
  for_each_tensor(source.config, [&](const std::string& name, const std::vector<std::size_t>&, bool, auto values) {
    const source_tensor& t = source.tensors[i++];
    if (const auto at = matrices.find(name); at != matrices.end()) {
      *at->second = stored(t, decoder);
    } else {
      values(rest).resize(t.elements());
      decode(t, decoder, values(rest));
    }
  });
  take_rest(rest, p);
  return p;
}

packed_weights packed(const weights& w) {
  packed_weights p = empty(w.config);
  for (const place& at : map_places(w.config))
    if (const linear& map = map_at(w, at); map.depends_on_position())
      precis::refuse({.what = "a bias that depends on the position in block " + std::to_string(at.layer),
                      .where = "packed",
                      .expected = "biases that are equal at every position; use engine::transformer otherwise"});
  auto matrices = matrices_by_name(p);
  weights rest = without_values(w.config);
  for_each_tensor(w.config,
                  [&](const std::string& name, const std::vector<std::size_t>& shape, bool in_major, auto values) {
                    const auto at = matrices.find(name);
                    if (at == matrices.end()) {
                      values(rest) = values(w);
                      return;
                    }
                    const precis::weight_view stored(floats_of(values(w)), shape[0], shape[1]);
                    *at->second = stored_matrix::of(in_major ? stored.transposed() : stored);
                  });
  take_rest(rest, p);
  return p;
}

}  // namespace engine
