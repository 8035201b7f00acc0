#include <engine/tokenizer/gguf_patterns.hpp>
#include <engine/tokenizer/gguf_vocabulary.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_set>
#include <utility>

namespace engine {

using precis::token;

std::span<const std::string_view> probe_texts() {
  static constexpr std::string_view texts[] = {
      "The quick brown fox; it's 12 o'clock, isn't it? I'LL GO.",
      "In 1999 12345678 + 3.14159 = x1y22z333, #4444!",
      "  two  blanks   three\ttab\n\nline\r\n  indented\n",
      "camelCaseWORDSMixed HTTPServer ABCdef",
      "f(x)[0] = {\"key\": 'value'}; // comment/\n/* more */ ~`^|<>$+ a_b__c -- ... ?!",
      " leading and trailing  ",
      "don't we're they've I'm he'd you'll DON'T WE'RE",
      "caf\xC3\xA9 na\xC3\xAFve \xC3\x9C"
      "ber stra\xC3\x9F"
      "e",
      "\xE4\xB8\xAD\xE6\x96\x87\xE5\xAD\x97"
      "abc \xE3\x81\x8B\xE3\x82\xAB\xE3\x83\x8A",
      "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82 \xD0\x9C\xD0\x98\xD0\xA0"};
  return texts;
}

std::span<const std::string_view> rare_texts() {
  static constexpr std::string_view texts[] = {
      "e\xCC\x81 a\xCC\x80z",                                          // NFC
      "\xD0\x9F\xD1\x80\xD0\x9C\xD0\xB8",                              // capitals inside a word
      "\xE0\xA4\xB9\xE0\xA4\xBF\xE0\xA4\x82\xE0\xA4\xA6\xE0\xA5\x80",  // marks inside a word
      "a\x0C"
      "b",  // white space, or a control character
      "b\xC2\x85"
      "c",
      "\xEA\xB0\x80\xEB\x82\x98"};  // syllables that decompose
  return texts;
}

namespace {

[[nodiscard]] std::vector<std::string> words_of(const pre_tokenizer& split, std::string_view text) {
  std::vector<std::string> words;
  split({.text = text}, [&](const piece& p) { words.emplace_back(p.text); });
  return words;
}

/// The merges join the characters of every token to that token, so that it makes no difference whether words are looked up
/// first.
[[nodiscard]] bool merges_reach_all(const tokenizer& loaded, const std::vector<std::string>& merges,
                                    const std::string& where) {
  const pipeline& p = loaded.stages();
  merge_names pairs;
  for (const std::string& merge : merges)
    pairs.emplace_back(merge.substr(0, merge.find(' ')), merge.substr(merge.find(' ') + 1));
  const std::unique_ptr<token_model> model = bpe_model(p.tokens, pairs, {}, where);
  std::unordered_set<token> added;
  for (const added_token& t : p.added) added.insert(t.id);
  for (std::size_t i = 0; i < p.tokens->names.size(); ++i) {
    const std::string& name = p.tokens->names[i];
    if (name.empty() || added.contains(static_cast<token>(i))) continue;
    word_cache known;
    std::vector<symbol> symbols;
    model->encode(name, known, symbols);
    if (symbols.size() != 1) return false;
  }
  return true;
}

}  // namespace

std::string splitter_of(const tokenizer& loaded, const std::vector<std::string>& merges, bool ignore_merges,
                        const std::string& where) {
  const pre_tokenizer& split = loaded.stages().split;
  const gguf_splitter* best = nullptr;
  std::pair<std::size_t, std::size_t> fewest{std::numeric_limits<std::size_t>::max(), 0};
  std::string_view other;
  for (const bool same : {true, false}) {
    if (!same && (fewest.first == 0 || !merges_reach_all(loaded, merges, where))) break;
    for (const gguf_splitter& s : gguf_splitters()) {
      if (s.raw_text || (s.ignore_merges == ignore_merges) != same) continue;
      std::vector<pre_tokenizer> stages;
      for (const std::string_view expression : s.patterns)
        stages.push_back(split_at(pattern(pattern::kind::expression, expression, where), delimiter::isolated, false));
      stages.push_back(byte_level(false, false));
      const pre_tokenizer candidate = in_order(std::move(stages));
      const auto differs = [&](std::string_view text) { return words_of(candidate, text) != words_of(split, text); };
      const auto common = std::ranges::find_if(probe_texts(), differs);
      const std::pair differences{static_cast<std::size_t>(std::ranges::count_if(probe_texts(), differs)),
                                  static_cast<std::size_t>(std::ranges::count_if(rare_texts(), differs))};
      if (differences >= fewest) continue;
      best = &s;
      fewest = differences;
      if (common != probe_texts().end()) other = *common;
    }
  }
  if (fewest.first != 0)
    refuse_input(where,
                 "a pre-tokenizer that splits texts such as \"" + std::string(other) +
                     "\" unlike each that GGUF has a name for; the nearest is " +
                     std::string(best == nullptr ? "none" : best->names.front()),
                 "one of " + gguf_splitter_names());
  return std::string(best->names.front());
}

}  // namespace engine
