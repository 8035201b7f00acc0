#pragma once

#include <precis/core/error.hpp>

#include <string>
#include <utility>

/// The message `action` is refused with; fails the test's expectation by returning a sentence no refusal has.
template<class Action>
[[nodiscard]] std::string refusal(Action&& action) {
  try {
    std::forward<Action>(action)();
  } catch (const precis::error& e) {
    return e.what();
  }
  return "(was not refused)";
}
