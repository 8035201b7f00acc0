#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <algorithm>
#include <utility>

namespace engine {

using precis::token;

tokenizer wordpiece(std::string_view vocab_txt, const wordpiece_settings& settings, std::string_view name) {
  const auto tokens = std::make_shared<vocabulary>();
  while (!vocab_txt.empty()) {
    const std::size_t stop = std::min(vocab_txt.find('\n'), vocab_txt.size());
    std::string_view line = vocab_txt.substr(0, stop);
    vocab_txt.remove_prefix(std::min(stop + 1, vocab_txt.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::size_t id = tokens->names.size();
    const std::string at = "line " + std::to_string(id + 1);
    if (line.empty()) refuse_input(name, at + " is empty", "one token per line");
    if (tokens->find(line))
      refuse_input(name, at + ": \"" + std::string(line.substr(0, 60)) + "\" occurs twice", "each token once");
    tokens->add(std::string(line), id, id, name);
  }
  const auto need = [&](std::string_view special) {
    const std::optional<token> found = tokens->find(special);
    if (!found)
      refuse_input(name, "no token " + std::string(special) + " among " + std::to_string(tokens->names.size()),
                   "a WordPiece vocabulary with [UNK], [CLS] and [SEP]");
    return *found;
  };
  const token unknown = need("[UNK]"), begin = need("[CLS]"), end = need("[SEP]");

  const auto out = std::make_shared<pipeline>();
  std::vector<added_token> added = settings.added;
  for (const char* const special : {"[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"})
    if (tokens->find(special) && std::ranges::find(added, special, &added_token::content) == added.end())
      added.push_back({.id = *tokens->find(special), .content = special, .special = true});
  out->tokens = with_added(tokens, added, name);
  out->model = wordpiece_model(tokens, {.unknown = unknown});
  out->bert = {.clean_text = true,
               .space_ideographs = settings.space_ideographs,
               .strip_accents = settings.strip_accents,
               .lowercase = settings.lowercase};
  out->normalize = bert_normalizer(*out->bert);
  out->split = bert_words();
  out->single = {{{}, {begin}, 0}, {0u, {}, 0}, {{}, {end}, 0}};
  out->pair = {{{}, {begin}, 0}, {0u, {}, 0}, {{}, {end}, 0}, {1u, {}, 1}, {{}, {end}, 1}};
  out->decoder.each.push_back(decode_wordpiece("##", false));
  out->add_tokens(std::move(added));
  return tokenizer(out);
}

}  // namespace engine
