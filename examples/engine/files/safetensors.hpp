#pragma once

#include <engine/files/files.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The safetensors container: named tensors in one file, or in several files with an index.
namespace engine {

/// Every element type of the format that fills whole bytes. Only f32, f16 and bf16 can be weights; tensors of other
/// types are passed through.
enum class dtype { f64, f32, f16, bf16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

[[nodiscard]] std::string_view to_string(dtype type) noexcept;  ///< the name in files: "BF16"
[[nodiscard]] std::size_t size_of(dtype type) noexcept;         ///< bytes
[[nodiscard]] std::optional<dtype> parse_dtype(std::string_view word) noexcept;
[[nodiscard]] constexpr bool is_weight(dtype type) noexcept {
  return type == dtype::f32 || type == dtype::f16 || type == dtype::bf16;
}

/// Converts f32, f16 or bf16 to float, exactly. Requires is_weight(type), bytes.size() == values.size() *
/// size_of(type).
void decode(dtype type, std::span<const std::byte> bytes, std::span<float> values);

/// Converts floats to f32, f16 or bf16, rounding ties to even. A value too large for f16 becomes infinity. Requires the
/// same as decode.
void encode(dtype type, std::span<const float> values, std::span<std::byte> bytes);

/// The header entry of one tensor.
struct tensor_entry {
  std::string name;
  dtype type = dtype::f32;
  std::vector<std::size_t> shape;
  std::size_t first_byte = 0;  ///< offset in the file
  std::size_t bytes = 0;
  std::size_t file = 0;  ///< index of the file, if there are several

  bool operator==(const tensor_entry&) const = default;
};

/// The header of one file.
struct safetensors_header {
  std::vector<tensor_entry> tensors;  ///< in the order of their bytes
  std::map<std::string, std::string, std::less<>> metadata;
};

/// Reads and checks the header of a whole file in memory. `where` names the file in messages.
///
/// Errors   a header length above 100 MB or beyond the file, invalid JSON, duplicate names, unknown types, shapes whose
///          product overflows or does not match the bytes, and data that overlap, leave gaps or extend past the end.
[[nodiscard]] safetensors_header parse_safetensors(std::span<const std::byte> file, std::string_view where);

/// The tensors of one `.safetensors` file, or of all files that a `.safetensors.index.json` names. Memory-mapped.
class safetensors {
 public:
  /// Errors: those of parse_safetensors; an index that names a tensor missing from its file, or a file outside its
  /// folder.
  explicit safetensors(const std::filesystem::path& path);

  [[nodiscard]] std::span<const tensor_entry> tensors() const noexcept { return tensors_; }
  [[nodiscard]] const tensor_entry* find(std::string_view name) const noexcept;
  /// Valid for the lifetime of this object, even if it is moved.
  [[nodiscard]] std::span<const std::byte> bytes(const tensor_entry& tensor) const noexcept;
  [[nodiscard]] const std::string& file_name(const tensor_entry& tensor) const noexcept { return names_[tensor.file]; }
  /// The metadata of the first file.
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return metadata_; }

 private:
  void add(const std::filesystem::path& path);
  void add_index(const std::filesystem::path& path);

  std::vector<mapped_file> files_;
  std::vector<std::string> names_;
  std::vector<tensor_entry> tensors_;
  std::map<std::string, std::size_t, std::less<>> by_name_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

/// The writer's data begin at a multiple of this.
inline constexpr std::size_t safetensors_alignment = 64;

/// A tensor to be written.
struct tensor_declaration {
  std::string name;
  dtype type = dtype::f32;
  std::vector<std::size_t> shape;
};

/// Writes one file atomically, one tensor at a time, without buffering more than the caller passes in.
class safetensors_writer {
 public:
  /// Writes the header. Errors: a duplicate name, a shape whose size overflows; those of atomic_file.
  safetensors_writer(const std::filesystem::path& path, std::span<const tensor_declaration> tensors,
                     const std::map<std::string, std::string, std::less<>>& metadata = {});

  /// Writes the next bytes, in the order of the declarations. A tensor may be written in pieces.
  void write(std::span<const std::byte> bytes);
  /// Errors: more or fewer bytes than declared. The file is then removed.
  void commit();

 private:
  std::string where_;
  atomic_file file_;
  std::size_t expected_ = 0;
  std::size_t written_ = 0;
};

}  // namespace engine
