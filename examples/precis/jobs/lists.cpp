#include "jobs/lists.hpp"

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

namespace program {

std::vector<std::string> split_commas(std::string_view text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    std::string_view part = text.substr(at, comma - at);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    parts.emplace_back(part);
    at = comma + 1;
  }
  return parts;
}

std::vector<std::string> read_names(std::string_view text, const std::vector<std::string>& known,
                                    std::string_view option) {
  std::vector<std::string> names = split_commas(text);
  for (const std::string& name : names)
    if (std::ranges::find(known, name) == known.end() || std::ranges::count(names, name) > 1)
      precis::refuse({.what = "'" + name + "'",
                      .where = std::string(option),
                      .expected = fmt::format("{}, each at most once", fmt::join(known, ", "))});
  return names;
}

}  // namespace program
