#pragma once

#include <engine/files/json.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace engine {
class json_object;
}

namespace program {

/// Calls visit(object) for every line of a text of JSON objects, one per line; `name` is that of its file; blank lines are skipped.
/// Errors: a line that is not a JSON object, with its number.
void for_each_json_line(std::string_view text, const std::string& name,
                        const std::function<void(const engine::json_object&)>& visit);

/// Calls visit(object, where) for the objects of a text that is one JSON array, up to `most` of them (0: all); `where`
/// names the file, `noun` and the object's number.
/// Errors: anything but an array with at least one entry, as `expected` says; an entry that is not an object.
void for_each_json_entry(std::string_view text, const std::string& name, const std::string& noun,
                         const std::string& expected, std::size_t most,
                         const std::function<void(const engine::json_object&, const std::string& where)>& visit);

}  // namespace program
