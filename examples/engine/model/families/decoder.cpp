#include <engine/model/families/decoder.hpp>

#include <engine/model/families/config_keys.hpp>
#include <engine/model/known_keys.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>
#include <utility>

namespace engine {
namespace {

constexpr std::string_view rope_keys =
    "rope_type rope_theta partial_rotary_factor factor low_freq_factor high_freq_factor "
    "original_max_position_embeddings attention_factor beta_fast beta_slow truncate mscale mscale_all_dim short_factor "
    "long_factor mrope_section mrope_interleaved llama_4_scaling_beta max_position_embeddings finetuned";

[[nodiscard]] const json* rope_object(const json_object& keys, const char* name) {
  const json* const rope = keys.find(name);
  if (rope != nullptr && !rope->is_object())
    keys.refuse("key \"" + std::string(name) + "\" is " + type_of(*rope), "an object");
  return rope;
}

/// What rope_parameters and rope_scaling hold, and the keys of the same names outside, where older files have them.
[[nodiscard]] json rope_members(const json_object& keys, std::string_view layer_type) {
  json all = json::object();
  const auto add = [&](const std::string& name, const json& value) {
    if (value.is_null()) return;
    const auto [at, fresh] = all.emplace(name == "type" ? "rope_type" : name, value);  // the older name
    if (!fresh && *at != value)
      keys.refuse("key \"" + name + "\" is " + type_of(value) + " in one place and " + type_of(*at) + " in another",
                  "one value");
  };
  const json* parameters = rope_object(keys, "rope_parameters");
  if (!layer_type.empty() && has_rope_of(keys, layer_type)) {
    parameters = &*parameters->find(layer_type);
  } else {
    for (const char* const name : {"rope_theta", "partial_rotary_factor", "original_max_position_embeddings"})
      if (const json* const value = keys.find(name)) add(name, *value);
    if (const json* const scaling = rope_object(keys, "rope_scaling"))
      for (const auto& [name, value] : scaling->items()) add(name, value);
  }
  if (parameters != nullptr)
    for (const auto& [name, value] : parameters->items()) add(name, value);
  return all;
}

[[nodiscard]] rope_type read_rope_type(const json_object& rope, std::string_view otherwise) {
  const std::string type = rope.text_or("rope_type", otherwise);
  const std::pair<std::string_view, rope_type> names[] = {
      {"default", rope_type::plain},   {"linear", rope_type::linear},
      {"dynamic", rope_type::dynamic}, {"llama3", rope_type::llama3},
      {"yarn", rope_type::yarn},       {"longrope", rope_type::longrope},
      {"su", rope_type::longrope},     {"proportional", rope_type::proportional}};
  for (const auto& [name, value] : names)
    if (type == name) return value;
  rope.refuse("key \"rope_type\" is \"" + precis::shown(type) + "\"",
              "default, linear, dynamic, llama3, yarn, longrope or proportional");
}

[[nodiscard]] std::vector<double> read_list(const json_object& rope, std::string_view key) {
  std::vector<double> values;
  const json* const found = rope.find(key);
  if (found == nullptr) return values;
  if (!found->is_array()) rope.refuse("key \"" + std::string(key) + "\" is " + type_of(*found), "a list of numbers");
  for (const json& v : *found) {
    if (!v.is_number()) rope.refuse("key \"" + std::string(key) + "\" holds " + type_of(v), "a list of numbers");
    values.push_back(v.get<double>());
  }
  return values;
}

}  // namespace

bool has_rope_of(const json_object& keys, std::string_view layer_type) {
  const json* const rope = rope_object(keys, "rope_parameters");
  if (rope == nullptr) return false;
  const auto at = rope->find(layer_type);
  return at != rope->end() && at->is_object();
}

rope_settings read_rope(const json_object& keys, const rope_defaults& d, std::size_t context,
                        std::string_view layer_type) {
  const json members = rope_members(keys, layer_type);
  const json_object rope(members, keys.where());
  for (const auto& [name, value] : members.items())
    if (!has_word(rope_keys, name))
      rope.refuse("key \"" + precis::shown(name) + "\" is " + type_of(value), "no such key in rotary positions");
  rope_settings s{.type = read_rope_type(rope, d.type),
                  .theta = rope.number_or("rope_theta", d.theta),
                  .head_width = d.head_width,
                  .half_split = d.half_split};
  const double share = rope.number_or("partial_rotary_factor", d.share);
  if (!(share > 0 && share <= 1))
    rope.refuse("key \"partial_rotary_factor\" is " + precis::text::number(share), "above 0 and at most 1");
  s.rotary_width = rotary_width_of(s.type, s.head_width, share);
  const auto optional = [&](const char* name) {
    return rope.find(name) == nullptr ? std::optional<double>() : rope.number_or(name, 0);
  };
  const bool scales_by_one = s.type == rope_type::linear || s.type == rope_type::dynamic;
  if (scales_by_one && rope.number_or("factor", 0) == 1) s.type = rope_type::plain;
  if (s.type == rope_type::plain) {
    for (const auto& [name, value] : members.items()) {
      const bool counts = !has_word(
                              "rope_type rope_theta partial_rotary_factor original_max_position_embeddings "
                              "llama_4_scaling_beta max_position_embeddings finetuned",
                              name) &&
                          !(d.multimodal && name.starts_with("mrope_"));
      const bool may_be_one = has_word("factor attention_factor", name);
      if (counts && !(may_be_one && value == 1))
        rope.refuse("key \"" + name + "\" is " + type_of(value) + " with rotary positions that are not scaled",
                    may_be_one ? "1, or a rope_type" : "no such key, or a rope_type");
    }
    return s;
  }
  s.original_context = rope.whole_number_or("original_max_position_embeddings", context);
  const auto by_context =
      static_cast<double>(context) / static_cast<double>(std::max<std::size_t>(s.original_context, 1));
  if (s.type == rope_type::proportional)
    s.factor = rope.number_or("factor", 1);
  else if (s.type == rope_type::longrope || (s.type == rope_type::yarn && rope.find("factor") == nullptr))
    s.factor = rope.number_or("factor", by_context);
  else
    s.factor = rope.number("factor");
  if (s.type == rope_type::dynamic) s.original_context = context;
  if (s.type == rope_type::llama3) {
    s.low_frequency_factor = rope.number("low_freq_factor");
    s.high_frequency_factor = rope.number("high_freq_factor");
  }
  s.attention_factor = optional("attention_factor");
  s.mscale = optional("mscale");
  s.mscale_all = optional("mscale_all_dim");
  s.beta_fast = rope.number_or("beta_fast", 32);
  s.beta_slow = rope.number_or("beta_slow", 1);
  s.truncate = rope.flag_or("truncate", true);
  s.short_factor = read_list(rope, "short_factor");
  s.long_factor = read_list(rope, "long_factor");
  return s;
}

activation read_any_activation(const json_object& keys, std::string_view key, std::string_view otherwise) {
  const std::string name = keys.text_or(key, otherwise);
  if (name == "silu" || name == "swish") return activation::silu;
  if (name == "gelu") return activation::gelu_erf;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return activation::gelu_tanh;
  if (name == "relu") return activation::relu;
  if (name == "relu2") return activation::relu_squared;
  keys.refuse("key \"" + std::string(key) + "\" is \"" + precis::shown(name) + "\"",
              "silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu or relu2");
}

config read_decoder(const json_object& keys, architecture a, const decoder_defaults& d) {
  config c = read_usual_extents(keys, a);
  if (c.layers == 0 || c.layers > (std::size_t{1} << 16))
    keys.refuse("key \"num_hidden_layers\" is " + std::to_string(c.layers), "1 to 2^16");
  if (c.heads == 0) keys.refuse("key \"num_attention_heads\" is 0", "at least one");
  if (keys.contains("num_key_value_heads"))
    c.kv_heads = keys.whole_number_or("num_key_value_heads", c.heads);
  else if (d.kv_heads != 0)
    c.kv_heads = d.kv_heads;
  c.hidden = keys.whole_number(d.hidden_key);
  c.norm_epsilon = positive_number(keys, d.epsilon_key, d.epsilon);
  c.tied_head = keys.flag_or("tie_word_embeddings", d.tied);
  c.activation = read_any_activation(keys, d.activation_key, d.activation);
  const bool stated = keys.find("head_dim") != nullptr;
  std::size_t head_width = d.head_width;
  if (stated) head_width = keys.whole_number("head_dim");
  if (head_width == 0) {
    if (c.width % c.heads != 0)
      keys.refuse("key \"hidden_size\" is " + std::to_string(c.width) + " with " + std::to_string(c.heads) + " heads",
                  "a multiple of num_attention_heads, or a head_dim");
    head_width = c.width / c.heads;
  }
  knobs k;
  k.ropes = {
      read_rope(keys, {.head_width = head_width, .theta = d.theta, .share = d.rotary_share, .multimodal = d.multimodal},
                c.context, d.layer_type)};
  k.layers.assign(c.layers, {.head_width = head_width, .kv_heads = c.kv_heads, .hidden = c.hidden});
  c.knobs = std::move(k);
  return c;
}

std::optional<std::vector<std::string>> read_layer_types(const json_object& keys, std::size_t layers,
                                                         std::string_view known) {
  const json* const found = keys.find("layer_types");
  if (found == nullptr) return std::nullopt;
  if (!found->is_array() || found->size() != layers)
    keys.refuse("key \"layer_types\" is " + type_of(*found) +
                    (found->is_array() ? " of " + std::to_string(found->size()) : std::string()),
                "a list of " + std::to_string(layers) + " types, one per layer");
  std::vector<std::string> types;
  for (const json& t : *found) {
    if (!t.is_string() || !has_word(known, t.get_ref<const std::string&>()))
      keys.refuse("key \"layer_types\" holds " + type_of(t), "types of layers: " + std::string(known));
    types.push_back(t.get<std::string>());
  }
  return types;
}

std::size_t read_window(const json_object& keys, std::string_view key, std::size_t otherwise) {
  if (!keys.contains(key)) return otherwise;
  if (keys.find(key) == nullptr) return 0;
  const std::size_t window = keys.whole_number(key);
  if (window == 0) keys.refuse("key \"" + std::string(key) + "\" is 0", "at least one position, or null for all");
  return window;
}

float finite_number(const json_object& keys, std::string_view key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!std::isfinite(value) || std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    keys.refuse("key \"" + std::string(key) + "\" is " + precis::text::number(value), "a finite number");
  return static_cast<float>(value);
}

tensor_meaning usual_meaning(std::string_view stored) {
  if (stored.ends_with("rotary_emb.inv_freq")) return {};
  if (stored.starts_with("model.")) stored.remove_prefix(6);
  return {std::string(stored), false};
}

tensor_part row_range(std::string whole, std::vector<std::size_t> shape, std::size_t first, std::size_t in) {
  return {.whole = std::move(whole), .shape = std::move(shape), .first = first * in, .out_stride = in};
}

std::optional<split_name> split_block_name(std::string_view blocks, std::string_view name) {
  split_name s;
  if (!name.starts_with(blocks)) return std::nullopt;
  const std::size_t dot = name.find('.', blocks.size()), last = name.rfind('.');
  if (dot == std::string_view::npos || last <= dot ||
      !precis::text::read(name.substr(blocks.size(), dot - blocks.size()), s.layer))
    return std::nullopt;
  s.before = name.substr(0, dot + 1);
  s.after = name.substr(last);
  s.name = name.substr(dot + 1, last - dot - 1);
  return s;
}

}  // namespace engine
