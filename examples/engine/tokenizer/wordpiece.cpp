#include <engine/tokenizer/pipeline.hpp>

#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <utility>

namespace engine {
namespace {

using precis::token;

class wordpieces final : public token_model {
 public:
  wordpieces(shared_vocabulary tokens, wordpiece_rules rules) : tokens_(std::move(tokens)), rules_(std::move(rules)) {
    for (std::size_t id = 0; id < tokens_->names.size(); ++id) {
      const std::string& name = tokens_->names[id];
      longest_ = std::max(longest_, name.size());
      if (name.size() > rules_.prefix.size() && name.starts_with(rules_.prefix))
        later_.emplace(name.substr(rules_.prefix.size()), static_cast<token>(id));
    }
  }

  [[nodiscard]] std::string name(const symbol& s, std::string_view) const override {
    return tokens_->names[static_cast<std::size_t>(s.id)];
  }

 private:
  void encode_word(std::string_view word, std::vector<symbol>& out) const override {
    std::vector<std::size_t> ends;  // of its characters
    for (std::size_t at = 0; at < word.size();) ends.push_back(at += std::max<std::size_t>(utf8_length(word, at), 1));
    const std::size_t before = out.size();
    bool known = ends.size() <= rules_.longest_word;
    for (std::size_t i = 0, begin = 0; known && i < ends.size();) {
      const token_index& pieces = begin == 0 ? tokens_->ids : later_;
      std::size_t last = ends.size();
      for (; last > i; --last) {
        const std::size_t end = ends[last - 1];
        if (end - begin > longest_) continue;
        const auto found = pieces.find(word.substr(begin, end - begin));
        if (found == pieces.end()) continue;
        out.push_back({found->second, begin, end});
        begin = end;
        break;
      }
      known = last > i;
      i = last;
    }
    if (known) return;
    out.resize(before);
    out.push_back({rules_.unknown, 0, word.size()});
  }

  shared_vocabulary tokens_;
  wordpiece_rules rules_;
  token_index later_;  // pieces that continue a word, without the prefix
  std::size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<token_model> wordpiece_model(shared_vocabulary tokens, wordpiece_rules rules) {
  return std::make_unique<wordpieces>(std::move(tokens), std::move(rules));
}

}  // namespace engine
