#include <engine/model/families/hybrid_keys.hpp>

#include <engine/model/families/config_keys.hpp>

#include <precis/core/shown.hpp>
#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace engine {
namespace {

[[nodiscard]] const json* find_list(const json_object& keys, std::string_view key) {
  const json* const list = keys.find(key);
  if (list != nullptr && !list->is_array())
    keys.refuse("key \"" + std::string(key) + "\" is " + type_of(*list), "a list");
  return list;
}

/// A number of a list; infinity as transformers writes it.
[[nodiscard]] double number_in(const json_object& keys, std::string_view key, const json& value) {
  if (value.is_object() && value.size() == 1 && value.contains("__float__") && value["__float__"] == "Infinity")
    return std::numeric_limits<double>::infinity();
  if (!value.is_number()) keys.refuse("key \"" + std::string(key) + "\" holds " + type_of(value), "numbers");
  return value.get<double>();
}

}  // namespace

std::vector<mixer> mixers_named(const std::vector<std::string>& types, mixer other) {
  std::vector<mixer> mixers;
  for (const std::string& type : types)
    mixers.push_back(type == "attention" || type == "full_attention" ? mixer::attention : other);
  return mixers;
}

std::optional<std::vector<std::size_t>> read_indices(const json_object& keys, std::string_view key,
                                                     std::size_t layers) {
  const json* const list = find_list(keys, key);
  if (list == nullptr) return {};
  std::vector<std::size_t> indices;
  for (const json& item : *list) {
    if (!item.is_number_unsigned() || item.get<std::size_t>() >= layers)
      keys.refuse("key \"" + std::string(key) + "\" holds " + type_of(item),
                  "layers from 0 to " + std::to_string(layers - 1));
    indices.push_back(item.get<std::size_t>());
  }
  return indices;
}

std::vector<double> read_numbers(const json_object& keys, std::string_view key, std::vector<double> otherwise) {
  const json* const list = find_list(keys, key);
  if (list == nullptr) return otherwise;
  if (list->size() != otherwise.size())
    keys.refuse("key \"" + std::string(key) + "\" has " + std::to_string(list->size()) + " values",
                std::to_string(otherwise.size()));
  std::ranges::transform(*list, otherwise.begin(), [&](const json& item) { return number_in(keys, key, item); });
  return otherwise;
}

std::size_t expanded_width(const json_object& keys, const config& c) {
  return keys.whole_number_or("mamba_expand", 2) * c.width;
}

void read_mamba(const json_object& keys, std::size_t inner, config& c) {
  knobs& k = *c.knobs;
  must_be_silu(keys, c);
  mamba2_settings& m = k.mamba;
  m.heads = keys.whole_number_or("mamba_n_heads", 128);
  if (m.heads == 0 || inner % m.heads != 0)
    keys.refuse("key \"mamba_n_heads\" is " + std::to_string(m.heads),
                "a number that divides the inner width of " + std::to_string(inner));
  m.head_width = inner / m.heads;
  if (const json* const width = keys.find("mamba_d_head"); width != nullptr && *width != "auto")
    if (const std::size_t stated = keys.whole_number("mamba_d_head"); stated != m.head_width)
      keys.refuse("key \"mamba_d_head\" is " + std::to_string(stated),
                  std::to_string(m.head_width) + ", the inner width of " + std::to_string(inner) + " divided by " +
                      std::to_string(m.heads) + " heads");
  m.groups = keys.whole_number_or("mamba_n_groups", 1);
  m.state_width = keys.whole_number_or("mamba_d_state", 256);
  m.conv_width = keys.whole_number_or("mamba_d_conv", 4);
  const std::vector<double> limits =
      read_numbers(keys, "time_step_limit", {0, std::numeric_limits<double>::infinity()});
  m.least_step = limits[0];
  m.most_step = limits[1];
  m.norm_groups = m.groups;
  m.epsilon = c.norm_epsilon;
  k.conv_bias = keys.flag_or("mamba_conv_bias", true);
  k.mixer_in_bias = k.mixer_out_bias = keys.flag_or("mamba_proj_bias", false);
}

void complete_mamba(const gguf_reader& g, json& config) {
  const std::size_t inner = g.whole_or(".ssm.inner_size", 0), width = config["hidden_size"];
  config["mamba_expand"] = inner % width == 0 ? inner / width : 0;  // families that read this key refuse 0
  config["mamba_n_heads"] = g.whole_or(".ssm.time_step_rank", 0);
  config["mamba_n_groups"] = g.whole_or(".ssm.group_count", 1);
  config["mamba_d_state"] = g.whole_or(".ssm.state_size", 0);
  config["mamba_d_conv"] = g.whole_or(".ssm.conv_kernel", 0);
  const std::size_t layers = config["num_hidden_layers"];
  json types = json::array();
  bool biased = false;
  const std::vector<std::size_t> kv = g.per_layer(".attention.head_count_kv", layers);
  for (std::size_t l = 0; l < layers; ++l) {
    types.push_back(kv[l] != 0 ? "attention" : "mamba");
    const std::string block = "blk." + std::to_string(l);
    biased = biased || g.tensor(block + ".ssm_conv1d.bias") != nullptr;
    if (g.tensor(block + ".attn_q.bias") != nullptr) config["attention_bias"] = true;
  }
  config["layer_types"] = types;
  config["mamba_conv_bias"] = biased;
}

void must_be_silu(const json_object& keys, const config& c) {
  if (c.activation != activation::silu)
    keys.refuse("key \"hidden_act\" is \"" + precis::shown(keys.text("hidden_act")) + "\"", "silu");
}

void set_mixers(config& c, const std::vector<mixer>& mixers) {
  knobs& k = *c.knobs;
  for (std::size_t l = 0; l < c.layers; ++l) {
    layer_settings& s = k.layers[l];
    s.mixer = mixers[l];
    s.hidden = c.hidden;
    if (!attends(s.mixer)) s.head_width = s.kv_heads = 0;
    if (!attends(s.mixer) || k.ropes.empty()) s.rope = no_rope;
  }
}

}  // namespace engine
