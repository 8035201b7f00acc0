#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

/// Memory-mapped reading of whole files, and atomic writing: into a temporary file that is renamed to the target.
namespace engine {

/// A whole file mapped read-only. Pages are loaded on first access, so a model may be larger than memory.
///
/// Moving the object keeps the address of the bytes. The file must not be truncated while it is mapped.
class mapped_file {
 public:
  mapped_file() = default;

  /// Errors: a missing, unreadable or empty file, a folder, or a Git LFS pointer, which stands for a file that was not
  /// fetched. The message names the cause.
  explicit mapped_file(const std::filesystem::path& path);
  mapped_file(mapped_file&& other) noexcept;
  mapped_file& operator=(mapped_file&& other) noexcept;
  ~mapped_file();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  /// Without the byte order mark that some editors write.
  [[nodiscard]] std::string_view text() const noexcept {
    const std::string_view all(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    return all.starts_with("\xEF\xBB\xBF") ? all.substr(3) : all;
  }

 private:
  std::span<const std::byte> bytes_;
};

/// A file that is written atomically.
///
/// Bytes go to a temporary file in the same folder; `commit` flushes it to disk and renames it over the target.
/// Without `commit`, or if anything fails, the target stays untouched and the temporary file is removed. A symbolic link
/// stays one: the file that it points to is replaced.
class atomic_file {
 public:
  /// Errors: a target that is a folder, a device, a pipe or a socket, or whose folder is missing or not writable.
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

/// A folder that is written atomically: files are written into `path()`, and `commit` renames it to the target.
/// Without `commit` the temporary folder and its contents are removed.
class atomic_folder {
 public:
  enum class existing {
    refuse,   ///< an existing target is an error
    replace,  ///< an existing target must hold nothing but files of a model; it is replaced on commit
  };

  /// Errors: an existing target that may not be replaced, or a parent folder that is not writable.
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

/// Removes the temporary files and folders of every atomic_file and atomic_folder that has not been committed, for a
/// program that is about to end without running destructors. Calls only what a signal handler may call. The program
/// must end after it: a thread that finishes or gives up such a file meanwhile waits for ever.
void remove_temporaries() noexcept;

/// Writes a whole file atomically. Errors: those of atomic_file.
void write_file(const std::filesystem::path& target, std::string_view text);

}  // namespace engine
