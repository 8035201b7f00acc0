#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

/// Reading and writing files: mapped in whole, written beside their target and renamed.
namespace engine {

/// A whole file, read-only, as memory. Pages come in when they are touched, so a model may be larger than memory.
///
/// Moving keeps the bytes where they are. The file must not be truncated while it is mapped.
class mapped_file {
 public:
  mapped_file() = default;

  /// Errors: a missing, unreadable or empty file, or a folder; each named.
  explicit mapped_file(const std::filesystem::path& path);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::span<const std::byte> bytes_;
};

/// A file that appears whole or not at all.
///
/// Bytes go to a temporary file in the same folder; `commit` flushes it to the disk and renames it over the target.
/// Without `commit`, or when anything fails, the target is untouched and the temporary file is removed.
class atomic_file {
 public:
  /// Errors: a target whose folder is missing or cannot be written to, or that is a folder itself.
  explicit atomic_file(std::filesystem::path target);
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  ~atomic_file();

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  void commit();

 private:
  void fail(const std::string& doing) const;

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
};

/// A folder that appears whole or not at all: files are written into `path()`, `commit` renames it to the target.
/// Without `commit` the temporary folder is removed with everything in it.
class atomic_folder {
 public:
  enum class existing {
    refuse,   ///< a target that exists is an error
    replace,  ///< a target that exists must be an empty folder or hold `config.json`, and is replaced at the end
  };

  /// Errors: a target that exists and may not be replaced, or whose parent cannot be written to.
  explicit atomic_folder(std::filesystem::path target, existing rule = existing::refuse);
  atomic_folder(const atomic_folder&) = delete;
  atomic_folder& operator=(const atomic_folder&) = delete;
  ~atomic_folder();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return temporary_; }
  void commit();

 private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  existing rule_;
};

/// Writes a whole file at once, atomically. Errors: those of atomic_file.
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace engine
