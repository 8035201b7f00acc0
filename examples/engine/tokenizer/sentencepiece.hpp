#pragma once

#include <engine/tokenizer/tokenizer.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace engine {

/// The types of pieces in the file.
enum class piece_type : std::uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// The parts of a SentencePiece model that concern encoding.
struct sentencepiece_file {
  std::vector<std::string> names;
  std::vector<float> scores;
  std::vector<piece_type> types;
  std::uint64_t model_type = 1;  ///< 1: Unigram, 2: BPE
  bool byte_fallback = false, whitespace_as_suffix = false;
  std::string charsmap;
  bool dummy_prefix = true, remove_extra_blanks = true, escape_blanks = true, denormalizes = false;
};
/// Errors   a message that is cut short; a piece that is not text, or whose type or score is not valid.
[[nodiscard]] sentencepiece_file read_sentencepiece(std::string_view bytes, const std::string& where);

/// A SentencePiece model (tokenizer.model), BPE or Unigram. Control pieces and the unknown piece are special tokens. No
/// special token begins or ends a document: the file does not say which would.
///
/// Errors   a message that is cut short; a model of words or characters, and other settings that are not supported.
[[nodiscard]] tokenizer parse_sentencepiece(std::string_view bytes, const std::string& where);

}  // namespace engine
