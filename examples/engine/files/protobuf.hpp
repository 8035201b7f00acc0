#pragma once

#include <engine/files/messages.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace engine {

/// One field of a protocol-buffers message.
struct protobuf_field {
  std::uint32_t number = 0;
  std::uint64_t value = 0;      ///< a number, or the bits of a fixed-width one
  std::string_view bytes = {};  ///< a text, bytes or a message
  enum class kind { number, fixed64, bytes, fixed32 } type = kind::number;
};

/// Reads the fields of a message in order, without knowing their meaning.
///
/// Errors   a message that ends inside a field; a field of a number or type that does not exist.
class protobuf_reader {
 public:
  protobuf_reader(std::string_view message, std::string_view where) : rest_(message), where_(where) {}

  /// Nothing at the end of the message.
  [[nodiscard]] std::optional<protobuf_field> next() {
    if (rest_.empty()) return std::nullopt;
    const std::uint64_t tag = varint();
    protobuf_field field;
    if (tag >> 3 == 0 || tag >> 3 > 0x1FFF'FFFF) refuse("a field number that does not exist");
    field.number = static_cast<std::uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0: field.value = varint(); break;
      case 1:
        field.type = protobuf_field::kind::fixed64;
        field.value = fixed(8);
        break;
      case 2: {
        field.type = protobuf_field::kind::bytes;
        const std::uint64_t size = varint();
        field.bytes = take(size);
        break;
      }
      case 5:
        field.type = protobuf_field::kind::fixed32;
        field.value = fixed(4);
        break;
      default: refuse("a field of type " + std::to_string(tag & 7));
    }
    return field;
  }

 private:
  [[noreturn]] void refuse(std::string what) const {
    refuse_input(where_, std::move(what), "an intact protobuf message");
  }

  [[nodiscard]] std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) refuse("a message that ends inside a field");
    const std::string_view bytes = rest_.substr(0, static_cast<std::size_t>(size));
    rest_.remove_prefix(bytes.size());
    return bytes;
  }
  [[nodiscard]] std::uint64_t fixed(std::size_t size) {
    const std::string_view bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i)
      value |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    return value;
  }
  [[nodiscard]] std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1).front());
      value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    refuse("a number of more than ten bytes");
  }

  std::string_view rest_;
  std::string where_;
};

}  // namespace engine
