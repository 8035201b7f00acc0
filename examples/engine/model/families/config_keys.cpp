#include <engine/model/families/config_keys.hpp>

#include <precis/core/text.hpp>

#include <charconv>
#include <limits>

namespace engine {

float positive_number(const json_object& keys, std::string_view key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!(value > 0) || value > std::numeric_limits<float>::max())
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

float read_rotary_base(const json_object& keys) {
  float base = positive_number(keys, "rope_theta", 10000);
  if (keys.find("rope_scaling") != nullptr)
    keys.refuse("key \"rope_scaling\" asks for scaled rotary positions, which this engine does not support", "null");
  if (const json* rope = keys.find("rope_parameters")) {  // newer files store rope_theta here
    if (!rope->is_object()) keys.refuse("key \"rope_parameters\" is " + type_of(*rope), "an object");
    const json_object members(*rope, "key \"rope_parameters\" of config.json");
    if (const std::string type = members.text_or("rope_type", "default"); type != "default")
      members.refuse("key \"rope_type\" is \"" + type + "\", which this engine does not support", "default");
    base = positive_number(members, "rope_theta", static_cast<double>(base));
  }
  return base;
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

nlohmann::ordered_json shortest(float value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
  return nlohmann::ordered_json::parse(digits, end);
}

}  // namespace engine
