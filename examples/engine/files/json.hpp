#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

/// JSON from untrusted files: strict parsing, and error messages that name the key.
///
/// Only forward declarations of the JSON library are included here, because it takes long to compile. Files that use a
/// `json` value include <nlohmann/json.hpp> themselves.
namespace engine {

using json = nlohmann::json;

/// Parses a complete JSON text. `where` names the file in messages.
///
/// Errors: invalid JSON, a byte order mark, a duplicate key in an object, nesting deeper than 32 levels.
[[nodiscard]] json parse_json(std::string_view text, std::string_view where);

/// A short description of a value for messages: "the number 3", "an array", "null".
[[nodiscard]] std::string type_of(const json& value);

/// Access to the members of one object. Every error names the file, the key, the value found and the value expected.
class json_object {
 public:
  /// `value` must outlive this object. Errors: a value that is not an object.
  json_object(const json& value, std::string where);

  /// The member called `key`, or nullptr if it is absent or null.
  [[nodiscard]] const json* find(std::string_view key) const;
  /// Whether there is a member called `key`, even if it is null.
  [[nodiscard]] bool contains(std::string_view key) const;
  /// A number under a key that must be there.
  [[nodiscard]] double number(std::string_view key) const;

  [[nodiscard]] std::size_t whole_number(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number_or(std::string_view key, std::size_t otherwise) const;
  [[nodiscard]] double number_or(std::string_view key, double otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string text(std::string_view key) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;

  [[noreturn]] void refuse(std::string what, std::string expected) const;
  /// The name of the file in messages.
  [[nodiscard]] const std::string& where() const noexcept { return where_; }

 private:
  [[noreturn]] void wrong_type(std::string_view key, const json* found, std::string_view expected) const;

  const json* object_;
  std::string where_;
};

}  // namespace engine
