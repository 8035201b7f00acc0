#pragma once

#include <engine/files/gguf.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// GGUF models that llama.cpp has split into several files: NAME-00001-of-00003.gguf and so on.
namespace engine {

/// One of a model's files, in memory.
struct gguf_part {
  std::span<const std::byte> file;
  std::string where;  ///< names it in messages
};

/// The name of part `index` (from 0) of `count`.
[[nodiscard]] std::string gguf_part_name(std::string_view prefix, std::size_t index, std::size_t count);

/// The paths of all parts of the model that `path` is a part of, in order; `path` alone if its header does not say that
/// it is one.
///
/// Errors   those of parse_gguf; a part without the name of one; a part that is missing, by name.
[[nodiscard]] std::vector<std::filesystem::path> gguf_parts_of(const std::filesystem::path& path);

/// The headers of all parts as one: the keys of the first, the tensors of all. `gguf_tensor::part` tells where each is.
///
/// Errors   those of parse_gguf; a part of another model, of another number, or too few tensors in all, by name; a
///          tensor in two parts. Requires at least one part.
[[nodiscard]] gguf_header parse_gguf_parts(std::span<const gguf_part> parts);

}  // namespace engine
