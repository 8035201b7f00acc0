#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <engine/files/gguf.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/gguf_keys.hpp>
#include <engine/tokenizer/gguf_patterns.hpp>
#include <engine/tokenizer/gguf_special.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace engine {
namespace {

using precis::token;
using namespace gguf_key;

constexpr std::string_view visible_blank = "\xE2\x96\x81";  // U+2581, which SentencePiece writes instead of a blank

/// Tokens of a GGUF file with their types.
struct typed_vocabulary {
  std::shared_ptr<vocabulary> tokens = std::make_shared<vocabulary>();
  std::vector<gguf_token_type> types;
  std::vector<added_token> added;

  [[nodiscard]] gguf_token_type type_of(std::size_t id) const { return types[id]; }
};

[[nodiscard]] typed_vocabulary read_vocabulary(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary out;
  std::vector<std::string_view> tokens = keys.texts(tokens_key);
  out.types.assign(tokens.size(), gguf_token_type::normal);
  if (keys.find(types_key) != nullptr) {
    const std::vector<std::int32_t> types = keys.integers(types_key);
    if (types.size() != tokens.size())
      keys.refuse(types_key, std::to_string(tokens.size()) + " of them, one per token");
    std::ranges::transform(types, out.types.begin(), [](std::int32_t t) { return static_cast<gguf_token_type>(t); });
    while (!out.types.empty() && out.types.back() == gguf_token_type::unused) {  // padding to the embedding's size
      out.types.pop_back();
      tokens.pop_back();
    }
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (valid_end(tokens[i], 0) != tokens[i].size())
      refuse_input(where, "token " + std::to_string(i) + " is not UTF-8", "tokens that are text");
    out.tokens->add(std::string(tokens[i]), i, tokens.size(), where);
  }
  assign_types_by_name(*out.tokens, keys, out.types);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].empty()) continue;
    const gguf_token_type type = out.types[i];
    if (type == gguf_token_type::control || type == gguf_token_type::unknown || type == gguf_token_type::user_defined)
      out.added.push_back({.id = static_cast<token>(i),
                           .content = std::string(tokens[i]),
                           .special = type != gguf_token_type::user_defined});
  }
  assign_blanks_by_name(keys, out.added);
  return out;
}

/// The token that a key names.
[[nodiscard]] token token_of(const gguf_keys& keys, std::string_view key, std::optional<std::size_t> otherwise,
                             const vocabulary& tokens) {
  const std::size_t id = otherwise ? keys.whole_number_or(key, *otherwise) : keys.whole_number(key);
  if (id >= tokens.names.size() || tokens.names[id].empty()) keys.refuse(key, "one of the tokens");
  return static_cast<token>(id);
}

void add_around(pipeline& to, std::optional<token> before, std::optional<token> after) {
  for (token_template* const t : {&to.single, &to.pair}) {
    if (before) t->insert(t->begin(), template_part{{}, {*before}, 0});
    if (after) t->push_back(template_part{{}, {*after}, 0});
  }
}

/// What documents begin and end with where the keys do not say.
struct default_ends {
  bool add_bos = false, add_eos = false;
  std::optional<std::size_t> bos = {}, eos = {};
};

void add_ends(const gguf_keys& keys, const default_ends& otherwise, pipeline& to) {
  std::optional<token> before, after;
  if (keys.flag_or(add_bos_key, otherwise.add_bos)) before = token_of(keys, bos_key, otherwise.bos, *to.tokens);
  if (keys.flag_or(add_eos_key, otherwise.add_eos)) after = token_of(keys, eos_key, otherwise.eos, *to.tokens);
  add_around(to, before, after);
}

[[nodiscard]] tokenizer finished(const std::shared_ptr<pipeline>& p, typed_vocabulary& read) {
  p->find_order = token_order::longest_first;  // as llama.cpp finds them
  p->add_tokens(std::move(read.added));
  return tokenizer(p);
}

