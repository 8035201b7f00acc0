#include <engine/tokenizer/pipeline.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <array>
#include <unordered_set>
#include <utility>

namespace engine {
namespace {

using precis::token;

[[nodiscard]] std::uint64_t pair_key(token left, token right) noexcept {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint64_t>(right);
}

[[nodiscard]] std::size_t character_end(std::string_view text, std::size_t at) noexcept {
  return at + std::max<std::size_t>(utf8_length(text, at), 1);
}

[[nodiscard]] std::size_t last_character(std::string_view text) noexcept {
  std::size_t at = text.size() - 1;
  while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

class bpe final : public token_model {
 public:
  bpe(shared_vocabulary tokens, const merge_names& merges, bpe_rules rules, std::string_view where)
      : tokens_(std::move(tokens)),
        rules_(std::move(rules)),
        parts_(rules_.prefix.empty() && rules_.suffix.empty() && !rules_.ignore_merges && !rules_.whole_newlines) {
    if (rules_.byte_fallback) {
      for (unsigned b = 0; b < 256; ++b) byte_tokens_[b] = tokens_->find(byte_token_name(b));
    }
    merges_.reserve(merges.size());
    for (std::size_t rank = 0; rank < merges.size(); ++rank) {
      const auto& [left, right] = merges[rank];
      const auto refuse_merge = [&](const std::string& what, std::string expected) {
        refuse_input(where, "merge " + std::to_string(rank + 1) + ": " + what, std::move(expected));
      };
      const auto known = [&](std::string_view name) {
        const std::optional<token> found = tokens_->find(name);
        if (!found)
          refuse_merge("\"" + std::string(name.substr(0, 60)) + "\" is not in the vocabulary",
                       "merges that match the vocabulary");
        return *found;
      };
      const std::string_view rest =
          right.starts_with(rules_.prefix) ? std::string_view(right).substr(rules_.prefix.size()) : right;
      const token l = known(left), r = known(right), joined = known(left + std::string(rest));
      if (!merges_.emplace(pair_key(l, r), merge{rank, joined}).second)
        refuse_merge("\"" + left.substr(0, 60) + " " + right.substr(0, 60) + "\" occurs twice", "each pair once");
      if (!parts_ || left.empty() || right.empty()) continue;
      const auto last = tokens_->find(left.substr(last_character(left))),
                 first = tokens_->find(right.substr(0, character_end(right, 0)));
      if (last && first) joined_characters_.insert(pair_key(*last, *first));
    }
  }

  [[nodiscard]] std::string name(const symbol& s, std::string_view) const override {
    return tokens_->names[static_cast<std::size_t>(s.id)];
  }

 private:
  void encode_word(std::string_view word, std::vector<symbol>& out) const override {
    if (rules_.ignore_merges || (rules_.whole_newlines && word.find_first_not_of('\n') == std::string_view::npos))
      if (const auto whole = tokens_->find(word)) {
        out.push_back({*whole, 0, word.size()});
        return;
      }
    std::string spelled;
    bool after_unknown = false;
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t end = character_end(word, at);
      std::string_view character = word.substr(at, end - at);
      if (!rules_.prefix.empty() || !rules_.suffix.empty()) {
        spelled = (at == 0 ? "" : rules_.prefix) + std::string(character) + (end == word.size() ? rules_.suffix : "");
        character = spelled;
      }
      const auto found = tokens_->find(character);
      if (found)
        out.push_back({*found, at, end});
      else if (has_bytes(character))
        for (std::size_t i = at; i < end; ++i) out.push_back({*byte_token(word[i]), i, i + 1});
      else if (!rules_.unknown)
        refuse_input("tokenizer", "\"" + std::string(word.substr(at, end - at)) + "\" has no token",
                     "text that the vocabulary covers, because it has no token for unknown text");
      else if (after_unknown && rules_.fuse_unknown)
        out.back().end = end;
      else
        out.push_back({*rules_.unknown, at, end});
      after_unknown = !found && out.back().id == rules_.unknown;
      at = end;
    }
    pair_merger{}(out, [&](const symbol& left, const symbol& right) -> std::optional<joined_pair> {
      const auto pair = merges_.find(pair_key(left.id, right.id));
      if (pair == merges_.end()) return std::nullopt;
      return joined_pair{static_cast<double>(pair->second.rank), pair->second.joined};
    });
  }

  /// A long word is cut between characters that no merge joins: merges on one side do not depend on the other.
  [[nodiscard]] std::size_t part_end(std::string_view word, std::size_t begin) const override {
    constexpr std::size_t short_word = 32;
    if (!parts_ || word.size() - begin <= short_word) return word.size();
    std::optional<token> before;
    for (std::size_t at = begin; at < word.size();) {
      const std::size_t end = character_end(word, at);
      const std::optional<token> here = tokens_->find(word.substr(at, end - at));
      if (before && here && !joined_characters_.contains(pair_key(*before, *here))) return at;
      before = here;
      at = end;
    }
    return word.size();
  }

  [[nodiscard]] std::optional<token> byte_token(char c) const { return byte_tokens_[static_cast<unsigned char>(c)]; }
  [[nodiscard]] bool has_bytes(std::string_view character) const {
    return rules_.byte_fallback && std::ranges::all_of(character, [&](char c) { return byte_token(c).has_value(); });
  }

  struct merge {
    std::size_t rank = 0;
    token joined = 0;
  };
  shared_vocabulary tokens_;
  bpe_rules rules_;
  bool parts_;
  std::array<std::optional<token>, 256> byte_tokens_;
  std::unordered_map<std::uint64_t, merge> merges_;
  std::unordered_set<std::uint64_t> joined_characters_;  // pairs of characters that some merge joins
};

class score_bpe_model final : public token_model {
 public:
  score_bpe_model(shared_vocabulary tokens, scored_pieces pieces)
      : tokens_(std::move(tokens)), pieces_(std::move(pieces)) {
    std::vector<std::pair<std::string, std::int32_t>> frozen;
    for (const token id : pieces_.frozen) frozen.emplace_back(tokens_->names[static_cast<std::size_t>(id)], id);
    frozen_ = byte_trie(std::move(frozen));
    is_frozen_.insert(pieces_.frozen.begin(), pieces_.frozen.end());
    std::vector<token> all = pieces_.plain;
    all.insert(all.end(), pieces_.frozen.begin(), pieces_.frozen.end());
    for (const token id : all) {
      const std::string& name = tokens_->names[static_cast<std::size_t>(id)];
      const bool is_plain = !is_frozen_.contains(id);
      if (is_plain && !find_.emplace(name, id).second) continue;
      longest_ = std::max(longest_, name.size());
      for (std::size_t at = 0; at < name.size();) {
        const std::size_t middle = character_end(name, at);
        if (middle < name.size()) joined_.emplace(name.substr(at, character_end(name, middle) - at));
        at = middle;
      }
    }
  }

