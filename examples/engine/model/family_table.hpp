#pragma once

#include <string>

namespace engine {

/// The families and what the engine does with each, as the table of docs/families.md.
[[nodiscard]] std::string family_table();

}  // namespace engine
