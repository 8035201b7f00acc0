#pragma once

#include <engine/tokenizer/tokenizer.hpp>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace engine {

/// What tokenizer_config.json, special_tokens_map.json and added_tokens.json of a folder say beside its tokenizer. A key
/// that is absent leaves its member empty.
struct tokenizer_config {
  std::string where;  ///< tokenizer_config.json, for messages
  std::optional<bool> add_bos, add_eos, add_prefix_space;
  std::optional<bool> lowercase, strip_accents, space_ideographs;
  bool split_special_tokens = false;
  std::map<std::string, std::string, std::less<>> roles;  ///< bos_token and the like, by name
  std::vector<std::string> special;                       ///< additional_special_tokens
  std::vector<added_token> added;                         ///< tokens with ids

  [[nodiscard]] byte_bpe_settings byte_bpe() const;
  [[nodiscard]] wordpiece_settings wordpiece() const;
  /// A SentencePiece model with the added tokens, and BOS before a document unless add_bos_token is false.
  [[nodiscard]] tokenizer ends_of_sentencepiece(const tokenizer& t) const;
  /// The tokenizer with what the files add to it. Errors: what contradicts it.
  [[nodiscard]] tokenizer applied(const tokenizer& t) const;
};

/// Errors: a key of tokenizer_config.json or special_tokens_map.json that is not known; values of the wrong type.
[[nodiscard]] tokenizer_config read_tokenizer_config(const std::filesystem::path& folder);

}  // namespace engine
