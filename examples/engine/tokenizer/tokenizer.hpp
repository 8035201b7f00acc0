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

/// Conversion between text and tokens, for every model family.
namespace engine {

/// A token and the bytes of the text that it covers: [first_byte, end_byte).
struct token_span {
  precis::token id = 0;
  std::size_t first_byte = 0;
  std::size_t end_byte = 0;

  bool operator==(const token_span&) const = default;
};

/// Whether a text starts a document. A document begins with BOS and an implicit blank (Llama), with BOS if the model
/// folder requests one (OPT), or is enclosed in [CLS] and [SEP] (BERT). A text in the middle gets no special tokens.
enum class start { document, middle };

/// Hash for lookup of tokens by text without constructing a string.
struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using token_index = std::unordered_map<std::string, precis::token, text_hash, std::equal_to<>>;

/// GPT-2's byte-level BPE.
///
/// Text is split into words by GPT-2's pattern (Unicode letters, numbers and white space); within each word, adjacent
/// tokens are merged in the order of merges.txt. Bytes that are not valid UTF-8 are encoded like all others: a run of
/// them is one word, and the text on either side is split as if it ended there. "<|endoftext|>" in a text is plain
/// text.
///
/// Cost     O(bytes log bytes), even for a single long word. A repeated word costs one lookup.
class byte_bpe {
 public:
  /// Builds the tokenizer from the contents of vocab.json and merges.txt. The names are for messages.
  ///
  /// Errors   a vocabulary that is not a JSON object of whole numbers; ids that are not 0 ... n-1, each once; a byte
  ///          without a token; a merge line that is a duplicate or is not two tokens whose concatenation is a token.
  byte_bpe(std::string_view vocab_json, std::string_view merges_txt, std::string_view vocab_name = "vocab.json",
           std::string_view merges_name = "merges.txt");

  /// Sets the token that every document begins with: "</s>" for OPT. Errors: a token that is not in the vocabulary.
  void begin_documents_with(std::string_view name);

  [[nodiscard]] std::size_t size() const noexcept { return bytes_of_.size(); }
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text,
                                                            start position = start::middle) const;
  /// The bytes of a token, which may be part of a character. Requires 0 <= id < size().
  [[nodiscard]] const std::string& text_of(precis::token id) const { return bytes_of_[static_cast<std::size_t>(id)]; }

 private:
  struct merge {
    std::size_t rank = 0;
    precis::token joined = 0;
  };
  std::vector<std::string> bytes_of_;
  std::array<precis::token, 256> token_of_byte_{};
  std::unordered_map<std::uint64_t, merge> merges_;  // key: left id * 2^32 + right id
  std::optional<precis::token> bos_;
};

/// The tokenizer of llama2.c: pieces with scores, merged in order of the best score. A character without a piece is
/// encoded as its bytes.
///
/// Cost     O(bytes log bytes).
class score_bpe {
 public:
  /// Builds the tokenizer from the contents of a tok*.bin file: the maximum length, then score, length and bytes of
  /// every piece.
  ///
  /// Errors   a file that ends inside a piece; a length above the maximum; a score that is not finite; first 259 pieces
  ///          other than UNK, BOS, EOS and the 256 bytes <0x00> ... <0xFF>.
  explicit score_bpe(std::span<const std::byte> file, std::string_view name = "tokenizer");

  static constexpr precis::token bos = 1, eos = 2;

  [[nodiscard]] std::size_t size() const noexcept { return pieces_.size(); }
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start position) const;
  /// The bytes of a token; empty for UNK, BOS and EOS. Requires 0 <= id < size().
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
/// Control characters are dropped, white space and punctuation separate words, and an ideograph is a word. A word is
/// matched greedily from its beginning, longest piece first; pieces after the first begin with "##" in vocab.txt. A
/// word of more than 100 characters, or one that cannot be matched to its end, becomes a single [UNK]. For `uncased`
/// vocabularies text is lowercased and stripped of accents. Bytes that are not valid UTF-8 are dropped like control
/// characters. "[SEP]" in a text is plain text.
///
/// Cost     O(bytes); in the worst case multiplied by the length of the longest piece.
class wordpiece {
 public:
  enum class letters { uncased, cased };

  /// Builds the tokenizer from the contents of vocab.txt, one token per line.
  ///
  /// Errors   an empty line or vocabulary; a duplicate token; no [UNK], [CLS] or [SEP].
  explicit wordpiece(std::string_view vocab_txt, letters how = letters::uncased, std::string_view name = "vocab.txt");

  [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
  /// Spans are in order; word separators belong to no span. [CLS] and [SEP] have empty spans.
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text, start position) const;
  /// A piece without "##"; the first piece of a word gets a leading blank. Requires 0 <= id < size().
  [[nodiscard]] std::string text_of(precis::token id) const;

 private:
  std::vector<std::string> names_;
  token_index first_, later_;  // pieces that begin a word; pieces that continue one, without "##"
  precis::token unknown_ = 0, begin_ = 0, end_ = 0;
  std::size_t longest_ = 0;  // bytes of the longest piece
  letters how_;
};

/// The tokenizer of a model, of any kind, or none.
class tokenizer {
 public:
  tokenizer() = default;
  tokenizer(byte_bpe t) : kind_(std::move(t)) {}   // NOLINT(google-explicit-constructor): one of its alternatives
  tokenizer(score_bpe t) : kind_(std::move(t)) {}  // NOLINT(google-explicit-constructor)
  tokenizer(wordpiece t) : kind_(std::move(t)) {}  // NOLINT(google-explicit-constructor)

  /// False if the model has no tokenizer; every other member then throws an error.
  [[nodiscard]] explicit operator bool() const noexcept { return !std::holds_alternative<std::monostate>(kind_); }
  /// Number of tokens.
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::vector<precis::token> encode(std::string_view text, start position = start::document) const;
  /// Spans are in order and, except for WordPiece, cover the text without gaps. BOS and an implicit blank have empty
  /// spans.
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text,
                                                            start position = start::document) const;
  /// The result is not always valid UTF-8. Errors: a token that is out of range.
  [[nodiscard]] std::string decode(std::span<const precis::token> ids) const;
  /// The bytes of one token, including its leading blank if it has one. Errors: a token that is out of range.
  [[nodiscard]] std::string text_of(precis::token id) const;

 private:
  std::variant<std::monostate, byte_bpe, score_bpe, wordpiece> kind_;
};

/// The range of tokens [first, second) that overlap the bytes [first_byte, end_byte); empty if there are none.
[[nodiscard]] std::pair<std::size_t, std::size_t> tokens_covering(std::span<const token_span> spans,
                                                                  std::size_t first_byte, std::size_t end_byte);

/// Reads vocab.json and merges.txt of a folder, or its vocab.txt, or a tok*.bin or GGUF file. In a
/// tokenizer_config.json in the same folder it honours add_bos_token and bos_token (BPE), do_lower_case, strip_accents
/// and tokenize_chinese_chars (WordPiece).
///
/// Errors   those of the constructors above; a treatment of accents or ideographs other than the default for the
///          vocabulary's case.
[[nodiscard]] tokenizer load_tokenizer(const std::filesystem::path& path);

}  // namespace engine
