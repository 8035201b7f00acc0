#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>

namespace engine {
namespace {

using precis::token;

[[nodiscard]] shared_vocabulary read_vocab_json(std::string_view file, std::string_view name) {
  const json vocab = parse_json(file, name);
  if (!vocab.is_object() || vocab.empty()) refuse_input(name, type_of(vocab), "an object of tokens and their ids");
  const auto tokens = std::make_shared<vocabulary>();
  const std::size_t count = vocab.size();
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<std::size_t>() >= count)
      refuse_input(name, "token \"" + text + "\" has " + type_of(id) + " as its id",
                   "0 to " + std::to_string(count - 1) + " for " + std::to_string(count) + " tokens");
    tokens->add(text, id.get<std::size_t>(), count, name);
  }
  for (unsigned b = 0; b < 256; ++b)
    if (const std::string& character = character_of_byte(static_cast<unsigned char>(b)); !tokens->find(character))
      refuse_input(name, "byte " + std::to_string(b) + " has no token", "\"" + character + "\" among the tokens");
  return tokens;
}

[[nodiscard]] merge_names read_merges_txt(std::string_view text, std::string_view name, const vocabulary& tokens) {
  merge_names merges;
  std::size_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t stop = text.find('\n');
    std::string_view line = text.substr(0, stop);
    text = stop == std::string_view::npos ? std::string_view{} : text.substr(stop + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;  // later lines may begin with '#'
    const auto refuse_line = [&](const std::string& what, std::string expected) {
      refuse_input(name, "line " + std::to_string(number) + ": " + what, std::move(expected));
    };
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos || blank == 0 || blank + 1 == line.size() ||
        line.find(' ', blank + 1) != std::string_view::npos)
      refuse_line("\"" + std::string(line.substr(0, 60)) + "\"", "two tokens separated by one blank");
    merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
    for (const std::string& part :
         {merges.back().first, merges.back().second, merges.back().first + merges.back().second})
      if (!tokens.find(part))
        refuse_line("\"" + part.substr(0, 60) + "\" is not in the vocabulary", "merges that match the vocabulary");
  }
  return merges;
}

}  // namespace

tokenizer byte_bpe(std::string_view vocab_json, std::string_view merges_txt, std::string_view vocab_name,
                   std::string_view merges_name, const byte_bpe_settings& settings) {
  const shared_vocabulary tokens = read_vocab_json(vocab_json, vocab_name);
  const auto out = std::make_shared<pipeline>();
  std::vector<added_token> added = settings.added;
  for (const char* const name : {"<|endoftext|>"})
    if (tokens->find(name) && std::ranges::find(added, name, &added_token::content) == added.end())
      added.push_back({.id = *tokens->find(name), .content = name, .special = true});
  out->tokens = with_added(tokens, added, vocab_name);
  out->model = bpe_model(tokens, read_merges_txt(merges_txt, merges_name, *tokens), {}, merges_name);
  out->split = byte_level(settings.add_prefix_space, true);
  out->prefix_space = settings.add_prefix_space;
  out->decoder.each.push_back(decode_bytes_of_characters());
  out->keeps_bytes = true;
  if (!settings.first.empty()) {
    const token first = out->tokens->need(settings.first, "tokenizer_config.json: bos_token");
    out->single.insert(out->single.begin(), {{}, {first}, 0});
    out->pair.insert(out->pair.begin(), {{}, {first}, 0});
  }
  out->add_tokens(std::move(added));
  return tokenizer(out);
}

}  // namespace engine