[[nodiscard]] merge_names read_merges(const gguf_keys& keys, std::string_view where) {
  merge_names merges;
  for (const std::string_view merge : keys.texts(merges_key)) {
    const std::size_t blank = merge.find(' ', 1);  // a token may be a blank, but for byte-level ones it is not
    if (blank == std::string_view::npos || blank + 1 == merge.size() ||
        merge.find(' ', blank + 1) != std::string_view::npos)
      refuse_input(where,
                   "merge " + std::to_string(merges.size() + 1) + ": \"" + std::string(merge.substr(0, 60)) + "\"",
                   "two tokens separated by one blank");
    merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
  return merges;
}

/// Decodes bytes <0x..> of a vocabulary that has all of them, or none.
[[nodiscard]] std::vector<token> read_bytes(const vocabulary& tokens, token_decoder& to) {
  std::vector<token> bytes;
  for (unsigned b = 0; b < 256; ++b)
    if (const auto id = tokens.find(byte_token_name(b))) bytes.push_back(*id);
  if (bytes.size() == 256)
    for (unsigned b = 0; b < 256; ++b) to.fixed.emplace(bytes[b], std::string(1, static_cast<char>(b)));
  return bytes;
}

[[nodiscard]] tokenizer merging_tokenizer(const gguf_keys& keys, std::string_view name, std::string_view where) {
  const gguf_splitter* const how = find_gguf_splitter(name);
  if (how == nullptr) keys.refuse(pre_key, "one of " + gguf_splitter_names());
  typed_vocabulary read = read_vocabulary(keys, where);
  const auto out = std::make_shared<pipeline>();
  out->tokens = read.tokens;
  out->model = bpe_model(
      read.tokens, read_merges(keys, where),
      {.byte_fallback = how->raw_text, .ignore_merges = how->ignore_merges, .whole_newlines = how->whole_newlines},
      where);
  std::vector<pre_tokenizer> stages;
  for (const std::string_view expression : how->patterns)
    stages.push_back(split_at(pattern(pattern::kind::expression, expression, where), delimiter::isolated, false));
  if (how->raw_text) {
    const std::string mark(visible_blank);
    out->normalize = replace_pattern(pattern(pattern::kind::literal, " ", where), mark);
    out->decoder.each.push_back(decode_metaspace(mark, false));
    out->keeps_bytes = read_bytes(*read.tokens, out->decoder).size() == 256;
  } else {
    stages.push_back(byte_level(false, false));
    out->decoder.each.push_back(decode_bytes_of_characters());
    out->keeps_bytes = true;
    for (unsigned b = 0; b < 256; ++b)  // a text that needs a byte without a token is refused when it is encoded
      if (!read.tokens->find(character_of_byte(static_cast<unsigned char>(b)))) out->keeps_bytes = false;
  }
  out->split = in_order(std::move(stages));
  if (how->whole_newlines)  // llama.cpp adds BOS whatever the key says
    add_around(*out, token_of(keys, bos_key, {}, *out->tokens), std::nullopt);
  else
    add_ends(keys, {.add_bos = how->add_bos}, *out);
  return finished(out, read);
}

[[nodiscard]] std::vector<float> read_scores(const gguf_keys& keys, std::size_t tokens) {
  std::vector<float> scores = keys.floats(scores_key);
  if (scores.size() < tokens) keys.refuse(scores_key, std::to_string(tokens) + " of them, one per token");
  for (std::size_t i = 0; i < tokens; ++i)
    if (!std::isfinite(scores[i])) keys.refuse(scores_key, "finite scores");
  return scores;
}

[[nodiscard]] tokenizer score_tokenizer(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary read = read_vocabulary(keys, where);
  const std::vector<std::string>& names = read.tokens->names;
  const auto out = std::make_shared<pipeline>();
  scored_pieces pieces{.scores = read_scores(keys, names.size()),
                       .plain = {},
                       .bytes = read_bytes(*read.tokens, out->decoder),
                       .unknown = 0};
  if (pieces.bytes.size() != 256)
    refuse_input(where, std::to_string(pieces.bytes.size()) + " tokens of bytes", "256, <0x00> ... <0xFF>");
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto id = static_cast<token>(i);
    const gguf_token_type type = read.type_of(i);
    const bool of_text = type != gguf_token_type::control && type != gguf_token_type::unknown;
    if (of_text && !names[i].empty() && !out->decoder.fixed.contains(id)) pieces.plain.push_back(id);
    if (!of_text) out->decoder.fixed.emplace(id, "");
  }
  const std::string mark(visible_blank);
  std::vector<normalizer> stages;
  const bool prefix = keys.flag_or(add_space_key, true);
  if (prefix) stages.push_back(prepend(mark));
  stages.push_back(replace_pattern(pattern(pattern::kind::literal, " ", where), mark));
  out->tokens = read.tokens;
  out->model = score_model(read.tokens, std::move(pieces));
  out->normalize = in_order(std::move(stages));
  out->decoder.each.emplace_back([prefix, to_blank = decode_metaspace(mark, false)](std::string text, bool first) {
    text = to_blank(std::move(text), first);
    if (first && prefix && text.starts_with(' ')) text.erase(0, 1);  // the implicit blank is not part of the text
    return text;
  });
  out->decoder.whole.push_back(decode_metaspace(mark, false));  // also where its bytes are tokens of their own
  out->keeps_bytes = true;
  add_ends(keys, {.add_bos = true, .bos = 1, .eos = 2}, *out);
  out->decoder.first_after = out->single.front().ids.empty() ? token{-1} : out->single.front().ids.front();
  return finished(out, read);
}

