#pragma once

#include <string>
#include <string_view>
#include <vector>

/// How texts are split into words by the pre-tokenizers that GGUF names in `tokenizer.ggml.pre`.
namespace engine {

/// One pre-tokenizer, and what llama.cpp does by its name besides.
struct gguf_splitter {
  std::vector<std::string_view> names;
  std::vector<std::string_view> patterns;  ///< applied one after another, each to the parts that the one before left
  bool ignore_merges = false;              ///< a word that is a token is that token
  bool add_bos = false;                    ///< documents begin with BOS if the file does not say
  bool raw_text = false;                   ///< words are text with U+2581 for blanks, not characters of bytes
  bool whole_newlines = false;             ///< of these, a run of line ends that is a token is that token
};

/// The pre-tokenizer of a name; nullptr if it is not known.
///
/// What counts is what llama.cpp does with the name, where that differs from the tokenizer.json that a model was trained
/// with: its "gpt-4o" and "tekken" take every letter outside of ASCII for both cases, its "qwen2" does not normalize, its
/// "afmoe" and "tiny_aya" join what comes before a number to its first digits.
[[nodiscard]] const gguf_splitter* find_gguf_splitter(std::string_view name);

/// All of them. The first name of each is the one that a file gets that needs it.
[[nodiscard]] const std::vector<gguf_splitter>& gguf_splitters();

/// All names, for messages.
[[nodiscard]] std::string gguf_splitter_names();

}  // namespace engine
