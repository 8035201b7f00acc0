#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <limits>

namespace engine {
namespace {

using precis::token;

/// The text with each byte that is not valid UTF-8 as U+FFFD.
[[nodiscard]] aligned_text without_invalid_bytes(std::string_view text) {
  aligned_text out;
  const piece all{text};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = valid_end(text, at);
    out.copy(all, at, end);
    at = end;
    if (at < text.size()) {
      out.add("\xEF\xBF\xBD", all.range(at, at + 1));
      ++at;
    }
  }
  return out;
}

/// One text on its way through a pipeline.
class encoding {
 public:
  encoding(const pipeline& stages, special_tokens how, std::vector<token_span>& out, std::vector<std::string>* names)
      : stages_(stages), how_(how), out_(out), names_(names) {}

  void operator()(std::string_view text, bool continues) {
    if (text.size() >= std::numeric_limits<std::uint32_t>::max())
      refuse_input("tokenizer", "a text of " + std::to_string(text.size()) + " bytes", "less than 4 GiB");
    aligned_text valid;
    piece all{text};
    if (!stages_.keeps_bytes && valid_end(text, 0) != text.size()) {
      valid = without_invalid_bytes(text);
      all = valid.view(false);
    }
    all.continues = continues;
    find(stages_.raw, all, [&](const piece& section) {
      if (!stages_.normalize) return find(stages_.after_normalizer, section, [&](const piece& p) { split(p); });
      aligned_text normalized;
      stages_.normalize(section, normalized);
      find(stages_.after_normalizer, normalized.view(section.continues), [&](const piece& p) { split(p); });
    });
  }

 private:
  template<class Rest>
  void find(const token_finder& finder, const piece& in, const Rest& rest) {
    if (in.text.empty()) return;
    if (finder.empty()) return rest(in);
    finder(in.text, how_, [&](const added_token* found, std::size_t begin, std::size_t end) {
      if (found == nullptr) return rest(in.part(begin, end));
      const byte_range range = in.range(begin, end);
      put(found->id, range);
      if (names_ != nullptr) names_->emplace_back(in.text.substr(begin, end - begin));
    });
  }

  void split(const piece& in) {
    if (!stages_.split) return encode(in);
    stages_.split(in, [&](const piece& p) {
      if (!p.text.empty()) encode(p);
    });
  }

  void encode(const piece& word) {
    symbols_.clear();
    stages_.model->encode(word.text, known_, symbols_);
    for (const symbol& s : symbols_) {
      put(s.id, word.range(s.begin, s.end));
      if (names_ != nullptr) names_->push_back(stages_.model->name(s, word.text.substr(s.begin, s.end - s.begin)));
    }
  }

  void put(token id, byte_range range) { out_.push_back({id, range.begin, range.end}); }

  const pipeline& stages_;
  special_tokens how_;
  std::vector<token_span>& out_;
  std::vector<std::string>* names_;
  word_cache known_;
  std::vector<symbol> symbols_;
};

void encode_document(const pipeline& stages, std::string_view text, start position, special_tokens how,
                     std::vector<token_span>& out, std::vector<std::string>* names) {
  out.reserve(text.size() / 3);
  bool after_text = false;
  for (const template_part& part : stages.single) {
    if (part.sequence) {
      encoding(stages, how, out, names)(text, position == start::middle);
      after_text = true;
    } else if (position == start::document) {
      const std::size_t at = after_text ? text.size() : 0;
      for (const token id : part.ids) {
        out.push_back({id, at, at});
        if (names != nullptr) names->push_back(stages.tokens->names[static_cast<std::size_t>(id)]);
      }
    }
  }
}

}  // namespace

const pipeline& tokenizer::stages() const {
  if (!stages_)
    refuse_input("tokenizer", "the model has no tokenizer",
                 "tokenizer.json, vocab.json and merges.txt, vocab.txt, or tokenizer.bin in the model's folder");
  return *stages_;
}

std::size_t tokenizer::size() const { return stages().tokens->names.size(); }

