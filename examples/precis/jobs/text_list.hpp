#pragma once

#include <string>
#include <vector>

namespace program {

/// The texts of a JSON array of strings. Errors: anything else, by file.
[[nodiscard]] std::vector<std::string> read_text_list(const std::string& file);

/// The lines of a plain text that are not blank.
[[nodiscard]] std::vector<std::string> read_text_lines(const std::string& file);

}  // namespace program
