#include "jobs/text_list.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

namespace program {

std::vector<std::string> read_text_list(const std::string& file) {
  const engine::json list = engine::parse_json(engine::mapped_file(file).text(), file);
  const auto refuse = [&](const std::string& what) {
    precis::refuse({.what = what, .where = file, .expected = "a JSON array of strings"});
  };
  if (!list.is_array()) refuse(engine::type_of(list));
  std::vector<std::string> texts;
  for (const engine::json& text : list) {
    if (!text.is_string()) refuse(engine::type_of(text) + " as text " + std::to_string(texts.size()));
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

}  // namespace program
