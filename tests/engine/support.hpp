#pragma once

#include <engine/files/files.hpp>
#include <precis/core/error.hpp>

#include "temporary_folder.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>

/// Helpers of the engine's tests: temporary folders, hand-made files, and the message of an error.
namespace support {

using ::temporary_folder;

inline void put(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

[[nodiscard]] inline std::string slurp(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

[[nodiscard]] inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// The bytes of a number, little-endian.
template<class T>
[[nodiscard]] std::string raw(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

/// A safetensors file with any header, valid or not.
[[nodiscard]] inline std::string safetensors_text(std::string_view header, std::string_view data) {
  return raw(static_cast<std::uint64_t>(header.size())) + std::string(header) + std::string(data);
}

}  // namespace support
