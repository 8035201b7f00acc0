#pragma once

#include <engine/files/gguf.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Tokenizers in GGUF metadata, under llama.cpp's keys.
namespace engine {

/// Reads the tokenizer of a GGUF file: byte-level BPE ("gpt2"), SentencePiece's with scores ("llama"), Gemma 4's BPE
/// ("gemma4"), Unigram ("t5") or WordPiece ("bert"). Texts get the tokens that llama.cpp gives them.
/// Errors: another tokenizer, by name; another pre-tokenizer; whatever is inconsistent.
[[nodiscard]] tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where);

/// The properties of a model that the keys of its tokenizer state.
struct gguf_vocabulary {
  std::size_t tokens = 0;  ///< rows of the embedding; the vocabulary is padded to this size
  std::optional<precis::token> bos;
  std::vector<precis::token> eos;     ///< the format has keys for three: the end of a text, of a turn and of a message
  std::filesystem::path folder = {};  ///< whose files describe added tokens and have chat templates; empty: none
};

/// Appends the keys of the tokenizer at `path`: a folder with any of the files that load_tokenizer reads, one of those files,
/// or a GGUF file, whose keys are copied. With them go the added tokens, their roles, the tokens that begin and end
/// documents, and chat templates; an empty path means no tokenizer. `loaded` is what load_tokenizer makes of `path`.
/// Returns sentences for the user: what GGUF cannot say.
///
/// Errors   what no vocabulary of GGUF holds, by name: see form_of_tokenizer_json; common texts of which the keys would make
///          other tokens than `loaded`; documents that begin or end with several tokens.
[[nodiscard]] std::vector<std::string> add_gguf_tokenizer(const std::filesystem::path& path, const tokenizer& loaded,
                                                          const gguf_vocabulary& model, gguf_metadata& out);

}  // namespace engine
