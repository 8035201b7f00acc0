#include <engine/model/config.hpp>

#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

namespace engine {

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
  if (c.width % c.heads != 0)
    bad_shape("a width of " + std::to_string(c.width) + " with " + std::to_string(c.heads) + " heads",
              "a width that the number of heads divides");
  if (c.heads % c.kv_heads != 0)
    bad_shape(std::to_string(c.heads) + " heads with " + std::to_string(c.kv_heads) + " key-value heads",
              "key-value heads that divide the heads");
  const family& f = family_of(c);
  if (!f.shared_heads && c.heads != c.kv_heads)
    bad_shape(std::to_string(c.kv_heads) + " key-value heads in a model of type " + std::string(f.model_type),
              "as many as there are heads");
  if (f.rotary && c.head_width() % 2 != 0)
    bad_shape("a head width of " + std::to_string(c.head_width()), "an even head width for rotary positions");
  if (f.rotary_halves ? c.rotary_width == 0 || c.rotary_width % 2 != 0 || c.rotary_width > c.head_width()
                      : c.rotary_width != 0)
    bad_shape("a rotary width of " + std::to_string(c.rotary_width),
              f.rotary_halves ? "an even number, at most the head width of " + std::to_string(c.head_width()) : "0");
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

}  // namespace engine
