#include <engine/model/weights.hpp>

#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <string>
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

/// Lists the tensors of `w` with the shape they should have; their size is not looked at.
template<class T, class Weights>
[[nodiscard]] std::vector<tensor<T>> listed(Weights& w) {
  std::vector<tensor<T>> all;
  for_each_tensor(w.config, [&](std::string name, extents shape, bool, auto values) {
    all.push_back({std::move(name), std::span<T>(values(w)), std::move(shape)});
  });
  return all;
}

[[noreturn]] void bad_shape(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "model shape", .expected = std::move(expected)});
}

/// A linear map beside the one it should be.
void check_linear(const linear& have, const linear& want, const std::string& name) {
  if (have.out != want.out || have.in != want.in || have.in_major != want.in_major)
    bad_shape("map " + name + " is " + std::to_string(have.out) + " x " + std::to_string(have.in) +
                  (have.in_major ? ", stored in x out" : ""),
              std::to_string(want.out) + " x " + std::to_string(want.in) + (want.in_major ? ", stored in x out" : ""));
}

/// Weights whose maps know their extents; nothing else is there yet.
[[nodiscard]] weights skeleton(const config& c) {
  const family& f = family_of(c);
  const auto extents_only = [&](std::size_t out, std::size_t in) {
    linear l;
    l.out = out;
    l.in = in;
    l.in_major = f.in_major;
    return l;
  };
  weights w;
  w.config = c;
  w.blocks.resize(c.layers);
  for (block& b : w.blocks)
    for (const block_part& p : maps_of(f)) b.*p.map = extents_only(size_of(p.out, c), size_of(p.in, c));
  if (!f.pooler.empty()) w.pooler = extents_only(c.width, c.width);
  if (!f.classifier.empty()) w.classifier = extents_only(c.labels, c.width);
  return w;
}

}  // namespace

std::vector<tensor<float>> tensors(weights& w) { return listed<float>(w); }
std::vector<tensor<const float>> tensors(const weights& w) { return listed<const float>(w); }

weights zeros(const config& c) {
  check(c);
  weights w = skeleton(c);
  for_each_tensor(
      c, [&](const std::string&, const extents& shape, bool, auto values) { values(w).resize(product(shape)); });
  return w;
}

void check(const config& c) {
  const std::pair<const char*, std::size_t> extents_of[] = {
      {"layers", c.layers},    {"width", c.width},           {"heads", c.heads},    {"key-value heads", c.kv_heads},
      {"MLP width", c.hidden}, {"vocabulary", c.vocabulary}, {"context", c.context}};
  for (const auto& [name, value] : extents_of)
    if (value == 0 || value > (std::size_t{1} << 28))
      bad_shape(std::string(name) + " = " + std::to_string(value), "1 to 2^28");
  if (c.width % c.heads != 0)
    bad_shape("a width of " + std::to_string(c.width) + " with " + std::to_string(c.heads) + " heads",
              "a width that the number of heads divides");
  if (c.heads % c.kv_heads != 0)
    bad_shape(std::to_string(c.heads) + " heads with " + std::to_string(c.kv_heads) + " key-value heads",
              "key-value heads that divide the heads");
  const family& f = family_of(c);
  if (!f.shared_heads && c.heads != c.kv_heads)
    bad_shape(std::to_string(c.kv_heads) + " key-value heads in a model of type " + std::string(f.model_type),
              "as many as heads");
  if (f.rotary && c.head_width() % 2 != 0)
    bad_shape("a head width of " + std::to_string(c.head_width()), "an even one for rotary positions");
  if (f.halves ? c.rotary_width == 0 || c.rotary_width % 2 != 0 || c.rotary_width > c.head_width()
               : c.rotary_width != 0)
    bad_shape("a rotary width of " + std::to_string(c.rotary_width),
              f.halves ? "an even one, at most the head width of " + std::to_string(c.head_width()) : "0");
  if (!(c.norm_epsilon > 0) || !std::isfinite(c.norm_epsilon))
    bad_shape("a norm epsilon of " + std::to_string(c.norm_epsilon), "a small positive number");
  if (!(c.rope_theta > 0) || !std::isfinite(c.rope_theta))
    bad_shape("a rotary base of " + std::to_string(c.rope_theta), "a positive number such as 10000");
  constexpr std::size_t most = std::size_t{1} << 16;
  if (f.type_embedding.empty() ? c.token_types != 0 : c.token_types == 0 || c.token_types > most)
    bad_shape("token types = " + std::to_string(c.token_types), f.type_embedding.empty() ? "0" : "1 to 2^16");
  if (f.classifier.empty() ? c.labels != 0 : c.labels < 2 || c.labels > most)
    bad_shape("labels = " + std::to_string(c.labels), f.classifier.empty() ? "0" : "2 to 2^16");
}

void check(const weights& w) {
  const config& c = w.config;
  check(c);
  if (w.blocks.size() != c.layers)
    bad_shape(std::to_string(w.blocks.size()) + " blocks", std::to_string(c.layers) + " layers");
  const weights want = skeleton(c);
  for (std::size_t l = 0; l < c.layers; ++l) {
    const block &b = w.blocks[l], &wanted = want.blocks[l];
    const std::string at = " of block " + std::to_string(l);
    check_linear(b.qkv, wanted.qkv, "qkv" + at);
    check_linear(b.query, wanted.query, "query" + at);
    check_linear(b.key, wanted.key, "key" + at);
    check_linear(b.value, wanted.value, "value" + at);
    check_linear(b.attention_out, wanted.attention_out, "attention_out" + at);
    check_linear(b.gate, wanted.gate, "gate" + at);
    check_linear(b.up, wanted.up, "up" + at);
    check_linear(b.down, wanted.down, "down" + at);
  }
  check_linear(w.pooler, want.pooler, "pooler");
  check_linear(w.classifier, want.classifier, "classifier");
  if (c.tied_head && !w.head.empty()) bad_shape("a head of its own", "none: the head is tied to the embedding");

  for (const tensor<const float>& t : tensors(w)) {
    if (t.values.size() != product(t.shape))
      bad_shape("tensor " + t.name + " has " + std::to_string(t.values.size()) + " values",
                std::to_string(product(t.shape)));
    for (std::size_t i = 0; i < t.values.size(); ++i) {
      if (std::isfinite(t.values[i])) continue;
      std::string index = std::to_string(i);
      if (t.shape.size() == 2) index = std::to_string(i / t.shape[1]) + ", " + std::to_string(i % t.shape[1]);
      precis::refuse({.what = "tensor " + t.name + " holds " + (std::isnan(t.values[i]) ? "NaN" : "infinity") +
                              " at [" + index + "]",
                      .where = "model weights",
                      .expected = "finite weights"});
    }
  }
}

}  // namespace engine
