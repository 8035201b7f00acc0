#pragma once

#include <engine/files/files.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// The GGUF container, version 3: metadata and named tensors in one file, as llama.cpp reads and writes it.
namespace engine {

/// What a metadata value or an array's elements are; numbers are the format's.
enum class gguf_type : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, text, array, u64, i64, f64 };

/// Many values of one type, still as they lie in the file: a hostile count costs nothing.
struct gguf_array {
  gguf_type type = gguf_type::u8;
  std::size_t count = 0;
  std::span<const std::byte> bytes;
};

/// Numbers of any width are one of three here.
using gguf_value = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, gguf_array>;

/// One tensor's line in the header.
struct gguf_tensor {
  std::string name;
  std::string_view format;  ///< by its name in this library: "float32", "float16", "bfloat16", "q4_0" ... "q8_0"
  std::vector<std::size_t>
      shape;  ///< outermost extent first: {out, in} of a matrix. (The file has them the other way round.)
  std::size_t first_byte = 0;  ///< in the file
  std::size_t bytes = 0;
};

/// What a file says. Texts and arrays are views into it.
struct gguf_header {
  std::map<std::string, gguf_value, std::less<>> metadata;
  std::vector<gguf_tensor> tensors;  ///< in the file's order
};

/// Bytes of a tensor, or 0 for a format GGUF does not have here, rows that are no whole blocks, and sizes that overflow.
[[nodiscard]] std::size_t gguf_bytes(std::string_view format, std::span<const std::size_t> shape) noexcept;

/// Reads and checks the header of a whole file in memory. `where` names the file in messages.
///
/// Errors   another version or byte order; counts, lengths and offsets beyond the file; types this engine does not read, by
///          name; keys and tensors that occur twice; an alignment that is no power of two; data that are not aligned, overlap
///          or pass the end. Memory is asked for after it was seen that the file is as long as it says.
[[nodiscard]] gguf_header parse_gguf(std::span<const std::byte> file, std::string_view where);

/// The metadata of one file; every refusal names the file, the key, what was found and what was expected.
class gguf_keys {
 public:
  /// Both must outlive this.
  gguf_keys(const gguf_header& header, std::string_view where) : header_(header), where_(where) {}

  [[nodiscard]] const gguf_value* find(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number_or(std::string_view key, std::size_t otherwise) const;
  [[nodiscard]] double number_or(std::string_view key, double otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string_view text(std::string_view key) const;
  [[nodiscard]] std::string_view text_or(std::string_view key, std::string_view otherwise) const;
  [[nodiscard]] std::vector<std::string_view> texts(std::string_view key) const;
  [[nodiscard]] std::vector<float> floats(std::string_view key) const;
  [[nodiscard]] std::vector<std::int32_t> integers(std::string_view key) const;

  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;

 private:
  const gguf_header& header_;
  std::string_view where_;
};

/// A metadata value on its way into a file.
using gguf_item = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::string>, std::vector<float>,
                               std::vector<std::int32_t>>;

/// What a tensor to be written looks like.
struct gguf_declaration {
  std::string name;
  std::string format;
  std::vector<std::size_t> shape;  ///< outermost extent first
};

/// Writes one file, tensor after tensor, without ever holding more than the caller hands in. Atomic.
class gguf_writer {
 public:
  /// Writes the header. Errors: a tensor whose rows do not fit its format's blocks; a name given twice; those of
  /// atomic_file.
  gguf_writer(const std::filesystem::path& path, std::span<const std::pair<std::string, gguf_item>> metadata,
              std::span<const gguf_declaration> tensors);

  /// The next tensor, whole.
  void write(std::span<const std::byte> tensor);
  /// Errors: a tensor that was declared and not written. Nothing is left behind then.
  void commit();

 private:
  std::string where_;
  atomic_file file_;
  std::vector<std::size_t> sizes_;
  std::size_t next_ = 0;
};

}  // namespace engine
