#pragma once

#include <precis/core/error.hpp>

#include <string>
#include <utility>

/// The message with which `action` is refused, or "" if it is not.
template<class Action>
[[nodiscard]] std::string refusal(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const precis::error& e) {
    return e.what();
  }
  return "";
}