std::vector<token_span> tokenizer::encode_with_offsets(std::string_view text, start position) const {
  std::vector<token_span> tokens;
  encode_document(stages(), text, position, in_text, tokens, nullptr);
  return tokens;
}

std::vector<token> tokenizer::encode(std::string_view text, start position) const {
  const std::vector<token_span> spans = encode_with_offsets(text, position);
  std::vector<token> ids;
  ids.reserve(spans.size());
  for (const token_span& s : spans) ids.push_back(s.id);
  return ids;
}

std::vector<std::string> tokenizer::pieces(std::string_view text, start position) const {
  std::vector<token_span> tokens;
  std::vector<std::string> names;
  encode_document(stages(), text, position, in_text, tokens, &names);
  return names;
}

tokenizer::encoded_pair tokenizer::encode_pair(std::string_view text, std::string_view second) const {
  encoded_pair out;
  for (const template_part& part : stages().pair) {
    std::vector<token> ids = part.ids;
    if (part.sequence) ids = encode(*part.sequence == 0 ? text : second, start::text);
    out.ids.insert(out.ids.end(), ids.begin(), ids.end());
    out.types.resize(out.ids.size(), part.type_id);
  }
  return out;
}

const std::string& tokenizer::name_of(token id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= size())
    refuse_input("tokenizer", "token " + std::to_string(id), "0 to " + std::to_string(size() - 1));
  return stages().tokens->names[static_cast<std::size_t>(id)];
}

namespace {

[[nodiscard]] std::string decoded(const pipeline& p, token id, bool first) {
  const token_decoder& d = p.decoder;
  if (const auto text = d.fixed.find(id); text != d.fixed.end()) return text->second;
  const auto normal = p.normalized_names.find(id);
  std::string text =
      normal != p.normalized_names.end() ? normal->second : p.tokens->names[static_cast<std::size_t>(id)];
  for (const decoder_step& step : d.each) text = step(std::move(text), first);
  return text;
}

}  // namespace

std::string tokenizer::text_of(token id) const {
  (void)name_of(id);  // refuses an id out of range
  return decoded(stages(), id, false);
}

std::string tokenizer::decode(std::span<const token> ids, special_text how) const {
  const token_decoder& d = stages().decoder;
  std::string text;
  bool first = !d.first_after, begun = false;
  for (const token id : ids) {
    const std::string& name = name_of(id);
    const bool dropped = how == special_text::dropped && stages().special.contains(id);
    if (!dropped && !name.empty()) {
      if (begun) text += d.separator;
      text += decoded(stages(), id, first);
      begun = true;
      first = false;
    }
    if (d.first_after) first = id == *d.first_after;
  }
  for (const decoder_step& step : d.whole) text = step(std::move(text), true);
  return text;
}

tokenizer tokenizer::limited_to(std::size_t tokens) const {
  const auto out = std::make_shared<pipeline>(stages());
  const auto all = std::make_shared<vocabulary>(*out->tokens);
  const auto is_above = [&](const added_token& t) { return static_cast<std::size_t>(t.id) >= tokens; };
  std::vector<added_token> kept;
  for (const added_token& t : out->added) {
    if (!is_above(t)) {
      kept.push_back(t);
      continue;
    }
    all->names[static_cast<std::size_t>(t.id)].clear();
    all->ids.erase(t.content);
  }
  while (all->names.size() > tokens && all->names.back().empty()) all->names.pop_back();
  out->tokens = all;
  out->add_tokens(std::move(kept));
  tokenizer limited = *this;
  limited.stages_ = out;
  return limited;
}

std::pair<std::size_t, std::size_t> tokens_covering(std::span<const token_span> spans, std::size_t first_byte,
                                                    std::size_t end_byte) {
  std::size_t first = 0;
  while (first < spans.size() && spans[first].end_byte <= first_byte) ++first;
  std::size_t last = first;
  while (last < spans.size() && spans[last].first_byte < end_byte) ++last;
  return {first, last};
}

}  // namespace engine
