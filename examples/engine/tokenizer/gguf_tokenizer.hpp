#pragma once

#include <engine/files/gguf.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

/// Tokenizers in GGUF metadata, under llama.cpp's keys.
namespace engine {

/// Reads the tokenizer of a GGUF file: GPT-2's ("gpt2", pre-tokenizer "gpt-2") or SentencePiece's with scores
/// ("llama").
/// Errors: another tokenizer, by name; those of byte_bpe and score_bpe.
[[nodiscard]] tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where);

/// The properties of a model that the keys of its tokenizer state.
struct gguf_vocabulary {
  std::size_t tokens = 0;  ///< rows of the embedding; the vocabulary is padded to this size
  std::optional<precis::token> bos;
  std::vector<precis::token> eos;     ///< the format has keys for three: the end of a text, of a turn and of a message
  std::filesystem::path folder = {};  ///< whose files describe added tokens and have chat templates; empty: none
};

/// Appends the keys of the tokenizer at `path`, a folder with vocab.json and merges.txt or a tok*.bin file, with its
/// added tokens, their roles, the tokens that begin and end documents, and chat templates; an empty path means no
/// tokenizer. `loaded` is what load_tokenizer makes of `path`.
/// Errors: any other kind of tokenizer; documents that begin or end with several tokens.
void add_gguf_tokenizer(const std::filesystem::path& path, const tokenizer& loaded, const gguf_vocabulary& model,
                        gguf_metadata& out);

}  // namespace engine
