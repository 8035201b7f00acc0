#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/unicode.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <utility>

namespace engine {
namespace {

/// The character that ends at `end`, and its first byte; nothing if there is no valid one.
[[nodiscard]] std::optional<std::pair<char32_t, std::size_t>> character_before(std::string_view text, std::size_t end) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(end, 4); ++length) {
    const std::size_t at = end - length;
    if (utf8_length(text.substr(0, end), at) == length) return std::pair{utf8_decode(text, at, length), at};
  }
  return std::nullopt;
}

[[nodiscard]] std::size_t blanks_before(std::string_view text, std::size_t end) {
  for (auto c = character_before(text, end); c && is_white_space(c->first); c = character_before(text, end))
    end = c->second;
  return end;
}

[[nodiscard]] std::size_t blanks_after(std::string_view text, std::size_t at) {
  while (at < text.size()) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0 || !is_white_space(utf8_decode(text, at, length))) break;
    at += length;
  }
  return at;
}

[[nodiscard]] bool is_inside_word(std::string_view text, std::size_t begin, std::size_t end) {
  if (const auto before = character_before(text, begin); before && is_word_character(before->first)) return true;
  const std::size_t length = end < text.size() ? utf8_length(text, end) : 0;
  return length != 0 && is_word_character(utf8_decode(text, end, length));
}

}  // namespace

token_finder::token_finder(std::vector<std::pair<std::string, added_token>> patterns, token_order order)
    : order_(order) {
  std::vector<std::pair<std::string, std::int32_t>> keys;
  for (auto& [text, token] : patterns) {
    keys.emplace_back(std::move(text), static_cast<std::int32_t>(tokens_.size()));
    tokens_.push_back(std::move(token));
  }
  trie_ = byte_trie(std::move(keys));
}

void token_finder::operator()(std::string_view text, special_tokens how,
                              const std::function<void(const added_token*, std::size_t, std::size_t)>& use) const {
  if (order_ == token_order::longest_first) return longest_first(text, how, use);
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const added_token* token = nullptr;
    std::size_t begin = at, end = at + 1;
    trie_.matches(text, at, [&](std::size_t stop, std::int32_t which) {
      token = &tokens_[static_cast<std::size_t>(which)];
      end = stop;
    });
    at = end;  // also after a match that does not count: what it covers is not searched again
    if (token == nullptr || (token->special && how == special_tokens::plain)) continue;
    if (token->single_word && is_inside_word(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(blanks_before(text, begin), done);
    if (token->rstrip) end = blanks_after(text, end);
    if (begin > done) use(nullptr, done, begin);
    use(token, begin, end);  // may overlap the white space that a token before it took
    done = end;
  }
  if (done < text.size()) use(nullptr, done, text.size());
}

void token_finder::longest_first(std::string_view text, special_tokens how,
                                 const std::function<void(const added_token*, std::size_t, std::size_t)>& use) const {
  struct match {
    std::size_t begin = 0, end = 0, which = 0;
  };
  std::vector<match> found;
  for (std::size_t at = 0; at < text.size(); ++at)
    trie_.matches(text, at, [&](std::size_t stop, std::int32_t which) {
      const auto token = static_cast<std::size_t>(which);
      if (!tokens_[token].special || how == special_tokens::parsed) found.push_back({at, stop, token});
    });
  std::ranges::sort(found, [](const match& a, const match& b) {
    const std::size_t first = a.end - a.begin, second = b.end - b.begin;
    return first != second ? first > second : a.which != b.which ? a.which < b.which : a.begin < b.begin;
  });
  std::vector<bool> taken(text.size());
  std::vector<match> kept;
  for (match m : found) {
    bool free = true;
    for (std::size_t i = m.begin; i < m.end; ++i) free = free && !taken[i];
    if (!free) continue;
    const added_token& token = tokens_[m.which];
    if (token.lstrip) {
      const std::size_t first = blanks_before(text, m.begin);
      while (m.begin > first && !taken[m.begin - 1]) --m.begin;
    }
    if (token.rstrip) {
      const std::size_t last = blanks_after(text, m.end);
      while (m.end < last && !taken[m.end]) ++m.end;
    }
    std::fill(taken.begin() + static_cast<std::ptrdiff_t>(m.begin), taken.begin() + static_cast<std::ptrdiff_t>(m.end),
              true);
    kept.push_back(m);
  }
  std::ranges::sort(kept, {}, &match::begin);
  std::size_t done = 0;
  for (const match& m : kept) {
    if (m.begin > done) use(nullptr, done, m.begin);
    use(&tokens_[m.which], m.begin, m.end);
    done = m.end;
  }
  if (done < text.size()) use(nullptr, done, text.size());
}

void pipeline::add_tokens(std::vector<added_token> found) {
  special.clear();
  normalized_names.clear();
  added = std::move(found);
  for (const added_token& t : added)
    if (t.special) special.insert(t.id);
  std::vector<std::pair<std::string, added_token>> before, after;
  for (const bool first : {true, false})  // of equal patterns the first counts
    for (const added_token& t : added) {
      if (t.special != first) continue;
      if (!t.normalized) {
        before.emplace_back(t.content, t);
        continue;
      }
      std::string content = t.content;
      if (normalize) {
        aligned_text normal;
        normalize({t.content}, normal);
        content = normal.text();
      }
      if (content != t.content) normalized_names.emplace(t.id, content);
      after.emplace_back(std::move(content), t);
    }
  raw = token_finder(std::move(before), find_order);
  after_normalizer = token_finder(std::move(after), find_order);
}

}  // namespace engine
