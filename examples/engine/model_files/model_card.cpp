#include <engine/model_files/model_card.hpp>

#include <engine/files/files.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  const std::size_t first = text.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view{}
                                         : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

[[nodiscard]] std::string plain(std::string_view text) {
  text = trimmed(text);
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

/// The next line of a text, which is removed from it.
[[nodiscard]] std::string_view next_line(std::string_view& text) {
  const std::size_t stop = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, stop);
  text.remove_prefix(std::min(stop + 1, text.size()));
  return line;
}

using card_values = std::map<std::string, std::vector<std::string>, std::less<>>;

/// The keys at the top level of the front matter that hold a plain value or a list of them.
[[nodiscard]] card_values front_matter(std::string_view card) {
  card_values values;
  if (trimmed(next_line(card)) != "---") return values;
  std::string key;
  while (!card.empty()) {
    const std::string_view line = next_line(card), text = trimmed(line);
    if (text == "---") return values;
    if (text.starts_with("- ") && !key.empty()) {
      values[key].push_back(plain(text.substr(2)));
      continue;
    }
    const std::size_t colon = line.find(':');
    if (text.empty() || line.front() == ' ' || line.front() == '#' || colon == std::string_view::npos) {
      if (!text.empty()) key.clear();
      continue;
    }
    key = std::string(line.substr(0, colon));
    std::string_view rest = trimmed(line.substr(colon + 1));
    if (rest.starts_with('[') && rest.ends_with(']')) {
      rest = rest.substr(1, rest.size() - 2);
      while (!rest.empty()) {
        const std::size_t comma = std::min(rest.find(','), rest.size());
        values[key].push_back(plain(rest.substr(0, comma)));
        rest.remove_prefix(std::min(comma + 1, rest.size()));
      }
    } else if (!rest.empty() && rest.find_first_of("{|>&*!") != 0) {
      values[key].push_back(plain(rest));
    }
  }
  return {};  // the front matter has no end
}

}  // namespace

gguf_metadata model_card_keys(std::string_view card) {
  card_values values = front_matter(card);
  gguf_metadata keys;
  const std::pair<std::string_view, std::string_view> plain_keys[] = {{"author", "general.author"},
                                                                      {"model_author", "general.author"},
                                                                      {"model_creator", "general.author"},
                                                                      {"version", "general.version"},
                                                                      {"model_version", "general.version"},
                                                                      {"organization", "general.organization"},
                                                                      {"model_organization", "general.organization"},
                                                                      {"description", "general.description"},
                                                                      {"model_description", "general.description"},
                                                                      {"license", "general.license"},
                                                                      {"license_name", "general.license.name"},
                                                                      {"license_link", "general.license.link"}};
  for (const auto& [from, to] : plain_keys) {
    const auto at = values.find(from);
    const bool known =
        std::ranges::find(keys, to, [](const auto& k) -> std::string_view { return k.first; }) != keys.end();
    if (at != values.end() && at->second.size() == 1 && !known) keys.emplace_back(to, at->second.front());
  }
  if (const auto at = values.find("base_model"); at != values.end()) {
    keys.emplace_back("general.base_model.count", static_cast<std::uint32_t>(at->second.size()));
    for (std::size_t i = 0; i < at->second.size(); ++i) {
      const std::string& id = at->second[i];  // "organization/name"
      const std::string prefix = "general.base_model." + std::to_string(i) + ".";
      const std::size_t slash = id.find('/');
      keys.emplace_back(prefix + "name", slash == std::string::npos ? id : id.substr(slash + 1));
      if (slash == std::string::npos) continue;
      keys.emplace_back(prefix + "organization", id.substr(0, slash));
      keys.emplace_back(prefix + "repo_url", "https://huggingface.co/" + id);
    }
  }
  for (const auto& [from, to] : {std::pair{"tags", "general.tags"}, {"language", "general.languages"}})
    if (const auto at = values.find(from); at != values.end()) keys.emplace_back(to, std::move(at->second));
  return keys;
}

gguf_metadata model_card_keys(const fs::path& folder) {
  std::error_code ignored;
  const fs::path card = folder / "README.md";
  if (!fs::is_regular_file(card, ignored) || fs::file_size(card, ignored) == 0) return {};
  return model_card_keys(mapped_file(card).text());
}

}  // namespace engine
