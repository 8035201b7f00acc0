#pragma once

#include <engine/tokenizer/tokenizer.hpp>

#include <string>
#include <string_view>

namespace engine {

/// A SentencePiece model (tokenizer.model), BPE or Unigram. Control pieces and the unknown piece are special tokens. No
/// special token begins or ends a document: the file does not say which would.
///
/// Errors   a message that is cut short; a model of words or characters, and other settings that are not supported.
[[nodiscard]] tokenizer parse_sentencepiece(std::string_view bytes, const std::string& where);

}  // namespace engine
