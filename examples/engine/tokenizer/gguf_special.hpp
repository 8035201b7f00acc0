#pragma once

#include <engine/files/gguf.hpp>
#include <engine/tokenizer/gguf_keys.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <span>
#include <string>
#include <vector>

/// What llama.cpp does to tokens and texts of a GGUF file besides what the keys say.
namespace engine {

/// Changes the types of tokens whose names llama.cpp knows: ends of a text or a turn and the marks of code completion are
/// control tokens whatever their type is in the file, and the channel marks of gpt-oss are user-defined.
void assign_types_by_name(const vocabulary& tokens, const gguf_keys& keys, std::span<gguf_token_type> types);

/// Sets which added tokens take the white space beside them, by the names of the model and of its tokenizer.
void assign_blanks_by_name(const gguf_keys& keys, std::vector<added_token>& added);

/// llama.cpp's preparation of WordPiece texts. Of a character that decomposes, the first part alone is kept, also of a
/// Hangul syllable.
[[nodiscard]] normalizer gguf_bert_normalizer(bool lowercase, bool strip_accents);

/// Words between white space, and each punctuation character or ideograph; `mark` is put before each.
[[nodiscard]] pre_tokenizer gguf_bert_words(std::string mark);

}  // namespace engine
