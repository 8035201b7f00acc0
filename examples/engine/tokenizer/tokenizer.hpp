#pragma once

#include <precis/model/batch.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

/// Text to tokens and back, for every model family.
namespace engine {

/// A token and the bytes of the text it stands for: [first_byte, end_byte).
struct token_span {
  precis::token id = 0;
  std::size_t first_byte = 0;
  std::size_t end_byte = 0;

  bool operator==(const token_span&) const = default;
};

/// Where a text stands. A document begins with BOS and an invisible blank (Llama), with BOS where its folder asks for one
/// (OPT), or lies between [CLS] and [SEP] (BERT); a text in the middle has its own tokens alone.
enum class start { document, middle };

/// Tokens by their text.
struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using token_index = std::unordered_map<std::string, precis::token, text_hash, std::equal_to<>>;

/// GPT-2's byte-level BPE.
///
/// Text is cut into words by GPT-2's pattern (Unicode letters, numbers and white space), each word's bytes are joined
/// pair by pair in the order of merges.txt. Bytes that are not UTF-8 are tokens like all others: a run of them is a word
/// of its own, and the text around is cut as if it ended there. "<|endoftext|>" in a text is text, not a token.
///
/// Cost     O(bytes log bytes), also for one endless word. Words that occur again cost a look-up.
class byte_bpe {
 public:
  /// From the contents of vocab.json and merges.txt; the names are for messages.
  ///
  /// Errors   no JSON object of whole numbers; ids that are not 0 ... n-1, each once; one of the 256 bytes without a
  ///          token; a merge line that is not two known tokens whose joint is known, or that occurs twice.
  byte_bpe(std::string_view vocab_json, std::string_view merges_txt, std::string_view vocab_name = "vocab.json",
           std::string_view merges_name = "merges.txt");

  /// Every document begins with this token: "</s>" in an OPT. Errors: a token that is not in the vocabulary.
  void begin_documents_with(std::string_view name);

  [[nodiscard]] std::size_t size() const noexcept { return bytes_of_.size(); }
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start where = start::middle) const;
  /// The bytes a token stands for; not always whole characters. Requires 0 <= id < size().
  [[nodiscard]] const std::string& text_of(precis::token id) const { return bytes_of_[static_cast<std::size_t>(id)]; }

 private:
  struct merge {
    std::size_t rank = 0;
    precis::token joined = 0;
  };
  std::vector<std::string> bytes_of_;
  std::array<precis::token, 256> token_of_byte_{};
  std::unordered_map<std::uint64_t, merge> merges_;  // by left id * 2^32 + right id
  std::optional<precis::token> bos_;
};

/// The tokenizer of llama2.c: pieces with scores, joined best score first; a character without a piece becomes its bytes.
///
/// Cost     O(bytes log bytes).
class score_bpe {
 public:
  /// From the contents of a tok*.bin file: the longest length, then score, length and bytes of every piece.
  ///
  /// Errors   a file that ends inside a piece; a length above the longest; a score that is not finite; anything but
  ///          unknown, BOS, EOS and the 256 bytes <0x00> ... <0xFF> as the first 259 pieces.
  explicit score_bpe(std::span<const std::byte> file, std::string_view name = "tokenizer");

  static constexpr precis::token bos = 1, eos = 2;

  [[nodiscard]] std::size_t size() const noexcept { return pieces_.size(); }
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start where) const;
  /// The bytes a token stands for; nothing for unknown, BOS and EOS. Requires 0 <= id < size().
  [[nodiscard]] const std::string& text_of(precis::token id) const {
    return pieces_[static_cast<std::size_t>(id)].text;
  }

 private:
  struct piece {
    std::string text;
    float score = 0;
  };
  std::vector<piece> pieces_;
  token_index find_;
  std::size_t longest_ = 0;
};

/// BERT's WordPiece.
///
/// Controls go, white space and punctuation part words, an ideograph is a word. A word is cut from its beginning, longest
/// piece first; pieces after the first begin with "##" in vocab.txt. A word of more than 100 characters, or with a rest
/// that no piece begins, is [UNK] as a whole. `uncased` vocabularies see text in lower case and without accents. Bytes
/// that are not UTF-8 are dropped like controls. "[SEP]" in a text is text, not a token.
///
/// Cost     O(bytes), times the longest piece at worst.
class wordpiece {
 public:
  enum class letters { uncased, cased };

  /// From the contents of vocab.txt, one token a line.
  ///
  /// Errors   an empty line or vocabulary; a token that occurs twice; [UNK], [CLS] or [SEP] missing.
  explicit wordpiece(std::string_view vocab_txt, letters how = letters::uncased, std::string_view name = "vocab.txt");

  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
  /// Spans are in order; what parts words belongs to none. [CLS] and [SEP] cover nothing.
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start where) const;
  /// A piece without "##"; the first piece of a word with a blank before it. Requires 0 <= id < size().
  [[nodiscard]] std::string text_of(precis::token id) const;

 private:
  std::vector<std::string> names_;
  token_index first_, later_;  // pieces a word begins with; pieces that follow, without "##"
  precis::token unknown_ = 0, begin_ = 0, end_ = 0;
  std::size_t longest_ = 0;  // piece, bytes
  letters how_;
};

/// Whichever tokenizer a model came with, or none.
class tokenizer {
 public:
  tokenizer() = default;
  tokenizer(byte_bpe t) : kind_(std::move(t)) {}   // NOLINT(google-explicit-constructor): one of its alternatives
  tokenizer(score_bpe t) : kind_(std::move(t)) {}  // NOLINT(google-explicit-constructor)
  tokenizer(wordpiece t) : kind_(std::move(t)) {}  // NOLINT(google-explicit-constructor)

  /// False when the model came without one; every other member then refuses, saying so.
  [[nodiscard]] explicit operator bool() const noexcept { return !std::holds_alternative<std::monostate>(kind_); }
  /// How many tokens there are.
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::vector<precis::token> encode(std::string_view text, start where = start::document) const;
  /// Spans are in order and cover the text without gaps (but for WordPiece); BOS and an invisible blank cover nothing.
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start where = start::document) const;
  /// Bytes: not always UTF-8. Errors: a token that is out of range.
  [[nodiscard]] std::string decode(std::span<const precis::token> ids) const;
  /// The bytes of one token, with its leading blank if it has one. Errors: a token that is out of range.
  [[nodiscard]] std::string text_of(precis::token id) const;

 private:
  std::variant<std::monostate, byte_bpe, score_bpe, wordpiece> kind_;
};

/// The tokens [first, second) that touch the bytes [first_byte, end_byte); empty when none does.
[[nodiscard]] std::pair<std::size_t, std::size_t> tokens_covering(std::span<const token_span> spans,
                                                                  std::size_t first_byte, std::size_t end_byte);

/// Reads vocab.json and merges.txt of a folder, or its vocab.txt, or a tok*.bin or GGUF file. Of a tokenizer_config.json beside
/// them it heeds add_bos_token and bos_token (BPE), do_lower_case, strip_accents and tokenize_chinese_chars (WordPiece).
///
/// Errors   those of the constructors above; accents or ideographs treated in a way that the vocabulary's case does not
///          imply.
[[nodiscard]] tokenizer load_tokenizer(const std::filesystem::path& path);

}  // namespace engine