/// Blanks as llama.cpp writes them for Unigram: a run of them is one, or each is kept, and one begins a text.
[[nodiscard]] normalizer unigram_blanks(bool prefix, bool merged) {
  return [prefix, merged](const piece& in, aligned_text& out) {
    bool in_word = false, begun = in.continues;
    for (std::size_t i = 0; i < in.text.size(); ++i) {
      if (in.text[i] == ' ') {
        in_word = false;
        if (!merged) out.add(visible_blank, in.range(i, i + 1));
        continue;
      }
      if (!in_word && ((prefix && !begun) || merged)) {
        out.add(visible_blank, in.range(i, i));
        begun = true;
      }
      in_word = true;
      out.copy(in, i, i + 1);
    }
  };
}

[[nodiscard]] tokenizer unigram_tokenizer(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary read = read_vocabulary(keys, where);
  const std::vector<std::string>& names = read.tokens->names;
  const std::vector<float> scores = read_scores(keys, names.size());
  const auto out = std::make_shared<pipeline>();
  out->tokens = read.tokens;
  unigram_pieces pieces{.scores = {scores.begin(), scores.end()}, .plain = {}, .unknown = {}};
  pieces.unknown = token_of(keys, unknown_key, 2, *read.tokens);
  pieces.unknown_by_name = false;
  double worst = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < names.size(); ++i) {
    const gguf_token_type type = read.type_of(i);
    if (type == gguf_token_type::normal) worst = std::min(worst, pieces.scores[i]);
    if (type == gguf_token_type::user_defined) pieces.scores[i] = 0;
    if (!names[i].empty() &&
        (type == gguf_token_type::normal || type == gguf_token_type::user_defined || type == gguf_token_type::unused))
      pieces.plain.push_back(static_cast<token>(i));
  }
  if (std::isfinite(worst)) pieces.unknown_base = worst;
  out->model = unigram_model(read.tokens, std::move(pieces));
  std::string charsmap;
  if (keys.find(charsmap_key) != nullptr) charsmap = keys.bytes(charsmap_key);
  const std::string file(where);
  out->normalize =
      in_order({precompiled_charsmap(charsmap, charsmap_match::longest, file),
                unigram_blanks(keys.flag_or(add_space_key, false), keys.flag_or(remove_blanks_key, false))});
  out->decoder.each.push_back(decode_metaspace(std::string(visible_blank), false));
  out->decoder.whole.push_back(decode_strip(" ", 1, 0));
  add_ends(keys, {.add_eos = true, .eos = 1}, *out);
  return finished(out, read);
}

/// WordPiece as llama.cpp has it: a word begins with U+2581 in the vocabulary, and may be of any length.
[[nodiscard]] tokenizer wordpiece_tokenizer(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary read = read_vocabulary(keys, where);
  const auto out = std::make_shared<pipeline>();
  out->tokens = read.tokens;
  const bool lower = keys.flag_or(lowercase_key, true);
  out->normalize = gguf_bert_normalizer(lower, keys.flag_or(accents_key, lower));
  out->split = gguf_bert_words(std::string(visible_blank));
  out->model = wordpiece_model(read.tokens, {.unknown = token_of(keys, unknown_key, 100, *read.tokens),
                                             .prefix = "",
                                             .longest_word = std::numeric_limits<std::size_t>::max()});
  add_around(*out, token_of(keys, bos_key, 101, *out->tokens), token_of(keys, separator_key, 102, *out->tokens));
  out->decoder.each.push_back(decode_metaspace(std::string(visible_blank), false));
  out->decoder.whole.push_back(decode_strip(" ", 1, 0));
  return finished(out, read);
}

}  // namespace

tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  const std::string_view model = keys.text(model_key);
  if (model == "gpt2") return merging_tokenizer(keys, keys.text_or(pre_key, "default"), where);
  if (model == "gemma4") return merging_tokenizer(keys, model, where);
  if (model == "llama") return score_tokenizer(keys, where);
  if (model == "t5") return unigram_tokenizer(keys, where);
  if (model == "bert") return wordpiece_tokenizer(keys, where);
  keys.refuse(model_key, "gpt2, llama, bert, t5 or gemma4");
}

}  // namespace engine
