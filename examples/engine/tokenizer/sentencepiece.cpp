#include <engine/tokenizer/sentencepiece.hpp>

#include <engine/files/messages.hpp>
#include <engine/files/protobuf.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace engine {
namespace {

using precis::token;

constexpr std::string_view escaped_blank = "\xE2\x96\x81";  // U+2581

void read_piece(std::string_view message, sentencepiece_file& to, const std::string& where) {
  std::string name;
  float score = 0;
  std::uint64_t type = 1;
  protobuf_reader fields(message, where);
  while (const auto f = fields.next()) {
    if (f->number == 1) name = f->bytes;
    if (f->number == 2) score = std::bit_cast<float>(static_cast<std::uint32_t>(f->value));
    if (f->number == 3) type = f->value;
  }
  const std::string at = "piece " + std::to_string(to.names.size());
  if (!std::isfinite(score)) refuse_input(where, at + " has a score that is not finite", "finite scores");
  if (name.empty()) refuse_input(where, at + " is empty", "pieces that are text");
  if (type < 1 || type > 6) refuse_input(where, at + " is of type " + std::to_string(type), "a type from 1 to 6");
  if (valid_end(name, 0) != name.size()) refuse_input(where, at + " is not UTF-8", "pieces that are text");
  to.names.push_back(std::move(name));
  to.scores.push_back(score);
  to.types.push_back(static_cast<piece_type>(type));
}

}  // namespace

sentencepiece_file read_sentencepiece(std::string_view bytes, const std::string& where) {
  sentencepiece_file out;
  protobuf_reader model(bytes, where);
  while (const auto f = model.next()) {
    if (f->number > 3 && f->number != 5) continue;  // self tests and extensions
    if (f->type != protobuf_field::kind::bytes) refuse_input(where, "a SentencePiece model without parts", "its parts");
    if (f->number == 1) {
      read_piece(f->bytes, out, where);
      continue;
    }
    protobuf_reader spec(f->bytes, where);
    while (const auto s = spec.next()) {
      if (f->number == 2) {
        if (s->number == 3) out.model_type = s->value;
        if (s->number == 24) out.whitespace_as_suffix = s->value != 0;
        if (s->number == 35) out.byte_fallback = s->value != 0;
      } else if (f->number == 3) {
        if (s->number == 2) out.charsmap = s->bytes;
        if (s->number == 3) out.dummy_prefix = s->value != 0;
        if (s->number == 4) out.remove_extra_blanks = s->value != 0;
        if (s->number == 5) out.escape_blanks = s->value != 0;
      } else if (s->number == 2) {
        out.denormalizes = !s->bytes.empty();
      }
    }
  }
  return out;
}

namespace {

/// Replaces characters by the file's table, removes extra blanks if the file says so, and escapes the rest. Pieces that the
/// user defined are copied.
[[nodiscard]] normalizer normalizer_of_file(const sentencepiece_file& file, byte_trie user_defined,
                                            const std::string& where) {
  const normalizer table = precompiled_charsmap(file.charsmap, charsmap_match::longest, where);
  return [table, user_defined = std::move(user_defined), prefix = file.dummy_prefix, remove = file.remove_extra_blanks](
             const piece& in, aligned_text& out) {
    aligned_text replaced;
    for (std::size_t at = 0; at < in.text.size();) {  // stretches between user-defined pieces
      std::size_t begin = at, end = at;
      while (at < in.text.size() && end == at) {
        user_defined.matches(in.text, at, [&](std::size_t stop, std::int32_t) { end = stop; });
        if (end == at) end = at += std::max<std::size_t>(utf8_length(in.text, at), 1);
      }
      if (end == at) {
        table(in.part(begin, end), replaced);
      } else {
        if (begin < at) table(in.part(begin, at), replaced);
        replaced.copy(in, at, end);
      }
      at = end;
    }
    const piece now = replaced.view(in.continues);
    std::size_t begin = 0, end = now.text.size();
    if (remove) {
      while (begin < end && now.text[begin] == ' ') ++begin;
      while (end > begin && now.text[end - 1] == ' ') --end;
    }
    if (begin == end) return;
    const bool first = in.range(0, 0).begin == 0 && !in.continues;
    if (prefix && first) out.add(escaped_blank, now.range(begin, begin));
    for (std::size_t i = begin; i < end; ++i) {
      if (now.text[i] != ' ') {
        out.copy(now, i, i + 1);
        continue;
      }
      const std::size_t blank = i;
      while (remove && now.text[i + 1] == ' ') ++i;
      out.add(escaped_blank, now.range(blank, i + 1));
    }
  };
}

}  // namespace

