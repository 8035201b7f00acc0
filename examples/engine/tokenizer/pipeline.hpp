#pragma once

#include <engine/tokenizer/byte_trie.hpp>
#include <engine/tokenizer/merge_pairs.hpp>
#include <engine/tokenizer/pattern.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

/// The stages of a tokenizer, as tokenizer.json names them: added tokens are found in the text; what lies between them
/// is normalized, split into words, and each word is encoded by a model; a template adds the special tokens; decoders
/// turn tokens into text.
namespace engine {

// ---- Text on its way through the stages

/// Bytes [begin, end) of the input.
struct byte_range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// A view of text, and for each of its bytes the bytes of the input that it stands for.
struct piece {
  std::string_view text;
  const byte_range* origin = nullptr;  ///< one per byte of text; null: byte i is the input's byte first + i
  std::uint32_t first = 0;
  bool continues = false;  ///< begins in the middle of a text, so that it gets no implicit blank

  /// The input's bytes that text[begin, end) stands for.
  [[nodiscard]] byte_range range(std::size_t begin, std::size_t end) const noexcept;
  [[nodiscard]] piece part(std::size_t begin, std::size_t end) const noexcept;
};

/// Text that a stage writes.
class aligned_text {
 public:
  void clear() noexcept {
    text_.clear();
    origin_.clear();
  }
  /// Appends bytes that stand for `from`.
  void add(std::string_view bytes, byte_range from);
  /// Appends a part of a piece unchanged.
  void copy(const piece& p, std::size_t begin, std::size_t end);
  [[nodiscard]] piece view(bool continues) const noexcept { return {text_, origin_.data(), 0, continues}; }
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

 private:
  std::string text_;
  std::vector<byte_range> origin_;
};

// ---- Normalizers

/// Rewrites a text. Bytes that are not valid UTF-8 are copied.
using normalizer = std::function<void(const piece&, aligned_text&)>;

enum class normal_form { nfc, nfd, nfkc, nfkd };
[[nodiscard]] normalizer normalize_unicode(normal_form form);
[[nodiscard]] normalizer lowercase();
/// Removes combining marks: every mark, or only nonspacing ones.
enum class marks { all, nonspacing };
[[nodiscard]] normalizer strip_marks(marks which);
[[nodiscard]] normalizer strip_blanks(bool left, bool right);
[[nodiscard]] normalizer replace_pattern(pattern what, std::string with);
/// Puts `text` before a text that is not empty, unless it continues another.
[[nodiscard]] normalizer prepend(std::string text);

struct bert_rules {
  bool clean_text = true;
  bool space_ideographs = true;
  bool strip_accents = true;
  bool lowercase = true;
};
[[nodiscard]] normalizer bert_normalizer(bert_rules rules);

/// SentencePiece's table of replacements: a double array of UTF-8 keys and the texts that its values point into.
/// graphemes: as Hugging Face applies it, to a grapheme of less than 6 bytes as a whole, else to its characters, by the
/// shortest key that begins it. longest: as SentencePiece does, by the longest key at each position.
enum class charsmap_match { graphemes, longest };
/// Errors: a table whose parts do not fit.
[[nodiscard]] normalizer precompiled_charsmap(std::string_view bytes, charsmap_match how, const std::string& where);
[[nodiscard]] normalizer in_order(std::vector<normalizer> stages);

// ---- Pre-tokenizers

using piece_sink = std::function<void(const piece&)>;
/// Hands the parts of a piece to a sink, in order. Empty parts are dropped.
using pre_tokenizer = std::function<void(const piece&, const piece_sink&)>;

/// What becomes of the text that a pattern matches.
enum class delimiter { removed, isolated, merged_with_previous, merged_with_next, contiguous };
[[nodiscard]] pre_tokenizer split_at(pattern what, delimiter how, bool invert);
/// Splits at characters. Bytes that are not valid UTF-8 match no character.
using character_test = bool (*)(char32_t) noexcept;
[[nodiscard]] pre_tokenizer split_at(character_test what, delimiter how);
/// Replaces each byte by its printable character of GPT-2's table, with `prefix` a blank is put before a text that does
/// not begin with one.
[[nodiscard]] pre_tokenizer byte_level(bool prefix, bool gpt2_words);
enum class metaspace_prefix { always, first, never };
[[nodiscard]] pre_tokenizer metaspace(std::string replacement, metaspace_prefix prefix, bool split);
/// Splits like BERT: at white space, and around each punctuation character.
[[nodiscard]] pre_tokenizer bert_words();
/// Runs of letters, digits, marks and connectors, and runs of what is neither those nor white space.
[[nodiscard]] pre_tokenizer word_runs();
[[nodiscard]] pre_tokenizer in_order(std::vector<pre_tokenizer> stages);

/// The character that stands for a byte in byte-level vocabularies, and back.
[[nodiscard]] const std::string& character_of_byte(unsigned char byte) noexcept;
[[nodiscard]] std::optional<char> byte_of_character(char32_t point) noexcept;
/// The token name of a byte: <0x0A>.
[[nodiscard]] std::string byte_token_name(unsigned byte);

// ---- Models

/// Names of tokens by id; an empty name marks an id without a token.
struct vocabulary {
  std::vector<std::string> names;
  token_index ids;

