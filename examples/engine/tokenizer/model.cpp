#include <engine/tokenizer/pipeline.hpp>

#include <engine/files/messages.hpp>

#include <limits>

namespace engine {

using precis::token;

std::string byte_token_name(unsigned byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">";
}

void vocabulary::add(std::string name, std::size_t id, std::size_t size, std::string_view where) {
  const auto shown = [&] { return "token \"" + name.substr(0, 60) + "\""; };
  if (id > 4 * size + 4096 || id > static_cast<std::size_t>(std::numeric_limits<token>::max()))
    refuse_input(where, shown() + " has the id " + std::to_string(id),
                 "an id near the number of tokens, " + std::to_string(size));
  if (id >= names.size()) names.resize(id + 1);
  if (name.empty()) return;  // no text is this token
  if (!names[id].empty())
    refuse_input(where, "id " + std::to_string(id) + " has two tokens, one is \"" + name.substr(0, 60) + "\"",
                 "one token per id");
  if (!ids.emplace(name, static_cast<token>(id)).second)
    refuse_input(where, shown() + " occurs twice", "each token once");
  names[id] = std::move(name);
}

std::optional<token> vocabulary::find(std::string_view name) const {
  const auto found = ids.find(name);
  if (found == ids.end()) return std::nullopt;
  return found->second;
}

token vocabulary::need(std::string_view name, std::string_view where) const {
  const std::optional<token> found = find(name);
  if (!found)
    refuse_input(where, "token \"" + std::string(name.substr(0, 60)) + "\" is not in the vocabulary",
                 "one of its tokens");
  return *found;
}

shared_vocabulary with_added(const shared_vocabulary& tokens, std::span<added_token> added, std::string_view where) {
  const auto all = std::make_shared<vocabulary>(*tokens);
  for (added_token& t : added) {
    if (t.id < 0) t.id = all->need(t.content, where);
    const std::optional<token> own = all->find(t.content);
    if (own && *own != t.id)
      refuse_input(where, "the added token \"" + t.content.substr(0, 60) + "\" has the id " + std::to_string(t.id),
                   std::to_string(*own) + ", its id in the vocabulary");
    if (!own) all->add(t.content, static_cast<std::size_t>(t.id), all->names.size() + added.size(), where);
  }
  return all;
}

const std::pair<std::size_t, std::size_t>* word_cache::find(std::string_view word) const {
  const auto found = known_.find(word);
  return found == known_.end() ? nullptr : &found->second;
}

void word_cache::add(std::string_view word, std::span<const symbol> symbols) {
  known_.emplace(word, std::pair{symbols_.size(), symbols_.size() + symbols.size()});
  symbols_.insert(symbols_.end(), symbols.begin(), symbols.end());
}

void token_model::encode(std::string_view word, word_cache& known, std::vector<symbol>& out) const {
  constexpr std::size_t longest_known = 64;  // longer words rarely occur again
  std::vector<symbol> fresh;
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t end = part_end(word, begin);
    const std::string_view part = word.substr(begin, end - begin);
    const auto append = [&](std::span<const symbol> symbols) {
      for (const symbol& s : symbols) out.push_back({s.id, s.begin + begin, s.end + begin});
    };
    if (const auto* const found = known.find(part)) {
      append(known.symbols(*found));
    } else {
      fresh.clear();
      encode_word(part, fresh);
      if (part.size() <= longest_known) known.add(part, fresh);
      append(fresh);
    }
    begin = end;
  }
}

std::size_t token_model::part_end(std::string_view word, std::size_t) const { return word.size(); }

}  // namespace engine
