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
#include <utility>
#include <variant>
#include <vector>

/// The GGUF container, versions 2 (read only) and 3: metadata and named tensors in one file, the format of llama.cpp.
namespace engine {

/// Whether a path ends in .gguf, in capitals or not.
[[nodiscard]] bool has_gguf_name(const std::filesystem::path& path);

/// Type of a metadata value or of an array's elements. The enumerators have the values that the format defines.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// An array of values of one type, not yet decoded: a view of its bytes in the file, so a hostile count allocates
/// nothing.
struct gguf_array {
  gguf_type type = gguf_type::u8;
  std::size_t count = 0;
  std::span<const std::byte> bytes;
};

/// A metadata value. Numbers of every width are widened to one of three types.
using gguf_value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, gguf_array>;

/// The elements of an array. Requires that parse_gguf read it.
[[nodiscard]] std::vector<gguf_value> elements_of(const gguf_array& array);

/// A key with its value as it is stored: the type, then the bytes.
struct gguf_stored {
  std::string key;
  std::span<const std::byte> value;
};

/// The header entry of one tensor.
struct gguf_tensor {
  std::string name;
  std::string_view format;  ///< this library's name: "float32", "float16", "bfloat16", "q4_0", "q4_k" ...
  std::vector<std::size_t>
      shape;                   ///< outermost dimension first, {out, in} for a matrix; the file stores the reverse order
  std::size_t first_byte = 0;  ///< offset in the file
  std::size_t bytes = 0;
  std::size_t part = 0;                  ///< which file of a split model holds it, from 0
  std::span<const std::byte> data = {};  ///< a view of the file
};

/// The header of a file. Strings and arrays are views of the file.
struct gguf_header {
  std::map<std::string, gguf_value, std::less<>> metadata;
  std::vector<gguf_stored> stored;   ///< the same keys in file order
  std::vector<gguf_tensor> tensors;  ///< in file order
};

/// The number of general.file_type that llama.cpp gives to a file whose tensors are mostly of `format`; nullopt if it
/// has none.
[[nodiscard]] std::optional<std::uint32_t> gguf_file_type(std::string_view format) noexcept;

/// Bytes of a tensor, or 0 for an unsupported format, rows that are not whole blocks, or a size that overflows.
[[nodiscard]] std::size_t gguf_bytes(std::string_view format, std::span<const std::size_t> shape) noexcept;

/// Reads and checks the header of a whole file in memory. `where` names the file in messages.
///
/// Errors   another version or byte order; counts, lengths and offsets beyond the file; unsupported types, by name;
///          duplicate keys and tensors; an alignment that is not a power of two; data that are unaligned, overlap or
///          extend past the end. Nothing is allocated before the file is known to be as long as it claims.
[[nodiscard]] gguf_header parse_gguf(std::span<const std::byte> file, std::string_view where);

/// Access to the metadata of one file. Every error names the file, the key, the value found and the value expected.
class gguf_keys {
 public:
  /// Both arguments must outlive this object.
  gguf_keys(const gguf_header& header, std::string_view where) : header_(header), where_(where) {}

  [[nodiscard]] const gguf_value* find(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number_or(std::string_view key, std::size_t otherwise) const;
  /// A number, or the number that an array of `count` equal ones repeats: one per layer.
  [[nodiscard]] std::size_t repeated_number(std::string_view key, std::size_t count) const;
  [[nodiscard]] double number_or(std::string_view key, double otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string_view text(std::string_view key) const;
  [[nodiscard]] std::string_view text_or(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] std::vector<std::string_view> texts(std::string_view key) const;
  [[nodiscard]] std::vector<float> floats(std::string_view key) const;
  [[nodiscard]] std::vector<std::int32_t> integers(std::string_view key) const;
  [[nodiscard]] std::string bytes(std::string_view key) const;  ///< an array of 8-bit integers, signed or not

  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;
  /// The name of the file in messages.
  [[nodiscard]] std::string_view where() const noexcept { return where_; }

 private:
  const gguf_header& header_;
  std::string_view where_;
};

/// A metadata value to be written.
using gguf_item =
    std::variant<std::uint32_t, std::uint16_t, std::int32_t, float, bool, std::string, std::vector<std::string>,
                 std::vector<float>, std::vector<std::int32_t>, std::vector<bool>,
                 std::vector<std::byte>>;  ///< bytes: as in gguf_stored
using gguf_metadata = std::vector<std::pair<std::string, gguf_item>>;

/// A tensor to be written.
struct gguf_declaration {
  std::string name;
  std::string format;
  std::vector<std::size_t> shape;  ///< outermost dimension first
};

/// The bytes of a file without tensors.
[[nodiscard]] std::string gguf_text(std::span<const std::pair<std::string, gguf_item>> metadata);

/// Writes one file atomically, one tensor at a time, without buffering more than the caller passes in.
class gguf_writer {
 public:
  /// Writes the header. Errors: a tensor whose rows are not whole blocks of its format; a duplicate name; those of
  /// atomic_file.
  gguf_writer(const std::filesystem::path& path, std::span<const std::pair<std::string, gguf_item>> metadata,
              std::span<const gguf_declaration> tensors);

  /// Writes the whole next tensor.
  void write(std::span<const std::byte> tensor);
  /// Errors: a declared tensor that was not written. The file is then removed.
  void commit();

 private:
  std::string where_;
  atomic_file file_;
  std::vector<std::size_t> sizes_;
  std::size_t next_ = 0;
};

}  // namespace engine
