#pragma once

#include <string>

namespace program {

/// Name and version of the program, and what it is built with: two lines.
[[nodiscard]] std::string version_text();

}  // namespace program
