#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <limits>

namespace engine {
namespace {

using precis::token;

constexpr std::size_t longest_word = 100;  ///< characters; longer words become [UNK]

/// A normalized word, and the position of each of its characters in the original text.
struct word {
  struct character {
    std::size_t at = 0;              ///< first byte in `text`
    std::size_t begin = 0, end = 0;  ///< bytes of the original
  };
  std::string text;
  std::vector<character> characters;

  void add(char32_t point, std::size_t begin, std::size_t end) {
    characters.push_back({text.size(), begin, end});
    text += utf8_encode(point);
  }
  void clear() {
    text.clear();
    characters.clear();
  }
};

}  // namespace

wordpiece::wordpiece(std::string_view vocab_txt, letters how, std::string_view name) : how_(how) {
  while (!vocab_txt.empty()) {
    const std::size_t stop = std::min(vocab_txt.find('\n'), vocab_txt.size());
    std::string_view line = vocab_txt.substr(0, stop);
    vocab_txt.remove_prefix(std::min(stop + 1, vocab_txt.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string at = "line " + std::to_string(names_.size() + 1);
    if (line.empty()) refuse_input(name, at + " is empty", "one token per line");
    if (names_.size() == static_cast<std::size_t>(std::numeric_limits<token>::max()))
      refuse_input(name, "too many tokens", "fewer than 2^31");
    const bool later = line.size() > 2 && line.starts_with("##");
    const std::string_view piece = later ? line.substr(2) : line;
    if (!(later ? later_ : first_).emplace(piece, static_cast<token>(names_.size())).second)
      refuse_input(name, at + ": \"" + std::string(line.substr(0, 60)) + "\" occurs twice", "each token once");
    longest_ = std::max(longest_, piece.size());
    names_.emplace_back(line);
  }
  for (const auto& [special, id] : {std::pair{"[UNK]", &unknown_}, {"[CLS]", &begin_}, {"[SEP]", &end_}}) {
    const auto found = first_.find(std::string_view(special));
    if (found == first_.end())
      refuse_input(name, "no token " + std::string(special) + " among " + std::to_string(names_.size()),
                   "a WordPiece vocabulary with [UNK], [CLS] and [SEP]");
    *id = found->second;
  }
}

std::vector<token_span> wordpiece::encode_with_offsets(std::string_view text, start position) const {
  std::vector<token_span> tokens;
  if (position == start::document) tokens.push_back({begin_, 0, 0});

  word w;
  const auto finish = [&] {
    const std::vector<word::character>& c = w.characters;
    const std::size_t kept = tokens.size();
    const auto text_at = [&](std::size_t i) { return i < c.size() ? c[i].at : w.text.size(); };
    bool known = c.size() <= longest_word;
    for (std::size_t i = 0; known && i < c.size();) {
      const token_index& pieces = i == 0 ? first_ : later_;
      std::size_t end = c.size();
      auto found = pieces.end();
      for (; end > i; --end) {
        const std::size_t bytes = text_at(end) - c[i].at;
        if (bytes > longest_) continue;
        found = pieces.find(std::string_view(w.text).substr(c[i].at, bytes));
        if (found != pieces.end()) break;
      }
      known = end > i;
      if (known) tokens.push_back({found->second, c[i].begin, c[end - 1].end});
      i = end;
    }
    if (!known) {
      tokens.resize(kept);
      tokens.push_back({unknown_, c.front().begin, c.back().end});
    }
    w.clear();
  };
  const auto end_word = [&] {
    if (!w.characters.empty()) finish();
  };
  /// Adds a character to the current word, or as a word by itself.
  const auto take = [&](char32_t point, std::size_t begin, std::size_t end) {
    const bool is_punctuation = class_of(point) == character_class::punctuation;
    if (is_punctuation) end_word();
    w.add(point, begin, end);
    if (is_punctuation) end_word();
  };

  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at), begin = at;
    at += std::max<std::size_t>(length, 1);
    if (length == 0) continue;
    const char32_t point = utf8_decode(text, begin, length);
    const character_class kind = class_of(point);
    if (kind == character_class::control || point == 0xFFFD) continue;
    if (kind == character_class::blank) {
      end_word();
      continue;
    }
    const bool ideograph = is_ideograph(point);
    if (ideograph) end_word();
    if (how_ == letters::uncased) {
      const folded f = fold(point);
      for (unsigned i = 0; i < f.count; ++i) take(f.points[i], begin, at);
    } else {
      take(point, begin, at);
    }
    if (ideograph) end_word();
  }
  end_word();
  if (position == start::document) tokens.push_back({end_, text.size(), text.size()});
  return tokens;
}

std::string wordpiece::text_of(token id) const {
  const std::string& name = names_[static_cast<std::size_t>(id)];
  return name.size() > 2 && name.starts_with("##") ? name.substr(2) : " " + name;
}

}  // namespace engine
