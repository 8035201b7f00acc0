#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace program {

/// A whole job whose cells are in one file for partial results.
struct merged_parts {
  std::vector<std::string> arguments;  ///< the command that finishes it from that file
  std::size_t cells = 0;
};

/// Writes the cells of all parts of a job to `file`, in any order of the parts. `out` becomes the job's output.
///
/// Errors: a file that is no part, or a part that was stopped before its end; parts of different jobs, by what differs;
/// a part that is missing or given twice, by number; a cell in two parts.
[[nodiscard]] merged_parts merge_parts(const std::vector<std::string>& parts, const std::filesystem::path& file,
                                       const std::string& out);

}  // namespace program
