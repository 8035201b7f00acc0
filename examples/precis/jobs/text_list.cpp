#include "jobs/text_list.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

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

std::vector<std::string> read_text_lines(const std::string& file) {
  const engine::mapped_file mapped(file);
  std::string_view left = mapped.text();
  std::vector<std::string> texts;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    std::string_view line = left.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != std::string_view::npos) texts.emplace_back(line);
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return texts;
}

}  // namespace program