  /// Errors: an id that is taken, or too large for a vocabulary of this size; a name that occurs twice.
  void add(std::string name, std::size_t id, std::size_t size, std::string_view where);
  [[nodiscard]] std::optional<precis::token> find(std::string_view name) const;
  [[nodiscard]] precis::token need(std::string_view name, std::string_view where) const;
};
using shared_vocabulary = std::shared_ptr<const vocabulary>;
/// The vocabulary with added tokens. An added token with a negative id gets that of its name.
/// Errors: an added token whose id or name is that of another token, or that has neither an id nor a name in it.
[[nodiscard]] shared_vocabulary with_added(const shared_vocabulary& tokens, std::span<added_token> added,
                                           std::string_view where);

/// The tokens of words that were encoded before.
class word_cache {
 public:
  /// Nullptr if the word is not known.
  [[nodiscard]] const std::pair<std::size_t, std::size_t>* find(std::string_view word) const;
  void add(std::string_view word, std::span<const symbol> symbols);
  [[nodiscard]] std::span<const symbol> symbols(const std::pair<std::size_t, std::size_t>& range) const {
    return std::span(symbols_).subspan(range.first, range.second - range.first);
  }

 private:
  std::unordered_map<std::string, std::pair<std::size_t, std::size_t>, text_hash, std::equal_to<>> known_;
  std::vector<symbol> symbols_;
};

/// Encodes words. A word without special meaning is any text that is not empty.
class token_model {
 public:
  token_model() = default;
  token_model(const token_model&) = delete;
  token_model& operator=(const token_model&) = delete;
  virtual ~token_model() = default;

  /// Appends the tokens of a word; their bytes are those of the word.
  void encode(std::string_view word, word_cache& known, std::vector<symbol>& out) const;
  /// The name of a token that covers `text`; only an unknown text may have another name than its token.
  [[nodiscard]] virtual std::string name(const symbol& s, std::string_view text) const = 0;

 private:
  virtual void encode_word(std::string_view word, std::vector<symbol>& out) const = 0;
  /// The end of the first part of `word` that can be encoded by itself, from `begin`.
  [[nodiscard]] virtual std::size_t part_end(std::string_view word, std::size_t begin) const;
};

struct bpe_rules {
  std::optional<precis::token> unknown = {};
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;   ///< a word that is a token is that token
  bool whole_newlines = false;  ///< likewise, if it consists of line ends
  std::string prefix = {};      ///< of a character that does not begin a word
  std::string suffix = {};      ///< of a character that ends a word
};
using merge_names = std::vector<std::pair<std::string, std::string>>;
/// Byte-pair encoding: of all adjacent pairs, the first in the list of merges is joined first.
/// Errors: a merge of names that are not tokens, or into one that is not; a merge that occurs twice.
[[nodiscard]] std::unique_ptr<token_model> bpe_model(shared_vocabulary tokens, const merge_names& merges,
                                                     bpe_rules rules, std::string_view where);

/// SentencePiece's byte-pair encoding: of all adjacent pairs whose concatenation is a piece, that with the highest
/// score is joined first. A character without a piece is encoded as its bytes, or as `unknown`.
struct scored_pieces {
  std::vector<float> scores;               ///< by id
  std::vector<precis::token> plain;        ///< the pieces that text is made of; the rest are control tokens and bytes
  std::vector<precis::token> frozen = {};  ///< pieces that are found first and never joined
  std::vector<precis::token> bytes;        ///< the 256 tokens of bytes, or none
  precis::token unknown = 0;
};
[[nodiscard]] std::unique_ptr<token_model> score_model(shared_vocabulary tokens, scored_pieces pieces);

/// Unigram: the segmentation with the largest sum of scores. Adjacent unknown characters are one token.
struct unigram_pieces {
  std::vector<double> scores;        ///< by id
  std::vector<precis::token> plain;  ///< the pieces that text is made of
  std::optional<precis::token> unknown;
  bool byte_fallback = false;
  bool single_precision = false;            ///< of sums, as in SentencePiece
  bool unknown_by_name = true;              ///< an unknown text that is the name of a token is that token
  std::optional<double> unknown_base = {};  ///< what the score of an unknown character is 10 below; default: the worst
};
[[nodiscard]] std::unique_ptr<token_model> unigram_model(shared_vocabulary tokens, unigram_pieces pieces);

struct wordpiece_rules {
  precis::token unknown = 0;
  std::string prefix = "##";       ///< of a piece that does not begin a word
  std::size_t longest_word = 100;  ///< characters; a longer word is unknown
};
[[nodiscard]] std::unique_ptr<token_model> wordpiece_model(shared_vocabulary tokens, wordpiece_rules rules);

// ---- Added tokens

/// Which of the added tokens that overlap in a text counts: the leftmost, and the longest of those that begin there; or
/// the longest, and of equally long ones the leftmost.
enum class token_order { leftmost, longest_first };

/// Finds added tokens in a text.
class token_finder {
 public:
  explicit token_finder(std::vector<std::pair<std::string, added_token>> patterns,
                        token_order order = token_order::leftmost);
  token_finder() = default;

