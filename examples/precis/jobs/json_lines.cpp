#include "jobs/json_lines.hpp"

#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace program {

void for_each_json_line(std::string_view text, const std::string& name,
                        const std::function<void(const engine::json_object&)>& visit) {
  std::size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    ++number;
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    const std::string where = fmt::format("{}, line {}", name, number);
    const engine::json value = engine::parse_json(line, where);
    visit(engine::json_object(value, where));
  }
}

void for_each_json_entry(std::string_view text, const std::string& name, const std::string& noun,
                         const std::string& expected, std::size_t most,
                         const std::function<void(const engine::json_object&, const std::string&)>& visit) {
  const engine::json all = engine::parse_json(text, name);
  if (!all.is_array() || all.empty())
    precis::refuse({.what = all.is_array() ? "no " + noun + "s" : "not a JSON array but " + engine::type_of(all),
                    .where = name,
                    .expected = expected});
  for (std::size_t i = 0; i < all.size() && (most == 0 || i < most); ++i) {
    const std::string where = fmt::format("{}, {} {}", name, noun, i);
    visit(engine::json_object(all[i], where), where);
  }
}

}  // namespace program
