#include <engine/model_files/gguf_parts.hpp>

#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <optional>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view count_key = "split.count", number_key = "split.no", tensors_key = "split.tensors.count";
constexpr std::size_t most_parts = 99'999;  // a number has five digits

struct part_name {
  std::string prefix;
  std::size_t number = 0, count = 0;  // from 1
};

/// What a name like model-00002-of-00003.gguf says.
[[nodiscard]] std::optional<part_name> read_name(const std::string& name) {
  constexpr std::string_view end = "-00000-of-00000.gguf";
  if (name.size() <= end.size() || !has_gguf_name(name)) return std::nullopt;
  const std::string_view tail = std::string_view(name).substr(name.size() - end.size());
  for (std::size_t i = 0; i < end.size() - 5; ++i) {
    const bool digit = tail[i] >= '0' && tail[i] <= '9';
    if (end[i] == '0' ? !digit : tail[i] != end[i]) return std::nullopt;
  }
  part_name p{.prefix = name.substr(0, name.size() - end.size())};
  const auto number = [&](std::size_t at) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 5; ++i) value = 10 * value + static_cast<std::size_t>(tail[at + i] - '0');
    return value;
  };
  p.number = number(1);
  p.count = number(10);
  return p;
}

[[nodiscard]] std::size_t parts_in(const gguf_keys& keys) {
  const std::size_t count = keys.whole_number_or(count_key, 1);
  if (count > most_parts) keys.refuse(count_key, "at most 99999 files");
  return std::max<std::size_t>(count, 1);
}

}  // namespace

std::string gguf_part_name(std::string_view prefix, std::size_t index, std::size_t count) {
  char end[48];
  std::snprintf(end, sizeof end, "-%05zu-of-%05zu.gguf", index + 1, count);
  return std::string(prefix) + end;
}

std::vector<fs::path> gguf_parts_of(const fs::path& path) {
  const mapped_file file(path);
  const gguf_header h = parse_gguf(file.bytes(), path.string());
  const std::size_t count = parts_in(gguf_keys(h, path.string()));
  if (count == 1) return {path};
  const std::optional<part_name> name = read_name(path.filename().string());
  if (!name || name->count != count)
    refuse_input(path.string(), "one of the " + std::to_string(count) + " files of a split model, renamed",
                 "a name that ends in " + gguf_part_name("", 0, count) + ", beside the other files of that name");
  std::vector<fs::path> all;
  std::vector<std::string> missing;
  for (std::size_t i = 0; i < count; ++i) {
    all.push_back(path.parent_path() / gguf_part_name(name->prefix, i, count));
    std::error_code ignored;
    if (!fs::is_regular_file(all.back(), ignored)) missing.push_back(all.back().filename().string());
  }
  if (!missing.empty())
    refuse_input(path.string(), "one of " + std::to_string(count) + " files, without " + listed(missing),
                 "all of them in one folder");
  return all;
}

gguf_header parse_gguf_parts(std::span<const gguf_part> parts) {
  gguf_header all = parse_gguf(parts.front().file, parts.front().where);
  const gguf_keys first(all, parts.front().where);
  const std::size_t count = parts_in(first);
  if (count != parts.size())
    refuse_input(parts.front().where, "one of " + std::to_string(count) + " files of a split model",
                 "all of them, not " + std::to_string(parts.size()));
  if (count == 1) return all;
  const std::size_t wanted = first.whole_number_or(tensors_key, 0);
  std::map<std::string, std::size_t, std::less<>> part_of;
  for (const gguf_tensor& t : all.tensors) part_of.emplace(t.name, 0);
  for (std::size_t i = 0; i < count; ++i) {
    gguf_header other;
    if (i > 0) other = parse_gguf(parts[i].file, parts[i].where);
    const gguf_header& h = i == 0 ? all : other;
    const gguf_keys keys(h, parts[i].where);
    const std::string foreign = "the part of another model beside " + parts.front().where;
    const std::string expected = "the files of one model";
    if (keys.whole_number_or(number_key, i) != i)
      refuse_input(parts[i].where, "part " + std::to_string(keys.whole_number(number_key) + 1) + " of its model",
                   "part " + std::to_string(i + 1) + ", as its name says");
    if (parts_in(keys) != count || keys.whole_number_or(tensors_key, wanted) != wanted)
      refuse_input(parts[i].where, foreign, expected);
    for (const std::string_view key : {"general.architecture", "general.name"})
      if (first.find(key) != nullptr && keys.find(key) != nullptr && keys.text(key) != first.text(key))
        refuse_input(parts[i].where,
                     foreign + ": " + std::string(key) + " is \"" + precis::shown(keys.text(key)) + "\"",
                     "\"" + precis::shown(first.text(key)) + "\"");
    for (gguf_tensor& t : other.tensors) {
      const auto [at, fresh] = part_of.emplace(t.name, i);
      if (!fresh)
        refuse_input(parts[i].where,
                     "tensor \"" + precis::shown(t.name) + "\" is in " + parts[at->second].where + ", too",
                     "each tensor once");
      t.part = i;
    }
    if (i > 0) std::ranges::move(other.tensors, std::back_inserter(all.tensors));
  }
  if (wanted != 0 && all.tensors.size() != wanted)
    refuse_input(parts.front().where,
                 std::to_string(all.tensors.size()) + " tensors in all " + std::to_string(count) + " files",
                 std::to_string(wanted) + ", as " + std::string(tensors_key) + " says");
  return all;
}

}  // namespace engine
