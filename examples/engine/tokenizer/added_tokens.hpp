#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

/// What the files beside a vocabulary say of its tokens.
namespace engine {

/// A token that is not made by merges.
struct added_token {
  std::string text;
  bool special = false;  ///< it controls the model, and is not text

  bool operator==(const added_token&) const = default;
};

/// The added tokens of a folder, by id: of added_tokens.json, tokenizer_config.json and tokenizer.json. What
/// special_tokens_map.json and tokenizer_config.json name as a special token is one.
/// Errors   those of parse_json; entries of other types; two texts for one id.
[[nodiscard]] std::map<std::size_t, added_token> added_tokens(const std::filesystem::path& folder);

/// The texts of a folder's special tokens by their keys, "pad_token" for instance: of tokenizer_config.json and
/// special_tokens_map.json, the first that has one. Errors: those of parse_json.
[[nodiscard]] std::map<std::string, std::string> special_tokens(const std::filesystem::path& folder);

/// The chat templates of a folder by name, the default one under "": of chat_template.jinja, chat_template.json and
/// tokenizer_config.json, the first that has one. Errors: those of parse_json; entries of other types.
[[nodiscard]] std::map<std::string, std::string> chat_templates(const std::filesystem::path& folder);

}  // namespace engine
