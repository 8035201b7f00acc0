#include <engine/tokenizer/pipeline.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <limits>
#include <utility>

namespace engine {
namespace {

using precis::token;

class unigram final : public token_model {
 public:
  unigram(shared_vocabulary tokens, unigram_pieces pieces) : tokens_(std::move(tokens)), pieces_(std::move(pieces)) {
    std::vector<std::pair<std::string, std::int32_t>> keys;
    double smallest = std::numeric_limits<double>::infinity();
    for (const token id : pieces_.plain) {
      keys.emplace_back(tokens_->names[static_cast<std::size_t>(id)], id);
      smallest = std::min(smallest, score(id));
    }
    trie_ = byte_trie(std::move(keys));
    constexpr double penalty = 10;  // SentencePiece's
    unknown_score_ = pieces_.unknown_base.value_or(smallest) - penalty;
  }

  [[nodiscard]] std::string name(const symbol& s, std::string_view text) const override {
    return s.id == pieces_.unknown ? std::string(text) : tokens_->names[static_cast<std::size_t>(s.id)];
  }

 private:
  [[nodiscard]] double score(token id) const { return pieces_.scores[static_cast<std::size_t>(id)]; }

  void encode_word(std::string_view word, std::vector<symbol>& out) const override {
    constexpr std::size_t none = ~std::size_t{0};
    struct node {
      double score = 0;
      std::size_t begin = none;  // of the last token of the best segmentation that ends here
      token id = 0;
    };
    constexpr token unknown = -1;
    std::vector<node> best(word.size() + 1);
    const auto offer = [&](std::size_t begin, std::size_t end, token id, double value) {
      double sum = best[begin].score + value;
      if (pieces_.single_precision) sum = static_cast<double>(static_cast<float>(sum));
      if (best[end].begin == none || sum > best[end].score) best[end] = {sum, begin, id};
    };
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t next = at + std::max<std::size_t>(utf8_length(word, at), 1);
      bool whole = false;  // the character is a token
      trie_.matches(word, at, [&](std::size_t end, token id) {
        offer(at, end, id, score(id));
        whole = whole || end == next;
      });
      if (!whole) offer(at, next, unknown, unknown_score_);
      at = next;
    }
    std::vector<symbol> backwards;
    for (std::size_t end = word.size(); end > 0; end = best[end].begin) {
      const node& n = best[end];
      const bool is_unknown = n.id == unknown || n.id == pieces_.unknown;
      if (is_unknown && !backwards.empty() && backwards.back().id == unknown)
        backwards.back().begin = n.begin;
      else
        backwards.push_back({is_unknown ? unknown : n.id, n.begin, end});
    }
    for (std::size_t i = backwards.size(); i > 0; --i) add(word, backwards[i - 1], out);
  }

  void add(std::string_view word, const symbol& s, std::vector<symbol>& out) const {
    if (s.id >= 0) return out.push_back(s);
    if (const auto same = pieces_.single_precision || !pieces_.unknown_by_name
                              ? std::nullopt
                              : tokens_->find(word.substr(s.begin, s.end - s.begin)))
      return out.push_back({*same, s.begin, s.end});
    if (pieces_.byte_fallback) {
      const std::size_t before = out.size();
      for (std::size_t i = s.begin; i < s.end; ++i) {
        const auto byte = tokens_->find(byte_token_name(static_cast<unsigned char>(word[i])));
        if (!byte) break;
        out.push_back({*byte, i, i + 1});
      }
      if (out.size() == before + s.end - s.begin) return;
      out.resize(before);
    }
    if (!pieces_.unknown)
      refuse_input("tokenizer", "\"" + std::string(word.substr(s.begin, s.end - s.begin)) + "\" has no token",
                   "text that the vocabulary covers, because it has no token for unknown text");
    out.push_back({*pieces_.unknown, s.begin, s.end});
  }

  shared_vocabulary tokens_;
  unigram_pieces pieces_;
  byte_trie trie_;
  double unknown_score_ = 0;
};

}  // namespace

std::unique_ptr<token_model> unigram_model(shared_vocabulary tokens, unigram_pieces pieces) {
  return std::make_unique<unigram>(std::move(tokens), std::move(pieces));
}

}  // namespace engine
