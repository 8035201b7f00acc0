#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/merge_pairs.hpp>
#include <engine/tokenizer/utf8.hpp>
#include <engine/tokenizer/words.hpp>

#include <nlohmann/json.hpp>

#include <limits>

namespace engine {
namespace {

using precis::token;

/// The printable character that represents a byte in GPT-2's files: the byte itself if it is printable, otherwise a
/// character from U+0100 on, in byte order.
[[nodiscard]] std::array<char32_t, 256> character_of_byte() {
  std::array<char32_t, 256> map{};
  char32_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    map[b] = visible ? static_cast<char32_t>(b) : next++;
  }
  return map;
}

/// The bytes that a token of vocab.json represents. Characters that represent no byte are kept.
[[nodiscard]] std::string bytes_of_token(std::string_view name, const std::unordered_map<char32_t, char>& byte_of) {
  std::string bytes;
  for (std::size_t at = 0; at < name.size();) {
    const std::size_t length = utf8_length(name, at);  // never 0, because JSON text is valid UTF-8
    const auto found = byte_of.find(utf8_decode(name, at, length));
    if (found == byte_of.end())
      bytes += name.substr(at, length);
    else
      bytes += found->second;
    at += length;
  }
  return bytes;
}

[[nodiscard]] std::uint64_t pair_key(token left, token right) noexcept {
  return (static_cast<std::uint64_t>(left) << 32) | static_cast<std::uint64_t>(right);
}

}  // namespace

byte_bpe::byte_bpe(std::string_view vocab_json, std::string_view merges_txt, std::string_view vocab_name,
                   std::string_view merges_name) {
  const json vocab = parse_json(vocab_json, vocab_name);
  if (!vocab.is_object() || vocab.empty())
    refuse_input(vocab_name, type_of(vocab), "an object of tokens and their ids");

  const std::array<char32_t, 256> characters = character_of_byte();
  std::unordered_map<char32_t, char> byte_of;
  for (unsigned b = 0; b < 256; ++b) byte_of.emplace(characters[b], static_cast<char>(b));

  const std::size_t count = vocab.size();
  if (count > static_cast<std::size_t>(std::numeric_limits<token>::max()))
    refuse_input(vocab_name, "too many tokens", "fewer than 2^31");
  bytes_of_.resize(count);
  std::vector<bool> seen(count);
  std::unordered_map<std::string_view, token> id_of;  // keys are views of the JSON document
  for (const auto& [name, id] : vocab.items()) {
    if (!id.is_number_unsigned() || id.get<std::size_t>() >= count)
      refuse_input(vocab_name, "token \"" + name + "\" has " + type_of(id) + " as its id",
                   "0 to " + std::to_string(count - 1) + " for " + std::to_string(count) + " tokens");
    const auto i = id.get<std::size_t>();
    if (seen[i])
      refuse_input(vocab_name, "id " + std::to_string(i) + " has two tokens, one is \"" + name + "\"",
                   "one token per id");
    seen[i] = true;
    bytes_of_[i] = bytes_of_token(name, byte_of);
  }
  for (const auto& item : vocab.get_ref<const json::object_t&>()) id_of.emplace(item.first, item.second.get<token>());

  for (unsigned b = 0; b < 256; ++b) {
    const auto found = id_of.find(utf8_encode(characters[b]));
    if (found == id_of.end())
      refuse_input(vocab_name, "byte " + std::to_string(b) + " has no token",
                   "\"" + utf8_encode(characters[b]) + "\" among the tokens");
    token_of_byte_[b] = found->second;
  }

  std::size_t line_number = 0;
  for (std::string_view rest = merges_txt; !rest.empty();) {
    ++line_number;
    const std::size_t stop = rest.find('\n');
    std::string_view line = rest.substr(0, stop);
    rest = stop == std::string_view::npos ? std::string_view{} : rest.substr(stop + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (line_number == 1 && line.starts_with("#version"))) continue;  // later lines may begin with '#'

    const auto refuse_line = [&](const std::string& what, std::string expected) {
      refuse_input(merges_name, "line " + std::to_string(line_number) + ": " + what, std::move(expected));
    };
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos || blank == 0 || blank + 1 == line.size() ||
        line.find(' ', blank + 1) != std::string_view::npos)
      refuse_line("\"" + std::string(line.substr(0, 60)) + "\"", "two tokens separated by one blank");
    const std::string_view left = line.substr(0, blank), right = line.substr(blank + 1);
    const auto known = [&](std::string_view name) {
      const auto found = id_of.find(name);
      if (found == id_of.end())
        refuse_line("\"" + std::string(name.substr(0, 60)) + "\" is not in the vocabulary",
                    "merges that match " + std::string(vocab_name));
      return found->second;
    };
    const std::uint64_t pair = pair_key(known(left), known(right));
    const token joined = known(std::string(left) + std::string(right));
    if (!merges_.emplace(pair, merge{line_number, joined}).second)
      refuse_line("\"" + std::string(line.substr(0, 60)) + "\" occurs twice", "each pair once");
  }
}

void byte_bpe::begin_documents_with(std::string_view name) {
  for (std::size_t id = 0; id < bytes_of_.size() && !bos_; ++id)
    if (bytes_of_[id] == name) bos_ = static_cast<token>(id);
  if (!bos_)
    refuse_input("tokenizer_config.json",
                 "bos_token \"" + std::string(name.substr(0, 60)) + "\" is not in the vocabulary", "one of its tokens");
}

std::vector<token_span> byte_bpe::encode_with_offsets(std::string_view text, start position) const {
  std::vector<token_span> tokens;
  tokens.reserve(text.size() / 3);
  if (bos_ && position == start::document) tokens.push_back({*bos_, 0, 0});
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> known;  // word -> its tokens [first, last)
  std::vector<symbol> symbols;
  pair_merger merger;
  const auto find = [&](const symbol& left, const symbol& right) -> std::optional<joined_pair> {
    const auto found = merges_.find(pair_key(left.id, right.id));
    if (found == merges_.end()) return std::nullopt;
    return joined_pair{static_cast<double>(found->second.rank), found->second.joined};
  };

  for (const std::string_view word : gpt2_words(text)) {
    const auto at = static_cast<std::size_t>(word.data() - text.data());
    const auto [entry, fresh] = known.try_emplace(word, tokens.size(), tokens.size());
    if (!fresh) {
      const auto [first, last] = entry->second;
      const std::size_t was = tokens[first].first_byte;
      for (std::size_t i = first; i < last; ++i) {
        const token_span t = tokens[i];
        tokens.push_back({t.id, t.first_byte - was + at, t.end_byte - was + at});
      }
      continue;
    }
    symbols.clear();
    for (std::size_t i = 0; i < word.size(); ++i)
      symbols.push_back({token_of_byte_[static_cast<unsigned char>(word[i])], at + i, at + i + 1});
    merger(symbols, find);
    for (const symbol& s : symbols) tokens.push_back({s.id, s.begin, s.end});
    entry->second.second = tokens.size();
  }
  return tokens;
}

}  // namespace engine
