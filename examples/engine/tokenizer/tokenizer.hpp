#pragma once

#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
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

/// What a text is: a document gets the special tokens of the tokenizer's template, such as BOS, or [CLS] and [SEP]; a
/// plain text does not; a text from the middle of another does not get the implicit blank of its first word either.
enum class start { document, text, middle };

/// Whether the name of a special token in a text, such as "<|endoftext|>", is that token or plain text. Added tokens
/// that are not special are always found.
enum class special_tokens { parsed, plain };

/// Hash for lookup of tokens by text without constructing a string.
struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
using token_index = std::unordered_map<std::string, precis::token, text_hash, std::equal_to<>>;

/// A token that is found in the text itself, before the text is split into words.
struct added_token {
  precis::token id = 0;
  std::string content = {};
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;
  bool normalized = false;  ///< is found in the normalized text
  bool special = false;
};

struct pipeline;

/// The tokenizer of a model, of any kind, or none. Bytes that are not valid UTF-8 are encoded as bytes if the vocabulary
/// has tokens for bytes; otherwise each is read as U+FFFD.
class tokenizer {
 public:
  tokenizer() = default;
  explicit tokenizer(std::shared_ptr<const pipeline> stages) noexcept : stages_(std::move(stages)) {}

  /// False if the model has no tokenizer; every other member then throws an error.
  [[nodiscard]] explicit operator bool() const noexcept { return stages_ != nullptr; }
  /// The largest id plus one.
  [[nodiscard]] std::size_t size() const;

  /// How encoding treats the names of special tokens.
  special_tokens in_text = special_tokens::parsed;

  /// Errors: text of 4 GiB or more; a character that the vocabulary has no token for.
  [[nodiscard]] std::vector<precis::token> encode(std::string_view text, start position = start::document) const;
  /// Spans are in order. Tokens that stand for no text, such as BOS and an implicit blank, have empty spans. Of a text
  /// that is not rewritten, such as by WordPiece, every byte is covered.
  [[nodiscard]] std::vector<token_span> encode_with_offsets(std::string_view text,
                                                            start position = start::document) const;
  /// The names of the tokens in the vocabulary; of an unknown text of a Unigram tokenizer, the text.
  [[nodiscard]] std::vector<std::string> pieces(std::string_view text, start position = start::document) const;

  /// A pair of texts with the tokens between them, and the type (0 or 1) of every token.
  struct encoded_pair {
    std::vector<precis::token> ids;
    std::vector<unsigned> types;
  };
  [[nodiscard]] encoded_pair encode_pair(std::string_view text, std::string_view second) const;

  /// The text of tokens, with or without the special ones. Not always valid UTF-8: bytes are kept as they are. Errors: a
  /// token that is out of range.
  enum class special_text { kept, dropped };
  [[nodiscard]] std::string decode(std::span<const precis::token> ids, special_text how = special_text::kept) const;
  /// The bytes of one token in the middle of a text, including its leading blank if it has one. Errors: a token that is
  /// out of range.
  [[nodiscard]] std::string text_of(precis::token id) const;
  /// The name of a token in the vocabulary; empty for an id without a token. Errors: a token that is out of range.
  [[nodiscard]] const std::string& name_of(precis::token id) const;

  /// The tokenizer without its added tokens whose ids are `tokens` or above, such as those of images in a model of text.
  /// Its size is still larger if its vocabulary is.
  [[nodiscard]] tokenizer limited_to(std::size_t tokens) const;

  [[nodiscard]] const pipeline& stages() const;

 private:
  std::shared_ptr<const pipeline> stages_;
};

