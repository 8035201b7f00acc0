#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

/// The path of a file or folder in the optional shared data (models, texts, golden values), or nothing if it does not
/// exist. The data is in the directory that the environment variable PRECIS_SHARED names, or next to the source tree. A
/// test that gets nothing returns at once and is reported and counted as skipped, not as passed:
///
///     const auto golden = shared_path("golden/stories260K.json");
///     if (!golden) return;
[[nodiscard]] std::optional<std::filesystem::path> shared_path(std::string_view relative);
