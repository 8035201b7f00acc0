#pragma once

#include <engine/files/gguf.hpp>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

/// Writing a model in one GGUF file, or in several as llama.cpp names them.
namespace engine {

/// Refuses a destination that exists (unless it may be replaced) or is the source.
void check_new_gguf(const std::filesystem::path& destination, const std::filesystem::path& source, bool may_replace);

struct gguf_destination {
  std::filesystem::path path;    ///< "m.gguf"; parts are m-00001-of-00003.gguf and so on
  std::filesystem::path source;  ///< must not be overwritten
  std::size_t part_bytes = 0;    ///< most bytes of tensors in a part, but for a larger tensor; 0: one file
  bool may_replace = false;
};

/// Writes tensors one after another; all files appear at `commit`, or none.
class gguf_files {
 public:
  /// Errors: those of check_new_gguf for every file, and of gguf_writer; more than 99999 parts.
  gguf_files(const gguf_destination& to, gguf_metadata keys, std::span<const gguf_declaration> tensors);

  [[nodiscard]] const std::vector<std::filesystem::path>& paths() const noexcept { return paths_; }
  void write(std::span<const std::byte> tensor);
  void commit();

 private:
  std::vector<std::filesystem::path> paths_;
  std::vector<std::unique_ptr<gguf_writer>> writers_;
  std::vector<std::size_t> left_;  ///< tensors of each part that are not written yet
  std::size_t part_ = 0;
};

}  // namespace engine
