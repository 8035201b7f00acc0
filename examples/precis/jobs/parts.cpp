#include "jobs/parts.hpp"

#include "jobs/checkpoint.hpp"

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace program {
namespace {

struct part {
  std::string file;
  engine::json job;  ///< without the shard
  shard which;
  engine::json end;
  std::vector<std::pair<std::string, std::string>> cells;  ///< key and line
};

[[noreturn]] void refuse_part(const std::string& file, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = file, .expected = std::move(expected)});
}

[[nodiscard]] part read_part(const std::string& file) {
  constexpr const char* wanted = "a part that a command with --shard K/N wrote";
  std::ifstream in(file, std::ios::binary);
  std::string line;
  if (!in || !std::getline(in, line)) refuse_part(file, in ? "is empty" : "cannot be read", wanted);
  part p{.file = file, .job = engine::json::parse(line, nullptr, false), .which = {}, .end = {}, .cells = {}};
  if (!p.job.is_object() || !p.job.contains("command")) refuse_part(file, "is no part of a job", wanted);
  if (!p.job.contains("shard") || !p.job["shard"].is_string())
    refuse_part(file, "holds the partial results of a whole job", wanted);
  const std::optional<shard> which = parse_shard(p.job["shard"].get_ref<const std::string&>());
  if (!which) refuse_part(file, "names no shard", wanted);
  p.which = *which;
  p.job.erase("shard");
  while (p.end.is_null() && std::getline(in, line) && !in.eof()) {
    const engine::json entry = engine::json::parse(line, nullptr, false);
    if (!entry.is_object() || !entry.contains("key") || !entry.contains("value") || !entry["key"].is_string())
      refuse_part(file, fmt::format("line {} is damaged", p.cells.size() + 2), wanted);
    if (entry["key"].get_ref<const std::string&>() == part_end)
      p.end = entry["value"];
    else
      p.cells.emplace_back(entry["key"].get<std::string>(), line);
  }
  const bool whole = p.end.is_object() && p.end.contains("cells") && p.end["cells"].is_number_unsigned() &&
                     p.end.contains("arguments") && p.end["arguments"].is_array() && p.end.contains("merged_option") &&
                     p.end["merged_option"].is_string();
  if (!whole)
    refuse_part(file, fmt::format("part {} ends after {} cells, before its end", to_string(p.which), p.cells.size()),
                "a whole part: run its command with --resume to continue it");
  return p;
}

/// The command without what a shard alone needs, with `out` as its output.
[[nodiscard]] std::vector<std::string> without_shard(const engine::json& arguments, const std::string& output_option,
                                                     const std::string& out) {
  std::vector<std::string> kept;
  bool skip_value = false;
  for (const engine::json& each : arguments) {
    const std::string word = each.is_string() ? each.get<std::string>() : std::string();
    if (std::exchange(skip_value, false) || word == "--resume") continue;
    const std::string_view name = std::string_view(word).substr(0, word.find('='));
    if (name == "--shard" || name == "--out" || name == "--partial" || name == output_option)
      skip_value = name.size() == word.size();
    else
      kept.push_back(word);
  }
  kept.insert(kept.end(), {output_option, out});
  return kept;
}

}  // namespace

merged_parts merge_parts(const std::vector<std::string>& files, const std::filesystem::path& file,
                         const std::string& out) {
  std::vector<part> parts;
  for (const std::string& each : files) parts.push_back(read_part(each));
  const part& first = parts.front();
  std::vector<const part*> found(first.which.of, nullptr);
  for (const part& p : parts) {
    if (p.job != first.job)
      refuse_part(p.file, "is of another job than " + first.file + difference(first.job, p.job),
                  "parts of one job: the same model, data, options and version");
    if (p.which.of != first.which.of)
      refuse_part(p.file,
                  fmt::format("is part {}, {} is part {}", to_string(p.which), first.file, to_string(first.which)),
                  "parts of the same number of shards");
    if (p.end["cells"] != first.end["cells"])
      refuse_part(p.file,
                  fmt::format("has {} cells, {} has {}", p.end["cells"].dump(), first.file, first.end["cells"].dump()),
                  "parts of one job");
    const part*& same = found[p.which.number];
    if (same != nullptr)
      refuse_part(p.file, fmt::format("is part {}, as {} is", to_string(p.which), same->file), "each part once");
    same = &p;
  }
  std::string missing;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (found[i] == nullptr) missing += (missing.empty() ? "" : ", ") + to_string({.number = i, .of = found.size()});
  if (!missing.empty()) refuse_part("merge", "no part " + missing, fmt::format("all {} parts", found.size()));

  std::map<std::string_view, const part*> from;
  std::string text = first.job.dump() + "\n";
  for (const part* p : found)
    for (const auto& [key, line] : p->cells) {
      const auto [at, is_new] = from.emplace(key, p);
      if (!is_new)
        refuse_part(p->file, fmt::format("holds the cell {}, as {} does", precis::shown(key), at->second->file),
                    "each cell in one part");
      text += line + "\n";
    }
  engine::write_file(file, text);
  merged_parts merged{
      .arguments = without_shard(first.end["arguments"], first.end["merged_option"].get<std::string>(), out),
      .cells = from.size()};
  merged.arguments.insert(merged.arguments.end(), {"--resume", "--partial", file.string()});
  return merged;
}

}  // namespace program
