#pragma once

#include <string>

namespace engine {

/// The kinds of files that the engine reads and writes, as the table of docs/files.md.
[[nodiscard]] std::string file_kind_table();

}  // namespace engine
