#pragma once

#include <engine/files/json.hpp>

#include <filesystem>
#include <initializer_list>
#include <string>

namespace program {

/// The same value with bytes that are not UTF-8, as a file name may contain, written as \xFF: JSON cannot hold them.
[[nodiscard]] engine::json in_utf8(const engine::json& value);

/// Writes a subcommand's result to the file of --json; does nothing if `file` is empty.
void write_json(const std::string& file, const engine::json& result);

/// Refuses outputs that cannot be written, before any work is done. Empty paths are skipped; no file is left behind.
void require_writable(std::initializer_list<std::filesystem::path> targets);

/// Makes the folder `out` and refuses it if `file` cannot be written in it.
void require_folder(const std::filesystem::path& out, const std::string& file);

/// Refuses a folder that cannot be created: one that exists, or one in a folder that does not or cannot be written.
void require_new_folder(const std::filesystem::path& out);

/// Writes what was printed so far. Errors: standard output that cannot be written, such as a full disk.
void flush_report();

/// Writes an SVG and, if a converter is installed, a PNG beside it; returns the line to print.
std::string write_picture(const std::filesystem::path& svg_file, const std::string& svg);

}  // namespace program