  [[nodiscard]] bool empty() const noexcept { return tokens_.empty(); }
  /// Calls use(token or nullptr, begin, end) for the tokens and for the text between them.
  void operator()(std::string_view text, special_tokens how,
                  const std::function<void(const added_token*, std::size_t, std::size_t)>& use) const;

 private:
  void longest_first(std::string_view text, special_tokens how,
                     const std::function<void(const added_token*, std::size_t, std::size_t)>& use) const;

  std::vector<added_token> tokens_;
  byte_trie trie_;
  token_order order_ = token_order::leftmost;
};

// ---- Templates and decoders

/// A part of a template: special tokens, or a sequence: 0 for the text, 1 for the second text of a pair.
struct template_part {
  std::optional<unsigned> sequence;
  std::vector<precis::token> ids;
  unsigned type_id = 0;
};
using token_template = std::vector<template_part>;

/// Turns the name of a token into its text, or rewrites the text that an earlier step made; `first`: of the first token.
using decoder_step = std::function<std::string(std::string, bool first)>;
[[nodiscard]] decoder_step decode_bytes_of_characters();  ///< byte-level
[[nodiscard]] decoder_step decode_byte_tokens();          ///< <0x0A>
[[nodiscard]] decoder_step decode_metaspace(std::string replacement, bool prefixed);
[[nodiscard]] decoder_step decode_replace(pattern what, std::string with);
[[nodiscard]] decoder_step decode_strip(std::string character, std::size_t start, std::size_t stop);
[[nodiscard]] decoder_step decode_wordpiece(std::string prefix, bool cleanup);
/// Puts steps one after another.
struct token_decoder {
  std::vector<decoder_step> each;   ///< for each token
  std::vector<decoder_step> whole;  ///< for the concatenated text
  std::string separator;            ///< between tokens
  /// If given, a token is the first one only after this token.
  std::optional<precis::token> first_after;
  std::unordered_map<precis::token, std::string> fixed;  ///< texts of tokens that take no steps
};

// ---- All of them

struct pipeline {
  shared_vocabulary tokens;  ///< including added ones
  std::vector<added_token> added;
  std::unordered_set<precis::token> special;  ///< of the added tokens
  /// Of the added tokens that are found in normalized text: what they decode to.
  std::unordered_map<precis::token, std::string> normalized_names;
  token_order find_order = token_order::leftmost;
  token_finder raw, after_normalizer;
  normalizer normalize;  ///< may be empty
  pre_tokenizer split;   ///< may be empty
  std::shared_ptr<const token_model> model;
  token_template single{{0u, {}, 0}};
  token_template pair{{0u, {}, 0}, {1u, {}, 1}};
  token_decoder decoder;
  std::optional<bool> prefix_space;  ///< add_prefix_space of the pre-tokenizer, if it is one that has it
  std::optional<bert_rules> bert;    ///< of a normalizer like BERT's
  bool keeps_bytes = false;          ///< has tokens for bytes that are not valid UTF-8; otherwise each becomes U+FFFD

  /// Sets the members about added tokens. Requires `normalize` and `tokens`.
  void add_tokens(std::vector<added_token> tokens_found);
};

}  // namespace engine