  [[nodiscard]] std::string name(const symbol& s, std::string_view) const override {
    return tokens_->names[static_cast<std::size_t>(s.id)];
  }

 private:
  static constexpr token none = -1;

  void encode_word(std::string_view word, std::vector<symbol>& out) const override {
    std::vector<symbol> symbols;
    const auto find = [&](std::size_t begin, std::size_t end) {
      const auto found = find_.find(word.substr(begin, end - begin));
      return found == find_.end() ? none : found->second;
    };
    const auto is_frozen = [&](const symbol& s) { return is_frozen_.contains(s.id); };
    for (std::size_t at = 0; at < word.size();) {
      std::size_t end = at;
      token id = none;
      frozen_.matches(word, at, [&](std::size_t stop, token which) {
        end = stop;
        id = which;
      });
      if (id == none) id = find(at, end = character_end(word, at));
      symbols.push_back({id, at, end});
      at = end;
    }
    pair_merger{}(symbols, [&](const symbol& left, const symbol& right) -> std::optional<joined_pair> {
      if (right.end - left.begin > longest_ || is_frozen(left) || is_frozen(right)) return std::nullopt;
      const token id = find(left.begin, right.end);
      if (id == none) return std::nullopt;
      return joined_pair{-static_cast<double>(pieces_.scores[static_cast<std::size_t>(id)]), id};
    });
    bool after_unknown = false;
    for (const symbol& s : symbols) {
      const bool unknown = s.id == none && pieces_.bytes.empty();
      if (s.id != none)
        out.push_back(s);
      else if (!unknown)
        for (std::size_t i = s.begin; i < s.end; ++i)
          out.push_back({pieces_.bytes[static_cast<unsigned char>(word[i])], i, i + 1});
      else if (after_unknown)
        out.back().end = s.end;
      else
        out.push_back({pieces_.unknown, s.begin, s.end});
      after_unknown = unknown;
    }
  }

  [[nodiscard]] std::size_t part_end(std::string_view word, std::size_t begin) const override {
    for (std::size_t at = begin; at < word.size();) {
      const std::size_t middle = character_end(word, at);
      if (middle >= word.size()) break;
      const std::size_t end = character_end(word, middle);
      const bool known =
          find_.contains(word.substr(at, middle - at)) && find_.contains(word.substr(middle, end - middle));
      if (known && !joined_.contains(word.substr(at, end - at))) return middle;
      at = middle;
    }
    return word.size();
  }

  shared_vocabulary tokens_;
  scored_pieces pieces_;
  token_index find_;
  std::unordered_set<std::string, text_hash, std::equal_to<>> joined_;  // pairs of characters inside a piece
  byte_trie frozen_;
  std::unordered_set<token> is_frozen_;
  std::size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<token_model> bpe_model(shared_vocabulary tokens, const merge_names& merges, bpe_rules rules,
                                       std::string_view where) {
  return std::make_unique<bpe>(std::move(tokens), merges, std::move(rules), where);
}

std::unique_ptr<token_model> score_model(shared_vocabulary tokens, scored_pieces pieces) {
  return std::make_unique<score_bpe_model>(std::move(tokens), std::move(pieces));
}

}  // namespace engine
