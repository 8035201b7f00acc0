#include <engine/model/weights.hpp>

#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace engine {
namespace {

using extents = std::vector<std::size_t>;

[[nodiscard]] std::size_t product(const extents& shape) noexcept {
  std::size_t n = 1;
  for (const std::size_t e : shape) n *= e;
  return n;
}

[[nodiscard]] std::span<float> floats_of(std::vector<float>& values, const std::string&) { return values; }
[[nodiscard]] std::span<const float> floats_of(const std::vector<float>& values, const std::string&) { return values; }
[[nodiscard]] std::span<float> floats_of(matrix_values& values, const std::string&) {
  values.to_floats();
  return values;
}
[[nodiscard]] std::span<const float> floats_of(const matrix_values& values, const std::string& name) {
  if (values.are_stored())
    precis::refuse({.what = "tensor " + name + " as it is stored",
                    .where = "model weights",
                    .expected = "floats: call to_floats(weights) first, or read all_values(weights)"});
  return values;
}

/// Lists the tensors of `w` with their expected shapes. Actual sizes are not checked.
template<class T, class Weights>
[[nodiscard]] std::vector<tensor<T>> listed(Weights& w) {
  std::vector<tensor<T>> all;
  for_each_tensor(w.config, [&](std::string name, extents shape, bool, auto values) {
    const std::span<T> floats = floats_of(values(w), name);
    all.push_back({std::move(name), floats, std::move(shape)});
  });
  return all;
}

[[noreturn]] void bad_map(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "model shape", .expected = std::move(expected)});
}

/// Refuses a linear map whose shape or storage order differs from the expected one.
void check_linear(const linear& have, const linear& want, const std::string& name) {
  if (have.out != want.out || have.in != want.in || have.in_major != want.in_major)
    bad_map("map " + name + " is " + std::to_string(have.out) + " x " + std::to_string(have.in) +
                (have.in_major ? ", stored in x out" : ""),
            std::to_string(want.out) + " x " + std::to_string(want.in) + (want.in_major ? ", stored in x out" : ""));
}

/// Weights whose maps have their dimensions but no values.
[[nodiscard]] weights skeleton(const config& c) {
  const family& f = family_of(c);
  const knobs k = settings_of(c);
  const auto extents_only = [&](std::size_t out, std::size_t in) {
    linear l;
    l.out = out;
    l.in = in;
    l.in_major = f.in_major;
    return l;
  };
  const float offset = k.norm_plus_one ? 1.f : 0.f;
  const bool shiftless =
      !k.rms && !(k.norm_scale && k.norm_shift);  // a shift of 0, which no file holds, lets a norm subtract the mean
  weights w;
  w.config = c;
  w.blocks.resize(c.layers);
  for (std::size_t l = 0; l < c.layers; ++l)
    if (k.layers[l].experts) w.blocks[l].experts.resize(k.mixture.router.experts);
  for (const place& p : places_of(c, k)) {
    const slot& s = *p.slot;
    const layer_settings& l = k.layers[p.layer];
    if (s.norm != nullptr) (w.blocks[p.layer].*s.norm).offset = offset;
    if (s.norm != nullptr && shiftless) (w.blocks[p.layer].*s.norm).shift.resize(size_of(s.out, c, k, l));
    if (s.map != nullptr || s.of_expert != nullptr)
      map_at(w, p) = extents_only(size_of(s.out, c, k, l), size_of(s.in, c, k, l));
  }
  w.final_norm.offset = w.layer_norm.offset = offset;
  if (shiftless)
    for (norm* const n : {&w.embedding_norm, &w.final_norm}) n->shift.resize(c.width);
  if (k.embedding_width != 0) {
    w.embedding_projection = extents_only(c.width, k.embedding_width);
    w.head_projection = extents_only(k.embedding_width, c.width);
  }
  if (k.layer_input_width != 0) w.layer_projection = extents_only(c.layers * k.layer_input_width, c.width);
  if (!f.pooler.empty() && c.labels != 0) w.pooler = extents_only(c.width, c.width);
  if (!f.classifier.empty() && c.labels != 0) w.classifier = extents_only(c.labels, c.width);
  return w;
}

}  // namespace

std::vector<tensor<float>> tensors(weights& w) { return listed<float>(w); }
std::vector<tensor<const float>> tensors(const weights& w) { return listed<const float>(w); }

void to_floats(weights& w) { (void)tensors(w); }

std::vector<tensor_values> all_values(const weights& w) {
  std::vector<tensor_values> all;
  for_each_tensor(w.config, [&](std::string name, extents shape, bool, auto values) {
    const auto& own = values(w);
    tensor_values& t = all.emplace_back();
    t.name = std::move(name);
    t.shape = std::move(shape);
    if constexpr (std::is_same_v<decltype(own), const matrix_values&>)
      t.matrix = &own;
    else
      t.vector = &own;
  });
  return all;
}

weights without_values(const config& c) { return skeleton(c); }

weights zeros(const config& c) {
  check(c);
  weights w = skeleton(c);
  for_each_tensor(
      c, [&](const std::string&, const extents& shape, bool, auto values) { values(w).resize(product(shape)); });
  return w;
}

void check(const weights& w) {
  const config& c = w.config;
  check(c);
  if (w.blocks.size() != c.layers)
    bad_map(std::to_string(w.blocks.size()) + " blocks", std::to_string(c.layers) + " layers");
  const weights want = skeleton(c);
  const knobs k = settings_of(c);
  for (std::size_t l = 0; l < c.layers; ++l)
    if (w.blocks[l].experts.size() != want.blocks[l].experts.size())
      bad_map(std::to_string(w.blocks[l].experts.size()) + " experts in block " + std::to_string(l),
              std::to_string(want.blocks[l].experts.size()));
  for (const place& p : places_of(c, k))
    if (p.slot->norm == nullptr && p.slot->values == nullptr)
      check_linear(map_at(w, p), map_at(want, p), name_of(c, p));
  check_linear(w.embedding_projection, want.embedding_projection, "embedding projection");
  check_linear(w.head_projection, want.head_projection, "head projection");
  check_linear(w.layer_projection, want.layer_projection, "layer projection");
  check_linear(w.pooler, want.pooler, "pooler");
  check_linear(w.classifier, want.classifier, "classifier");
  if (c.tied_head && !w.head.empty()) bad_map("a separate head", "none: the head is tied to the embedding");

  for (const tensor_values& t : all_values(w)) {
    if (t.size() != product(t.shape))
      bad_map("tensor " + t.name + " has " + std::to_string(t.size()) + " values", std::to_string(product(t.shape)));
    if (t.are_stored()) continue;  // checked when the file was opened
    const std::span<const float> values = t.read();
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i])) continue;
      std::string index = std::to_string(i);
      if (t.shape.size() == 2) index = std::to_string(i / t.shape[1]) + ", " + std::to_string(i % t.shape[1]);
      precis::refuse({.what = "tensor " + t.name + " holds " + (std::isnan(values[i]) ? "NaN" : "infinity") + " at [" +
                              index + "]",
                      .where = "model weights",
                      .expected = "finite weights"});
    }
  }
}

}  // namespace engine
