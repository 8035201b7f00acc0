#pragma once

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

/// Refusals of input files.
namespace engine {

/// Refuses bad input. The message states the place (such as a file), what was found and what was expected.
[[noreturn]] inline void refuse_input(std::string_view where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
}

/// All of the names: "a, b, c". At most 40, of at most 60 characters each.
[[nodiscard]] inline std::string joined(std::span<const std::string> names) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 40); ++i)
    text += (i == 0 ? "" : ", ") + names[i].substr(0, 60);
  return text + (names.size() > 40 ? " and " + std::to_string(names.size() - 40) + " more" : "");
}

/// At most five of the names, which may come from a file: "a, b, c, d, e and 17 more".
[[nodiscard]] inline std::string listed(std::span<const std::string> names) {
  std::string text;
  const std::size_t shown = std::min<std::size_t>(names.size(), 5);
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + precis::shown(names[i]);
  if (names.size() > shown) text += " and " + std::to_string(names.size() - shown) + " more";
  return text;
}

}  // namespace engine
