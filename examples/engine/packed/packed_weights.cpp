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

/// Every map of a block and its packed counterpart.
constexpr std::pair<linear block::*, packed_map packed_block::*> map_pairs[] = {
    {&block::qkv, &packed_block::qkv},   {&block::query, &packed_block::query},
    {&block::key, &packed_block::key},   {&block::value, &packed_block::value},
    {&block::gate, &packed_block::gate}, {&block::attention_out, &packed_block::attention_out},
    {&block::up, &packed_block::up},     {&block::down, &packed_block::down}};

[[nodiscard]] packed_map& packed_map_of(linear block::* map, packed_block& b) {
  return b.*std::ranges::find(map_pairs, map, [](const auto& t) { return t.first; })->second;
}

/// All matrices of the result, by the names of their tensors.
[[nodiscard]] std::map<std::string, stored_matrix*, std::less<>> matrices_by_name(packed_weights& p) {
  const family& f = family_of(p.config);
  std::map<std::string, stored_matrix*, std::less<>> all;
  const std::vector<block_part> maps = maps_of(f);
  const std::vector<precis::matrix_info> matrices = matrices_of(p.config);
  for (std::size_t m = 0; m < matrices.size(); ++m)
    all[matrices[m].name + ".weight"] = &packed_map_of(maps[m % maps.size()].map, p.blocks[matrices[m].layer]).matrix;
  all[std::string(f.token_embedding) + ".weight"] = &p.token_embedding;
  if (!p.config.tied_head) all[std::string(f.head) + ".weight"] = &p.head;
  return all;
}

/// Moves everything except the matrices.
void take_rest(weights& rest, packed_weights& p) {
  p.position_embedding = std::move(rest.position_embedding);
  p.final_norm = std::move(rest.final_norm);
  p.head_bias = std::move(rest.head_bias);
  for (std::size_t l = 0; l < p.blocks.size(); ++l) {
    p.blocks[l].attention_norm = std::move(rest.blocks[l].attention_norm);
    p.blocks[l].mlp_norm = std::move(rest.blocks[l].mlp_norm);
    for (const auto& [map, packed] : map_pairs) (p.blocks[l].*packed).bias = std::move((rest.blocks[l].*map).bias);
  }
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
  return p;
}

[[nodiscard]] std::string_view codec_of(dtype type) noexcept {
  return type == dtype::f32 ? "float32" : type == dtype::f16 ? "float16" : "bfloat16";
}

/// A matrix in its stored bytes if a kernel can multiply them, otherwise decoded.
[[nodiscard]] stored_matrix stored(const source_tensor& t, const matrix_decoder& decoder) {
  const bool in_kernel_order = t.rotary_heads == 0 && (!t.codec.empty() || t.in_major == t.transposed);
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

std::size_t packed_weights::bytes() const noexcept {
  const auto floats = [](const auto&... values) { return (values.size() + ...) * sizeof(float); };
  std::size_t sum = token_embedding.bytes() + head.bytes() +
                    floats(position_embedding, final_norm.scale, final_norm.shift, head_bias);
  for (const packed_block& b : blocks) {
    sum += floats(b.attention_norm.scale, b.attention_norm.shift, b.mlp_norm.scale, b.mlp_norm.shift);
    for (const auto& [map, packed] : map_pairs) sum += (b.*packed).matrix.bytes() + floats((b.*packed).bias);
  }
  return sum;
}

packed_weights load_packed(const model_source& source, const matrix_decoder& decoder) {
  packed_weights p = empty(source.config);
  auto matrices = matrices_by_name(p);
  weights rest;
  rest.config = source.config;
  rest.blocks.resize(source.config.layers);
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
  const family& f = family_of(w.config);
  const std::vector<block_part> maps = maps_of(f);
  for (std::size_t l = 0; l < w.blocks.size(); ++l)
    for (const block_part& part : maps) {
      const linear& map = w.blocks[l].*part.map;
      if (map.depends_on_position())
        precis::refuse({.what = "a bias that depends on the position in block " + std::to_string(l),
                        .where = "packed",
                        .expected = "biases that are equal at every position; use engine::transformer otherwise"});
      packed_map_of(part.map, p.blocks[l]).matrix = stored_matrix::of(map.view());
    }
  const std::size_t vocabulary = w.config.vocabulary, width = w.config.width;
  p.token_embedding = stored_matrix::of({w.token_embedding, vocabulary, width});
  if (!w.config.tied_head) p.head = stored_matrix::of({w.head, vocabulary, width});
  weights rest;  // everything except the matrices
  rest.config = w.config;
  rest.position_embedding = w.position_embedding;
  rest.final_norm = w.final_norm;
  rest.head_bias = w.head_bias;
  for (const block& b : w.blocks) {
    block& r = rest.blocks.emplace_back();
    r.attention_norm = b.attention_norm;
    r.mlp_norm = b.mlp_norm;
    for (const auto& [map, ignored] : map_pairs) (r.*map).bias = (b.*map).bias;
  }
  take_rest(rest, p);
  return p;
}

}  // namespace engine
