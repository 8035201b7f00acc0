#include <engine/model/config_json.hpp>

#include <engine/files/json.hpp>
#include <engine/model/families/decoder.hpp>
#include <engine/model/family.hpp>
#include <engine/model/known_keys.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>

namespace engine {
namespace {

/// All plain values in a value; null has none.
void add_values(const json& value, std::vector<plain_value>& out) {
  if (value.is_structured())
    for (const json& item : value) add_values(item, out);
  else if (value.is_boolean())
    out.emplace_back(value.get<bool>());
  else if (value.is_number_unsigned())
    out.emplace_back(value.get<std::uint64_t>());
  else if (value.is_number())
    out.emplace_back(value.get<double>());
  else if (value.is_string())
    out.emplace_back(value.get<std::string>());
}

/// What a key should be instead, by a table; empty if nothing is wrong.
[[nodiscard]] std::string wanted_instead(const key_row& row, const json& value, std::size_t context) {
  if (row.use == key_use::read || row.use == key_use::ignored) return {};
  std::vector<plain_value> values;
  add_values(value, values);
  return expected_instead(row, values, context);
}

/// A value for messages, with the beginning of what an array or object holds.
[[nodiscard]] std::string shown(const json& value) {
  if (!value.is_structured()) return type_of(value);
  const std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

enum class checked { all_but_windows, windows };

/// Whether a family's reader honours a key, or refuses what it does not support.
[[nodiscard]] bool is_read(const family& f, std::string_view key) {
  return has_word(f.keys, key) || (f.usual == nullptr && f.causal && has_word(usual_keys, key));
}

/// The row of a key in config.json.
[[nodiscard]] const key_row* row_of(const family& f, std::string_view key) {
  const key_row* const row = find_key(config_json_keys(), key, f.model_type);
  if (f.usual != nullptr || (row != nullptr && !row->families.empty())) return row;
  return find_key(config_json_keys(), key, f.causal ? "decoder" : "encoder");
}

/// The object of a config.json that holds the language model's keys beside those at the top; null if there is none.
[[nodiscard]] const json* nested_in(const json& root, const family& f) {
  const auto at = f.nested.empty() ? root.end() : root.find(f.nested);
  return at != root.end() && at->is_object() ? &*at : nullptr;
}

/// Refuses a key that asks for what the engine does not do. Windows are compared with the context.
void check_keys(const json& root, const json_object& keys, const family& f, checked which, std::size_t context) {
  for (const auto& [key, value] : root.items()) {
    if (is_read(f, key)) continue;
    const key_row* const row = row_of(f, key);
    if (row == nullptr || value.is_null() || (row->use == key_use::window) != (which == checked::windows)) continue;
    if (std::string expected = wanted_instead(*row, value, context); !expected.empty())
      keys.refuse("key \"" + key + "\" is " + shown(value) +
                      (row->use == key_use::extent ? "" : ", which this engine does not support"),
                  std::move(expected));
  }
  if (const json* const inner = nested_in(root, f)) check_keys(*inner, keys, f, which, context);
}

/// Refuses a model whose weights another program packed, by the method that its config.json states.
void check_not_quantized(const json_object& keys, const family& f) {
  const json* const found = keys.find("quantization_config");
  if (found == nullptr || is_read(f, "quantization_config")) return;
  std::string method = "an unnamed method";
  if (found->is_object())
    if (const auto at = found->find("quant_method"); at != found->end() && at->is_string())
      method = "\"" + precis::shown(at->get_ref<const std::string&>()) + "\"";
  keys.refuse("key \"quantization_config\": weights that are quantized with " + method,
              "the original model, with weights in F32, F16 or BF16");
}

}  // namespace

config parse_config(std::string_view json_text, std::string_view where) {
  const json root = parse_json(json_text, where);
  const json_object keys(root, std::string(where));
  const std::string type = keys.text("model_type");
  std::string known;
  for (const family* const f : all_families()) {
    if (type == f->model_type) {
      check_not_quantized(keys, *f);
      check_keys(root, keys, *f, checked::all_but_windows, 0);
      config c = f->read_config(keys);
      check_keys(root, keys, *f, checked::windows, c.context);
      if (c.knobs) c.knobs->published = json_text;
      check(c, where);
      return c;
    }
    known += (known.empty() ? "" : f == all_families().back() ? " or " : ", ") + std::string(f->model_type);
  }
  keys.refuse("key \"model_type\" is \"" + precis::shown(type) + "\"", known);
}

std::vector<std::string> unapplied_keys(const json& root, const config& c, metadata_file file) {
  const bool generation = file == metadata_file::generation_config;
  std::vector<std::string> unapplied;
  for (const auto& [key, value] : root.items()) {
    if (!generation && is_read(family_of(c), key)) continue;
    const key_row* row = generation ? nullptr : row_of(family_of(c), key);
    if (row == nullptr) row = find_key(generation_config_keys(), key, {});
    const bool asks = row == nullptr || (row->use == key_use::unapplied && !wanted_instead(*row, value, 0).empty());
    if (asks && !value.is_null()) unapplied.push_back(key);
  }
  if (const json* const inner = generation ? nullptr : nested_in(root, family_of(c)))
    for (std::string& key : unapplied_keys(*inner, c, file)) unapplied.push_back(std::move(key));
  return unapplied;
}

std::vector<precis::token> token_ids(const json_object& keys, std::string_view key) {
  const json* const found = keys.find(key);
  std::vector<precis::token> ids;
  if (found == nullptr) return ids;
  const auto add = [&](const json& id) {
    constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<precis::token>::max());
    if (id.is_number_unsigned() ? id.get<std::uint64_t>() > largest : !(id.is_number_integer() && id == -1))
      keys.refuse("key \"" + std::string(key) + "\" is " + shown(*found), "a token's id, or a list of them");
    if (id.is_number_unsigned()) ids.push_back(id.get<precis::token>());  // -1 stands for none
  };
  if (found->is_array())
    for (const json& id : *found) add(id);
  else
    add(*found);
  return ids;
}

std::string config_json(const config& c) {
  const family& f = family_of(c);
  if (c.knobs && !c.knobs->published.empty()) {
    if (!c.knobs->mxfp4) return c.knobs->published;
    nlohmann::ordered_json published = nlohmann::ordered_json::parse(c.knobs->published);
    published.erase("quantization_config");  // the weights are written as floats
    return published.dump(1) + "\n";
  }
  if (c.knobs || f.write_config == nullptr)
    precis::refuse({.what = "a " + std::string(f.name) + " whose settings were not read from a file",
                    .where = "config.json",
                    .expected = "a model that was loaded from a folder"});
  nlohmann::ordered_json keys;
  keys["architectures"] = {f.hugging_face_class};
  keys["model_type"] = f.model_type;
  f.write_config(c, keys);
  keys["tie_word_embeddings"] = c.tied_head;
  return keys.dump(1) + "\n";
}

std::vector<std::string> label_names(const json_object& keys) {
  const json* const names = keys.find("id2label");
  const std::size_t count = names != nullptr && names->is_object() ? names->size() : 2;
  const std::size_t all = keys.whole_number_or("num_labels", count);
  if (all > (std::size_t{1} << 16)) keys.refuse("key \"num_labels\" is " + std::to_string(all), "2 to 2^16");
  std::vector<std::string> labels(all);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = "LABEL_" + std::to_string(i);
  if (names == nullptr) return labels;
  if (!names->is_object()) keys.refuse("key \"id2label\" is " + type_of(*names), "an object of ids and names");
  std::vector<bool> named(labels.size());
  for (const auto& [id, name] : names->items()) {
    std::size_t i = 0;
    if (!precis::text::read(id, i) || i >= labels.size() || !name.is_string() || named[i])
      keys.refuse("key \"id2label\" holds \"" + precis::shown(id) + "\": " + type_of(name),
                  "a name for every id from 0 to " + std::to_string(labels.size() - 1));
    labels[i] = name.get<std::string>();
    named[i] = true;
  }
  return labels;
}

}  // namespace engine
