#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

/// JSON from strangers: strict, and with messages that name the key.
namespace engine {

using json = nlohmann::json;

/// Parses a whole text. `where` names the file in messages.
///
/// Errors: anything that is not JSON, a key that occurs twice in one object, nesting deeper than 32.
[[nodiscard]] json parse_json(std::string_view text, std::string_view where);

/// A short name of a value's type, for messages: "a string", "null".
[[nodiscard]] std::string type_of(const json& value);

/// Reads the members of one object; every refusal names the file, the key, what was found and what was expected.
class json_object {
 public:
  /// Errors: `value` is not an object. `value` must outlive this.
  json_object(const json& value, std::string where);

  /// The member called `key`, or nullptr when it is absent or null.
  [[nodiscard]] const json* find(std::string_view key) const;

  [[nodiscard]] std::size_t whole_number(std::string_view key) const;
  [[nodiscard]] std::size_t whole_number_or(std::string_view key, std::size_t otherwise) const;
  [[nodiscard]] double number_or(std::string_view key, double otherwise) const;
  [[nodiscard]] bool flag_or(std::string_view key, bool otherwise) const;
  [[nodiscard]] std::string text(std::string_view key) const;
  [[nodiscard]] std::string text_or(std::string_view key, std::string_view otherwise) const;

  [[noreturn]] void refuse(std::string what, std::string expected) const;

 private:
  [[noreturn]] void wrong_type(std::string_view key, const json* found, std::string_view expected) const;

  const json* object_;
  std::string where_;
};

}  // namespace engine
