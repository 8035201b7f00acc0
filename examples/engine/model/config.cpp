#include <engine/model/config.hpp>

#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace engine {

knobs settings_of(const config& c) {
  knobs k = c.knobs ? *c.knobs : family_of(c).usual(c);
  if (k.layers.empty())
    k.layers.assign(c.layers, {.rope = k.ropes.empty() ? no_rope : 0,
                               .head_width = c.head_width(),
                               .kv_heads = c.kv_heads,
                               .hidden = c.hidden});
  return k;
}

namespace {

/// Refuses settings that contradict each other. Readers refuse what the engine does not support by the key's name.
template<class Bad>
void check_knobs(const config& c, const knobs& k, std::string_view where, Bad&& bad) {
  if (k.layers.size() != c.layers)
    bad("settings of " + std::to_string(k.layers.size()) + " layers", std::to_string(c.layers));
  constexpr std::size_t most = std::size_t{1} << 28;
  const auto extent_of = [&](const char* name, std::size_t value) {
    if (value == 0 || value > most) bad(std::string(name) + " = " + std::to_string(value), "1 to 2^28");
  };
  for (const rope_settings& r : k.ropes) check(r, where);
  if (const relative_bias& b = k.relative_bias; b.rows != 0) {
    if (b.buckets < 4 || b.buckets > b.rows || b.rows > (std::size_t{1} << 20))
      bad(std::to_string(b.buckets) + " buckets of relative positions in a table of " + std::to_string(b.rows),
          "4 or more, and as many rows at least");
    if (b.distance <= b.buckets / 4)
      bad("relative positions up to a distance of " + std::to_string(b.distance),
          "more than a quarter of the " + std::to_string(b.buckets) + " buckets");
  }
  if (k.padding != no_padding && k.padding > most) bad("a padding token of " + std::to_string(k.padding), "0 to 2^28");
  if (k.mixture.router.experts != 0) {
    if (k.mixture.router.experts > 4096) bad("experts = " + std::to_string(k.mixture.router.experts), "1 to 4096");
    extent_of("the width of experts", k.mixture.hidden);
    check(k.mixture.router, where);
  }
  if (c.layers > (std::size_t{1} << 16)) bad("layers = " + std::to_string(c.layers), "1 to 2^16");
  for (std::size_t i = 0; i < k.layers.size(); ++i) {
    const layer_settings& l = k.layers[i];
    if (attends(l.mixer)) {
      extent_of("a head width", l.head_width);
      extent_of("key-value heads", l.kv_heads);
      if (c.heads % l.kv_heads != 0)
        bad(std::to_string(c.heads) + " heads with " + std::to_string(l.kv_heads) + " key-value heads",
            "key-value heads that divide the heads");
    } else if (l.head_width != 0 || l.kv_heads != 0 || l.rope != no_rope || l.kv_source != own_keys) {
      bad("attention settings of layer " + std::to_string(i), "none: the layer does not attend");
    }
    if (l.mixer == mixer::short_conv) extent_of("conv_L_cache", k.short_conv_width);
    if (l.mixer == mixer::delta_net) check(k.delta_net, where);
    if (l.mixer == mixer::mamba || l.mixer == mixer::attention_and_mamba) check(k.mamba, where);
    if (!l.experts) extent_of("MLP width", l.hidden);
    if (l.experts && k.mixture.router.experts == 0) bad("a layer of experts without experts", "at least one expert");
    if (l.rope != no_rope && (l.rope >= k.ropes.size() || k.ropes[l.rope].head_width != l.head_width))
      bad("rotary positions of layer " + std::to_string(i), "those of one of the model's rotary settings");
    if (l.kv_source != own_keys &&
        (l.kv_source >= i || k.layers[l.kv_source].kv_source != own_keys ||
         k.layers[l.kv_source].head_width != l.head_width || k.layers[l.kv_source].kv_heads != l.kv_heads))
      bad("shared keys and values of layer " + std::to_string(i), "those of an earlier layer of the same shape");
  }
}

}  // namespace

void check(const config& c, std::string_view where) {
  const auto bad_shape = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
  };
  const std::pair<const char*, std::size_t> extents_of[] = {
      {"layers", c.layers},    {"width", c.width},           {"heads", c.heads},    {"key-value heads", c.kv_heads},
      {"MLP width", c.hidden}, {"vocabulary", c.vocabulary}, {"context", c.context}};
  for (const auto& [name, value] : extents_of)
    if (value == 0 || value > (std::size_t{1} << 28))
      bad_shape(std::string(name) + " = " + std::to_string(value), "1 to 2^28");
  const family& f = family_of(c);
  if (!c.knobs && c.width % c.heads != 0)
    bad_shape("a width of " + std::to_string(c.width) + " with " + std::to_string(c.heads) + " heads",
              "a width that the number of heads divides");
  if (c.heads % c.kv_heads != 0)
    bad_shape(std::to_string(c.heads) + " heads with " + std::to_string(c.kv_heads) + " key-value heads",
              "key-value heads that divide the heads");
  const bool rotary = c.architecture == architecture::llama || c.architecture == architecture::phi;
  if (!c.knobs && !rotary && c.heads != c.kv_heads)
    bad_shape(std::to_string(c.kv_heads) + " key-value heads in a model of type " + std::string(f.model_type),
              "as many as there are heads");
  const bool partial = c.architecture == architecture::phi && !c.knobs;
  if (rotary && !c.knobs && c.head_width() % 2 != 0)
    bad_shape("a head width of " + std::to_string(c.head_width()), "an even head width for rotary positions");
  if (partial ? c.rotary_width == 0 || c.rotary_width % 2 != 0 || c.rotary_width > c.head_width() : c.rotary_width != 0)
    bad_shape("a rotary width of " + std::to_string(c.rotary_width),
              partial ? "an even number, at most the head width of " + std::to_string(c.head_width()) : "0");
  if (!(c.norm_epsilon > 0) || !std::isfinite(c.norm_epsilon))
    bad_shape("a norm epsilon of " + std::to_string(c.norm_epsilon), "a small positive number");
  if (!(c.rope_theta > 0) || !std::isfinite(c.rope_theta))
    bad_shape("a rotary base of " + std::to_string(c.rope_theta), "a positive number such as 10000");
  constexpr std::size_t most = std::size_t{1} << 16;
  if (f.type_embedding.empty() ? c.token_types != 0 : c.token_types == 0 || c.token_types > most)
    bad_shape("token types = " + std::to_string(c.token_types), f.type_embedding.empty() ? "0" : "1 to 2^16");
  const bool embeds = c.knobs && c.knobs->embeds;
  if (f.classifier.empty() || embeds ? c.labels != 0 : c.labels < 2 || c.labels > most)
    bad_shape("labels = " + std::to_string(c.labels), f.classifier.empty() || embeds ? "0" : "2 to 2^16");
  if (c.knobs) check_knobs(c, settings_of(c), where, bad_shape);
}

}  // namespace engine