tokenizer parse_sentencepiece(std::string_view bytes, const std::string& where) {
  const sentencepiece_file file = read_sentencepiece(bytes, where);
  const auto refuse_setting = [&](const char* what, const char* expected) { refuse_input(where, what, expected); };
  if (file.names.empty()) refuse_setting("no pieces", "a SentencePiece model");
  if (file.model_type != 1 && file.model_type != 2) refuse_setting("a model of words or characters", "Unigram or BPE");
  if (file.whitespace_as_suffix) refuse_setting("treat_whitespace_as_suffix", "blanks before words");
  if (!file.escape_blanks) refuse_setting("escape_whitespaces is false", "true");
  if (file.denormalizes) refuse_setting("a table of replacements after decoding", "none");

  const auto tokens = std::make_shared<vocabulary>();
  const auto out = std::make_shared<pipeline>();
  std::vector<added_token> added;
  std::vector<token> plain, frozen, bytes_of;
  std::vector<std::pair<std::string, std::int32_t>> user_defined;
  std::optional<token> unknown;
  for (std::size_t i = 0; i < file.names.size(); ++i) {
    const auto id = static_cast<token>(i);
    const std::string& name = file.names[i];
    tokens->add(name, i, file.names.size(), where);
    switch (file.types[i]) {
      case piece_type::normal: plain.push_back(id); break;
      case piece_type::user_defined:
        frozen.push_back(id);
        user_defined.emplace_back(name, id);
        break;
      case piece_type::unknown:
        if (unknown) refuse_setting("two unknown pieces", "one");
        unknown = id;
        [[fallthrough]];
      case piece_type::control: added.push_back({.id = id, .content = name, .special = true}); break;
      case piece_type::unused:
      case piece_type::byte: break;
    }
  }
  if (!unknown) refuse_setting("no unknown piece", "one");
  if (file.byte_fallback) {
    for (unsigned b = 0; b < 256; ++b) {
      bytes_of.push_back(tokens->need(byte_token_name(b), where));
      if (file.types[static_cast<std::size_t>(bytes_of.back())] != piece_type::byte)
        refuse_setting("a piece of a byte that is of another type", "type 6");
      out->decoder.fixed.emplace(bytes_of.back(), std::string(1, static_cast<char>(b)));
    }
  }
  for (std::size_t i = 0; i < file.names.size() && file.model_type == 2; ++i) {
    if (file.types[i] != piece_type::unused) continue;
    for (std::size_t cut = 1; cut < file.names[i].size(); ++cut)
      if (tokens->find(std::string_view(file.names[i]).substr(0, cut)) &&
          tokens->find(std::string_view(file.names[i]).substr(cut)))
        refuse_input(where, "the unused piece \"" + file.names[i].substr(0, 60) + "\" that merges can reach",
                     "unused pieces that no text reaches");
  }
  out->tokens = tokens;
  out->normalize = normalizer_of_file(file, byte_trie(user_defined), where);
  if (file.model_type == 2) {
    out->model = score_model(tokens, {.scores = file.scores,
                                      .plain = std::move(plain),
                                      .frozen = std::move(frozen),
                                      .bytes = std::move(bytes_of),
                                      .unknown = *unknown});
  } else {
    unigram_pieces pieces{.scores = {file.scores.begin(), file.scores.end()},
                          .plain = std::move(plain),
                          .unknown = unknown,
                          .byte_fallback = file.byte_fallback,
                          .single_precision = true};
    // As in SentencePiece: a user-defined piece is worth the best score for each of its bytes, or nearly.
    double best = -std::numeric_limits<double>::infinity(), worst = -best;
    for (const token id : pieces.plain) {
      best = std::max(best, pieces.scores[static_cast<std::size_t>(id)]);
      worst = std::min(worst, pieces.scores[static_cast<std::size_t>(id)]);
    }
    pieces.unknown_base = worst;
    for (const token id : frozen) {
      const auto at = static_cast<std::size_t>(id);
      pieces.scores[at] = static_cast<double>(file.names[at].size()) * best - 0.1;
      pieces.plain.push_back(id);
    }
    out->model = unigram_model(tokens, std::move(pieces));
  }
  const bool prefixed = file.dummy_prefix || file.remove_extra_blanks;
  out->decoder.each.push_back(decode_metaspace(std::string(escaped_blank), false));
  if (prefixed) out->decoder.whole.push_back(decode_strip(" ", 1, 0));
  out->keeps_bytes = file.byte_fallback;
  out->add_tokens(std::move(added));
  return tokenizer(out);
}

}  // namespace engine
