#pragma once

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/tokenizer/gguf_keys.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// The vocabularies of other files in the forms that GGUF has for them.
namespace engine {

/// A vocabulary under llama.cpp's keys, without the tokens that begin and end documents.
struct gguf_form {
  std::string model;                   ///< gpt2, llama, t5 or bert
  std::string pre;                     ///< of gpt2
  std::vector<std::string> tokens;     ///< by id
  std::vector<gguf_token_type> types;  ///< one per token
  std::vector<float> scores;           ///< of llama and t5
  std::vector<std::string> merges;     ///< of gpt2
  std::string charsmap;                ///< of t5
  std::optional<precis::token> unknown;
  gguf_metadata flags;  ///< how blanks and letters are treated
  std::vector<gguf_metadata>
      choices;  ///< if not empty: more flags, of which the first that fits the tokenizer is meant
};

/// The form of a vocabulary. `loaded` is the tokenizer that the file makes.
///
/// Errors   what no form holds, by name: a normalizer, a pre-tokenizer or a setting of the model.
[[nodiscard]] gguf_form form_of_tokenizer_json(const json& root, const tokenizer& loaded, const std::string& where);
[[nodiscard]] gguf_form form_of_merges_txt(std::string_view merges, const tokenizer& loaded, const std::string& where);
[[nodiscard]] gguf_form form_of_vocab_txt(const tokenizer& loaded);
[[nodiscard]] gguf_form form_of_sentencepiece(std::string_view bytes, const tokenizer& loaded,
                                              const std::string& where);
/// Of a tok*.bin file that was read already.
[[nodiscard]] gguf_form form_of_score_file(std::span<const std::byte> file);

/// The first name of the splitter that splits texts into words as `loaded` does.
/// Errors   none does: names a text that is split otherwise.
[[nodiscard]] std::string splitter_of(const tokenizer& loaded, const std::vector<std::string>& merges,
                                      bool ignore_merges, const std::string& where);

/// Texts that tell pre-tokenizers apart: common ones, of which a file must keep the tokens, and rare ones.
[[nodiscard]] std::span<const std::string_view> probe_texts();
[[nodiscard]] std::span<const std::string_view> rare_texts();

}  // namespace engine