/// GPT-2's byte-level BPE from the contents of vocab.json and merges.txt; the names are for messages. `first`, if given,
/// is the token that documents begin with, such as "</s>" for OPT.
///
/// Errors   a vocabulary that is not a JSON object of whole numbers; ids that are not 0 ... n-1, each once; a byte
///          without a token; a merge line that is a duplicate or is not two tokens whose concatenation is a token.
/// Cost     encoding: O(bytes log bytes), even for a single long word. A repeated word costs one lookup.
struct byte_bpe_settings {
  std::string first = {};               ///< token that documents begin with
  std::vector<added_token> added = {};  ///< those of the vocabulary, or with ids after it
  bool add_prefix_space = false;        ///< a document or plain text begins with an implicit blank
};
[[nodiscard]] tokenizer byte_bpe(std::string_view vocab_json, std::string_view merges_txt,
                                 std::string_view vocab_name = "vocab.json",
                                 std::string_view merges_name = "merges.txt", const byte_bpe_settings& settings = {});

/// The tokenizer of llama2.c from the contents of a tok*.bin file (the maximum length, then score, length and bytes of
/// every piece): pieces are merged in order of the best score. A character without a piece is encoded as its bytes. BOS
/// and an implicit blank begin a document.
///
/// Errors   a file that ends inside a piece; a length above the maximum; a score that is not finite; first 259 pieces
///          other than UNK, BOS, EOS and the 256 bytes <0x00> ... <0xFF>.
/// Cost     encoding: O(bytes log bytes).
[[nodiscard]] tokenizer score_bpe(std::span<const std::byte> file, std::string_view name = "tokenizer");

/// BERT's WordPiece from the contents of vocab.txt, one token per line.
///
/// Control characters are dropped, white space and punctuation separate words, and an ideograph is a word. A word is
/// matched greedily from its beginning, longest piece first; pieces after the first begin with "##" in vocab.txt. A
/// word of more than 100 characters, or one that cannot be matched to its end, becomes a single [UNK]. For `uncased`
/// vocabularies text is lowercased and stripped of accents. A document is enclosed in [CLS] and [SEP].
///
/// Errors   an empty line or vocabulary; a duplicate token; no [UNK], [CLS] or [SEP].
/// Cost     encoding: O(bytes); in the worst case multiplied by the length of the longest piece.
struct wordpiece_settings {
  bool lowercase = true;
  bool strip_accents = true;
  bool space_ideographs = true;
  std::vector<added_token> added = {};
};
[[nodiscard]] tokenizer wordpiece(std::string_view vocab_txt, const wordpiece_settings& settings = {},
                                  std::string_view name = "vocab.txt");

/// A tokenizer from the contents of a tokenizer.json; see docs/tokenizers.md for the components.
///
/// Errors   a component or a setting that is not supported, by name; whatever is inconsistent.
[[nodiscard]] tokenizer parse_tokenizer_json(std::string_view text, const std::string& where);

/// The range of tokens [first, second) that overlap the bytes [first_byte, end_byte); empty if there are none.
[[nodiscard]] std::pair<std::size_t, std::size_t> tokens_covering(std::span<const token_span> spans,
                                                                  std::size_t first_byte, std::size_t end_byte);

/// Reads the tokenizer of a folder (tokenizer.json; else vocab.json and merges.txt, or vocab.txt), or a tok*.bin or GGUF
/// file.
///
/// Errors   those of the functions above; a key of tokenizer_config.json that is unknown or contradicts the tokenizer.
[[nodiscard]] tokenizer load_tokenizer(const std::filesystem::path& path);

/// The files of a model folder that make its tokenizer.
inline constexpr std::string_view tokenizer_files[] = {"tokenizer.json",
                                                       "vocab.json",
                                                       "merges.txt",
                                                       "vocab.txt",
                                                       "tokenizer.bin",
                                                       "tokenizer.model",
                                                       "spiece.model",
                                                       "sentencepiece.bpe.model",
                                                       "tokenizer_config.json",
                                                       "special_tokens_map.json",
                                                       "added_tokens.json"};

/// Whether a folder has the files of a tokenizer.
[[nodiscard]] bool has_tokenizer(const std::filesystem::path& folder);

}  // namespace engine
