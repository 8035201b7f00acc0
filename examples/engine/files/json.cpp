#include <engine/files/json.hpp>

#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

#include <unordered_set>
#include <utility>
#include <vector>

namespace engine {

json parse_json(std::string_view text, std::string_view where) {
  for (const std::string_view mark : {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"})
    if (text.starts_with(mark)) refuse_input(where, "JSON with a byte order mark", "UTF-8 without one");
  using event = json::parse_event_t;
  std::vector<std::unordered_set<std::string>> keys;  // of the enclosing objects
  const auto watch = [&](int depth, event what, json& value) {
    if (what == event::object_start) keys.emplace_back();
    if (what == event::object_end) keys.pop_back();
    if ((what == event::object_start || what == event::array_start) && depth > 32)
      refuse_input(where, "JSON nested deeper than 32", "at most 32 levels");
    if (what == event::key && !keys.back().insert(value.get_ref<const std::string&>()).second)
      refuse_input(where, "the key \"" + precis::shown(value.get_ref<const std::string&>()) + "\" occurs twice",
                   "each key once");
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& fault) {
    // Removes the library's tag, such as "[json.exception.parse_error.101] ".
    std::string_view message = fault.what();
    if (const std::size_t end = message.find("] "); end != std::string_view::npos) message.remove_prefix(end + 2);
    std::string cause(
        message);  // the line of a text of one line says nothing, and misleads where the text is one of many
    if (const std::size_t at = cause.find("line 1, "); at != std::string::npos && text.find('\n') == text.npos)
      cause.erase(at, 8);
    refuse_input(where, "not valid JSON (" + precis::printable(cause, 200) + ")", "a JSON text");
  }
}

std::string type_of(const json& value) {
  switch (value.type()) {
    case json::value_t::null: return "null";
    case json::value_t::object: return "an object";
    case json::value_t::array: return "an array";
    case json::value_t::string: return "the string \"" + precis::shown(value.get_ref<const std::string&>()) + "\"";
    case json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    default: return "the number " + value.dump();
  }
}

json_object::json_object(const json& value, std::string where) : object_(&value), where_(std::move(where)) {
  if (!value.is_object()) refuse(type_of(value) + " at the top level", "an object");
}

const json* json_object::find(std::string_view key) const {
  const auto at = object_->find(key);
  return at == object_->end() || at->is_null() ? nullptr : &*at;
}

void json_object::refuse(std::string what, std::string expected) const {
  precis::refuse({.what = std::move(what), .where = where_, .expected = std::move(expected)});
}

void json_object::wrong_type(std::string_view key, const json* found, std::string_view expected) const {
  const std::string name = "key \"" + std::string(key) + "\"";
  refuse(found == nullptr ? name + " is missing" : name + " is " + type_of(*found), std::string(expected));
}

std::size_t json_object::whole_number(std::string_view key) const {
  const json* found = find(key);
  if (found == nullptr || !found->is_number_unsigned()) wrong_type(key, found, "a whole number, 0 or more");
  return found->get<std::size_t>();
}

std::size_t json_object::whole_number_or(std::string_view key, std::size_t otherwise) const {
  return find(key) == nullptr ? otherwise : whole_number(key);
}

bool json_object::contains(std::string_view key) const { return object_->contains(key); }

double json_object::number(std::string_view key) const {
  if (find(key) == nullptr) wrong_type(key, nullptr, "a number");
  return number_or(key, 0);
}

double json_object::number_or(std::string_view key, double otherwise) const {
  const json* found = find(key);
  if (found == nullptr) return otherwise;
  if (!found->is_number()) wrong_type(key, found, "a number");
  return found->get<double>();
}

bool json_object::flag_or(std::string_view key, bool otherwise) const {
  const json* found = find(key);
  if (found == nullptr) return otherwise;
  if (!found->is_boolean()) wrong_type(key, found, "true or false");
  return found->get<bool>();
}

std::string json_object::text(std::string_view key) const {
  const json* found = find(key);
  if (found == nullptr || !found->is_string()) wrong_type(key, found, "a string");
  return found->get<std::string>();
}

std::string json_object::text_or(std::string_view key, std::string_view otherwise) const {
  return find(key) == nullptr ? std::string(otherwise) : text(key);
}

}  // namespace engine
