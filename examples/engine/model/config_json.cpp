#include <engine/model/config_json.hpp>

#include <engine/files/json.hpp>
#include <engine/model/family.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <iterator>

namespace engine {

config parse_config(std::string_view json_text, std::string_view where) {
  const json root = parse_json(json_text, where);
  const json_object keys(root, std::string(where));
  const std::string type = keys.text("model_type");
  std::string known;
  for (const architecture a : all_architectures) {
    const family& f = family_of(a);
    if (type == f.model_type) {
      const config c = f.read_config(keys);
      check(c, where);
      return c;
    }
    known += (known.empty() ? "" : a == std::end(all_architectures)[-1] ? " or " : ", ") + std::string(f.model_type);
  }
  keys.refuse("key \"model_type\" is \"" + precis::shown(type) + "\"", known);
}

std::string config_json(const config& c) {
  const family& f = family_of(c);
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
