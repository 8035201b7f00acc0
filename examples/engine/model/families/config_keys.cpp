#include <engine/model/families/config_keys.hpp>

#include <engine/model/known_keys.hpp>

#include <precis/core/text.hpp>

#include <charconv>
#include <limits>

namespace engine {

float positive_number(const json_object& keys, std::string_view key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!(value > 0) || value > std::numeric_limits<float>::max() || static_cast<float>(value) == 0)
    keys.refuse("key \"" + std::string(key) + "\" is " + precis::text::number(value), "a positive number");
  return static_cast<float>(value);
}

void must_be(const json_object& keys, std::string_view key, bool wanted) {
  if (keys.flag_or(key, wanted) != wanted)
    keys.refuse(
        "key \"" + std::string(key) + "\" is " + (wanted ? "false" : "true") + ", which this engine does not support",
        wanted ? "true" : "false");
}

activation read_activation(const json_object& keys, std::string_view key, std::string_view otherwise,
                           relu_support relu) {
  const bool with_relu = relu == relu_support::yes;
  const std::string name = keys.text_or(key, otherwise);
  if (name == "gelu") return activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return activation::gelu_tanh;
  if (with_relu && name == "relu") return activation::relu;
  keys.refuse("key \"" + std::string(key) + "\" is \"" + name + "\"",
              with_relu ? "gelu, gelu_new, gelu_pytorch_tanh or relu" : "gelu_new, gelu_pytorch_tanh or gelu");
}

namespace {

/// What rope_parameters and rope_scaling hold, and the keys of the same names outside, where older files have them.
[[nodiscard]] json rotary_members(const json_object& keys) {
  json all = json::object();
  const auto add = [&](const std::string& name, const json& value) {
    const auto [at, fresh] = all.emplace(name == "type" ? "rope_type" : name, value);  // the older name
    if (!fresh && *at != value)
      keys.refuse("key \"" + name + "\" is " + type_of(value) + " in one place and " + type_of(*at) + " in another",
                  "one value");
  };
  for (const char* const name : {"rope_theta", "partial_rotary_factor"})
    if (const json* const value = keys.find(name)) add(name, *value);
  for (const std::string key : {"rope_parameters", "rope_scaling"}) {
    const json* const rope = keys.find(key);
    if (rope == nullptr) continue;
    if (!rope->is_object()) keys.refuse("key \"" + key + "\" is " + type_of(*rope), "an object");
    for (const auto& [name, value] : rope->items())
      if (!value.is_null()) add(name, value);
  }
  return all;
}

}  // namespace

rotary_settings read_rotary(const json_object& keys, double share) {
  const json members = rotary_members(keys);
  const json_object rope(members, keys.where());
  const std::string type = rope.text_or("rope_type", "default");
  if (type != "default" && !((type == "linear" || type == "dynamic") && rope.number_or("factor", 0) == 1))
    rope.refuse("key \"rope_type\" is \"" + type + "\": this engine does not support scaled rotary positions",
                "default");
  for (const auto& [name, value] : members.items()) {
    if (has_word("rope_type rope_theta partial_rotary_factor original_max_position_embeddings", name)) continue;
    if (!has_word("factor attention_factor", name) || value != 1)  // 1 changes nothing
      rope.refuse(
          "key \"" + name + "\" is " + type_of(value) + ": this engine does not support scaled rotary positions",
          has_word("factor attention_factor", name) ? "1" : "no such key");
  }
  share = rope.number_or("partial_rotary_factor", share);
  if (!(share > 0 && share <= 1))
    rope.refuse("key \"partial_rotary_factor\" is " + precis::text::number(share), "above 0 and at most 1");
  return {.base = positive_number(rope, "rope_theta", 10000), .share = share};
}

config read_usual_extents(const json_object& keys, architecture a) {
  config c{.architecture = a};
  c.layers = keys.whole_number("num_hidden_layers");
  c.width = keys.whole_number("hidden_size");
  c.heads = c.kv_heads = keys.whole_number("num_attention_heads");
  c.vocabulary = keys.whole_number("vocab_size");
  c.context = keys.whole_number("max_position_embeddings");
  return c;
}

std::string_view activation_name(activation a) noexcept {
  switch (a) {
    case activation::gelu_tanh: return "gelu_new";
    case activation::gelu_erf: return "gelu";
    case activation::relu: return "relu";
    case activation::relu_squared: return "relu2";
    case activation::silu: break;
  }
  return "silu";
}

void write_usual_extents(const config& c, nlohmann::ordered_json& keys) {
  keys["num_hidden_layers"] = c.layers;
  keys["num_attention_heads"] = c.heads;
  keys["hidden_size"] = c.width;
  keys["max_position_embeddings"] = c.context;
  keys["vocab_size"] = c.vocabulary;
}

template<std::floating_point Number>
nlohmann::ordered_json shortest(Number value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return nlohmann::ordered_json::parse(digits, end);
}
template nlohmann::ordered_json shortest(float);
template nlohmann::ordered_json shortest(double);

}  // namespace engine
