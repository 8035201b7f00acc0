#include <engine/weights.hpp>

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
  const config& c = w.config;
  const bool gpt2 = c.architecture == architecture::gpt2;
  std::vector<tensor<T>> all;
  const auto add = [&](std::string name, auto& values, extents shape) {
    all.push_back({std::move(name), std::span<T>(values), std::move(shape)});
  };
  const auto add_norm = [&](const std::string& name, auto& n) {
    add(name + ".weight", n.scale, {c.width});
    if (gpt2) add(name + ".bias", n.shift, {c.width});
  };
  const auto add_linear = [&](const std::string& name, auto& l) {
    add(name + ".weight", l.values, l.in_major ? extents{l.in, l.out} : extents{l.out, l.in});
    if (!l.bias.empty()) add(name + ".bias", l.bias, {l.out});
  };

  add(gpt2 ? "wte.weight" : "tok_embeddings.weight", w.token_embedding, {c.vocabulary, c.width});
  if (gpt2) add("wpe.weight", w.position_embedding, {c.context, c.width});
  for (std::size_t l = 0; l < w.blocks.size(); ++l) {
    auto& b = w.blocks[l];
    if (gpt2) {
      const std::string h = "h." + std::to_string(l) + ".";
      add_norm(h + "ln_1", b.attention_norm);
      add_linear(h + "attn.c_attn", b.qkv);
      add_linear(h + "attn.c_proj", b.attention_out);
      add_norm(h + "ln_2", b.mlp_norm);
      add_linear(h + "mlp.c_fc", b.up);
      add_linear(h + "mlp.c_proj", b.down);
    } else {
      const std::string h = "layers." + std::to_string(l) + ".";
      add_norm(h + "attention_norm", b.attention_norm);
      add_linear(h + "attention.wq", b.query);
      add_linear(h + "attention.wk", b.key);
      add_linear(h + "attention.wv", b.value);
      add_linear(h + "attention.wo", b.attention_out);
      add_norm(h + "ffn_norm", b.mlp_norm);
      add_linear(h + "feed_forward.w1", b.gate);
      add_linear(h + "feed_forward.w2", b.down);
      add_linear(h + "feed_forward.w3", b.up);
    }
  }
  add_norm(gpt2 ? "ln_f" : "norm", w.final_norm);
  if (!c.tied_head) add(gpt2 ? "lm_head.weight" : "output.weight", w.head, {c.vocabulary, c.width});
  return all;
}

[[noreturn]] void bad_shape(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "model shape", .expected = std::move(expected)});
}

/// Every linear map of a block beside the one `zeros` gives it: same extents, orientation and bias.
void check_linear(const linear& have, const linear& want, const std::string& name) {
  if (have.out != want.out || have.in != want.in || have.bias.size() != want.bias.size())
    bad_shape("map " + name + " is " + std::to_string(have.out) + " x " + std::to_string(have.in) + " with " +
                  std::to_string(have.bias.size()) + " biases",
              std::to_string(want.out) + " x " + std::to_string(want.in) + " with " + std::to_string(want.bias.size()));
}

[[nodiscard]] block zero_block(const config& c) {
  const bool gpt2 = c.architecture == architecture::gpt2;
  const auto map = [&](std::size_t out, std::size_t in) { return linear(out, in, gpt2, gpt2); };
  const norm unit{std::vector<float>(c.width), std::vector<float>(gpt2 ? c.width : 0)};
  block b;
  b.attention_norm = unit;
  if (gpt2) {
    b.qkv = map(3 * c.width, c.width);
  } else {
    b.query = map(c.width, c.width);
    b.key = map(c.kv_width(), c.width);
    b.value = map(c.kv_width(), c.width);
    b.gate = map(c.hidden, c.width);
  }
  b.attention_out = map(c.width, c.width);
  b.mlp_norm = unit;
  b.up = map(c.hidden, c.width);
  b.down = map(c.width, c.hidden);
  return b;
}

}  // namespace

std::vector<tensor<float>> tensors(weights& w) { return listed<float>(w); }
std::vector<tensor<const float>> tensors(const weights& w) { return listed<const float>(w); }

weights zeros(const config& c) {
  check(c);
  const bool gpt2 = c.architecture == architecture::gpt2;
  weights w;
  w.config = c;
  w.token_embedding.resize(c.vocabulary * c.width);
  if (gpt2) w.position_embedding.resize(c.context * c.width);
  for (std::size_t l = 0; l < c.layers; ++l) w.blocks.push_back(zero_block(c));
  w.final_norm = {std::vector<float>(c.width), std::vector<float>(gpt2 ? c.width : 0)};
  if (!c.tied_head) w.head.resize(c.vocabulary * c.width);
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
  if (c.architecture == architecture::gpt2 && c.heads != c.kv_heads)
    bad_shape(std::to_string(c.kv_heads) + " key-value heads in a GPT-2", "as many as heads");
  if (c.architecture == architecture::llama && c.head_width() % 2 != 0)
    bad_shape("a head width of " + std::to_string(c.head_width()), "an even one for rotary positions");
  if (!(c.norm_epsilon > 0) || !std::isfinite(c.norm_epsilon))
    bad_shape("a norm epsilon of " + std::to_string(c.norm_epsilon), "a small positive number");
  if (!(c.rope_theta > 0) || !std::isfinite(c.rope_theta))
    bad_shape("a rotary base of " + std::to_string(c.rope_theta), "a positive number such as 10000");
}

void check(const weights& w) {
  const config& c = w.config;
  check(c);
  if (w.blocks.size() != c.layers)
    bad_shape(std::to_string(w.blocks.size()) + " blocks", std::to_string(c.layers) + " layers");
  const block want = zero_block(c);
  for (std::size_t l = 0; l < c.layers; ++l) {
    const block& b = w.blocks[l];
    const std::string at = " of block " + std::to_string(l);
    check_linear(b.qkv, want.qkv, "qkv" + at);
    check_linear(b.query, want.query, "query" + at);
    check_linear(b.key, want.key, "key" + at);
    check_linear(b.value, want.value, "value" + at);
    check_linear(b.attention_out, want.attention_out, "attention_out" + at);
    check_linear(b.gate, want.gate, "gate" + at);
    check_linear(b.up, want.up, "up" + at);
    check_linear(b.down, want.down, "down" + at);
  }
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
