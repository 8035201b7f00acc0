#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace program {

/// Splits "a,b,c" into its parts, without surrounding spaces. The empty text has one empty part.
[[nodiscard]] std::vector<std::string> split_commas(std::string_view text);

/// Reads comma-separated names. Errors: a name that is not in `known`, or given twice.
[[nodiscard]] std::vector<std::string> read_names(std::string_view text, const std::vector<std::string>& known,
                                                  std::string_view option);

}  // namespace program
