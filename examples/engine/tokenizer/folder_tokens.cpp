#include <engine/tokenizer/folder_tokens.hpp>

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <set>
#include <system_error>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// The object in a JSON file; an empty one if the file does not exist.
[[nodiscard]] json object_in(const fs::path& file) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) return json::object();
  json root = parse_json(mapped_file(file).text(), file.string());
  if (!root.is_object()) refuse_input(file.string(), type_of(root) + " at the top level", "an object");
  return root;
}

/// The text of a token that is a string, or an object with more attributes; empty for anything else.
[[nodiscard]] std::string token_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  const auto content = value.is_object() ? value.find("content") : value.end();
  return value.is_object() && content != value.end() && content->is_string() ? content->get<std::string>()
                                                                             : std::string();
}

}  // namespace

std::map<std::size_t, listed_token> listed_tokens(const fs::path& folder) {
  const json added = object_in(folder / "added_tokens.json"), settings = object_in(folder / "tokenizer_config.json"),
             map = object_in(folder / "special_tokens_map.json"), whole = object_in(folder / "tokenizer.json");
  std::set<std::string> special;
  for (const auto& [key, text] : special_texts(folder)) special.insert(text);
  for (const json* names : {&map, &settings})
    if (const auto more = names->find("additional_special_tokens"); more != names->end() && more->is_array())
      for (const json& t : *more) special.insert(token_text(t));
  std::map<std::size_t, listed_token> tokens;
  const auto add = [&](const char* name, std::size_t id, std::string text, bool is_special) {
    is_special = is_special || special.contains(text);
    const auto [at, fresh] = tokens.try_emplace(id, listed_token{text, is_special});
    if (at->second.text != text)
      refuse_input((folder / name).string(), "token " + std::to_string(id) + " is \"" + text.substr(0, 60) + "\"",
                   "\"" + at->second.text.substr(0, 60) + "\", as in another file of the folder");
    at->second.special = at->second.special || is_special;
  };
  const auto bad = [&](const char* name, const json& entry) {
    refuse_input((folder / name).string(), "an added token that is " + type_of(entry), "a text and its id");
  };
  for (const auto& [text, id] : added.items()) {
    if (!id.is_number_unsigned()) bad("added_tokens.json", id);
    add("added_tokens.json", id.get<std::size_t>(), text, false);
  }
  const auto flag = [](const json& entry) { return entry.contains("special") && entry["special"] == true; };
  if (const auto list = settings.find("added_tokens_decoder"); list != settings.end() && list->is_object())
    for (const auto& [key, entry] : list->items()) {
      std::size_t id = 0;
      if (!precis::text::read(std::string_view(key), id) || token_text(entry).empty())
        bad("tokenizer_config.json", entry);
      add("tokenizer_config.json", id, token_text(entry), flag(entry));
    }
  if (const auto list = whole.find("added_tokens"); list != whole.end() && list->is_array())
    for (const json& entry : *list) {
      if (!entry.is_object() || !entry.contains("id") || !entry["id"].is_number_unsigned() || token_text(entry).empty())
        bad("tokenizer.json", entry);
      add("tokenizer.json", entry["id"].get<std::size_t>(), token_text(entry), flag(entry));
    }
  return tokens;
}

std::map<std::string, std::string> special_texts(const fs::path& folder) {
  std::map<std::string, std::string> tokens;
  for (const char* const name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const json keys = object_in(folder / name);
    for (const auto& [key, value] : keys.items())
      if (const std::string text = token_text(value); key.ends_with("_token") && !text.empty())
        tokens.emplace(key, text);
  }
  return tokens;
}

std::map<std::string, std::string> chat_templates(const fs::path& folder) {
  std::map<std::string, std::string> templates;
  std::error_code ignored;
  if (const fs::path file = folder / "chat_template.jinja";
      fs::is_regular_file(file, ignored) && fs::file_size(file, ignored) != 0)
    templates.emplace("", mapped_file(file).text());
  for (const char* const name : {"chat_template.json", "tokenizer_config.json"}) {
    const json root = object_in(folder / name);
    const auto found = root.find("chat_template");
    if (!templates.empty() || found == root.end() || found->is_null()) continue;
    const auto bad = [&](const json& value) {
      refuse_input((folder / name).string(), "key \"chat_template\" is " + type_of(value),
                   "a text, or a list of objects with name and template");
    };
    if (found->is_string()) {
      templates.emplace("", found->get<std::string>());
      continue;
    }
    if (!found->is_array()) bad(*found);
    for (const json& entry : *found) {
      if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() || !entry.contains("template") ||
          !entry["template"].is_string())
        bad(entry);
      const std::string key = entry["name"];
      templates.emplace(key == "default" ? "" : key, entry["template"].get<std::string>());
    }
  }
  return templates;
}

}  // namespace engine
