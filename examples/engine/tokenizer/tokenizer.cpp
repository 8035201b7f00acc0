#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>
#include <engine/tokenizer/merge_pairs.hpp>
#include <engine/tokenizer/utf8.hpp>
#include <engine/tokenizer/words.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
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

[[nodiscard]] std::string byte_piece(unsigned byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">";
}

[[noreturn]] void no_tokenizer() {
  refuse_input("tokenizer", "the model has no tokenizer",
               "vocab.json and merges.txt, vocab.txt, or tokenizer.bin in the model's folder");
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

score_bpe::score_bpe(std::span<const std::byte> file, std::string_view name) {
  const auto take = [&](void* into, std::size_t bytes) {
    if (file.size() < bytes)
      refuse_input(name, "ends inside piece " + std::to_string(pieces_.size()),
                   "a tokenizer file that is not truncated");
    std::memcpy(into, file.data(), bytes);
    file = file.subspan(bytes);
  };
  std::uint32_t longest = 0;
  take(&longest, sizeof longest);
  while (!file.empty()) {
    piece p;
    std::uint32_t length = 0;
    take(&p.score, sizeof p.score);
    take(&length, sizeof length);
    const std::string at = "piece " + std::to_string(pieces_.size());
    if (!std::isfinite(p.score))
      refuse_input(name, at + " has a score that is not finite", "a finite score for every piece");
    if (length > file.size())
      refuse_input(name, at + " has a length of " + std::to_string(length), "a tokenizer file that is not truncated");
    if (length > longest)
      refuse_input(name, at + " has a length of " + std::to_string(length),
                   "at most " + std::to_string(longest) + " as stated at the start of the file");
    p.text.resize(length);
    if (length != 0) take(p.text.data(), length);
    pieces_.push_back(std::move(p));
  }
  for (unsigned b = 0; b < 256; ++b)
    if (pieces_.size() < 259 || pieces_[b + 3].text != byte_piece(b))
      refuse_input(name, "piece " + std::to_string(b + 3) + " is not " + byte_piece(b),
                   "UNK, BOS, EOS and the 256 bytes as the first pieces");

  for (std::size_t i = 0; i < 3; ++i) pieces_[i].text.clear();
  for (unsigned b = 0; b < 256; ++b) pieces_[b + 3].text = static_cast<char>(b);
  for (std::size_t i = 259; i < pieces_.size(); ++i) {  // merging never produces control tokens or bytes
    find_.emplace(pieces_[i].text, static_cast<token>(i));
    if (pieces_[i].text.size() > longest_) longest_ = pieces_[i].text.size();
  }
}

std::vector<token_span> score_bpe::encode_with_offsets(std::string_view text, start position) const {
  std::vector<token_span> tokens;
  if (position == start::document) tokens.push_back({bos, 0, 0});
  if (text.empty()) return tokens;
  // The first word of a document is encoded like every other word, with a leading blank.
  const std::size_t implicit_blank = position == start::document ? 1 : 0;
  const std::string padded = std::string(implicit_blank, ' ') + std::string(text);

  std::vector<symbol> symbols;
  for (std::size_t at = 0; at < padded.size();) {
    const std::size_t length = std::max<std::size_t>(utf8_length(padded, at), 1);
    const auto found = find_.find(std::string_view(padded).substr(at, length));
    symbols.push_back({found == find_.end() ? token{0} : found->second, at, at + length});
    at += length;
  }
  pair_merger{}(symbols, [&](const symbol& left, const symbol& right) -> std::optional<joined_pair> {
    if (right.end - left.begin > longest_) return std::nullopt;
    const auto found = find_.find(std::string_view(padded).substr(left.begin, right.end - left.begin));
    if (found == find_.end()) return std::nullopt;
    return joined_pair{-static_cast<double>(pieces_[static_cast<std::size_t>(found->second)].score), found->second};
  });
  const auto in_text = [&](std::size_t at) { return at < implicit_blank ? 0 : at - implicit_blank; };
  for (const symbol& s : symbols) {
    if (s.id != 0) {
      tokens.push_back({s.id, in_text(s.begin), in_text(s.end)});
      continue;
    }
    for (std::size_t i = s.begin; i < s.end; ++i)
      tokens.push_back({static_cast<unsigned char>(padded[i]) + 3, in_text(i), in_text(i + 1)});
  }
  return tokens;
}

namespace {

/// Calls use(tokenizer) with the alternative that the variant holds.
template<class Kind, class Use>
auto with_tokenizer(const Kind& kind, Use&& use) {
  if (const auto* t = std::get_if<byte_bpe>(&kind)) return use(*t);
  if (const auto* t = std::get_if<score_bpe>(&kind)) return use(*t);
  if (const auto* t = std::get_if<wordpiece>(&kind)) return use(*t);
  no_tokenizer();
}

}  // namespace

std::size_t tokenizer::size() const {
  return with_tokenizer(kind_, [](const auto& t) { return t.size(); });
}

std::vector<token_span> tokenizer::encode_with_offsets(std::string_view text, start position) const {
  return with_tokenizer(kind_, [&](const auto& t) { return t.encode_with_offsets(text, position); });
}

std::vector<token> tokenizer::encode(std::string_view text, start position) const {
  const std::vector<token_span> spans = encode_with_offsets(text, position);
  std::vector<token> ids;
  ids.reserve(spans.size());
  for (const token_span& s : spans) ids.push_back(s.id);
  return ids;
}

std::string tokenizer::text_of(token id) const {
  if (id < 0 || static_cast<std::size_t>(id) >= size())
    refuse_input("tokenizer", "token " + std::to_string(id), "0 to " + std::to_string(size() - 1));
  return with_tokenizer(kind_, [id](const auto& t) { return std::string(t.text_of(id)); });
}

std::string tokenizer::decode(std::span<const token> ids) const {
  std::string text;
  bool after_bos = std::holds_alternative<wordpiece>(kind_);  // the leading blank is not part of the text
  for (const token id : ids) {
    std::string piece = text_of(id);
    if (after_bos && piece.starts_with(' ')) piece.erase(0, 1);
    text += piece;
    after_bos = std::holds_alternative<score_bpe>(kind_) && id == score_bpe::bos;
  }
  return text;
}

std::pair<std::size_t, std::size_t> tokens_covering(std::span<const token_span> spans, std::size_t first_byte,
                                                    std::size_t end_byte) {
  std::size_t first = 0;
  while (first < spans.size() && spans[first].end_byte <= first_byte) ++first;
  std::size_t last = first;
  while (last < spans.size() && spans[last].first_byte < end_byte) ++last;
  return {first, last};
}

tokenizer load_tokenizer(const std::filesystem::path& path) {
  std::error_code ignored;
  if (path.extension() == ".gguf") return parse_gguf_tokenizer(mapped_file(path).bytes(), path.string());
  if (!std::filesystem::is_directory(path, ignored)) return score_bpe(mapped_file(path).bytes(), path.string());

  const std::filesystem::path settings = path / "tokenizer_config.json";
  json root = json::object();
  if (std::filesystem::exists(settings, ignored)) root = parse_json(mapped_file(settings).text(), settings.string());
  const json_object keys(root, settings.string());

  if (std::filesystem::exists(path / "vocab.txt", ignored) && !std::filesystem::exists(path / "vocab.json", ignored)) {
    const bool lower = keys.flag_or("do_lower_case", true);
    if (keys.flag_or("strip_accents", lower) != lower)
      keys.refuse("key \"strip_accents\" is not what do_lower_case is, which this engine does not support", "null");
    if (!keys.flag_or("tokenize_chinese_chars", true))
      keys.refuse("key \"tokenize_chinese_chars\" is false, which this engine does not support", "true");
    const mapped_file vocab(path / "vocab.txt");
    return wordpiece(vocab.text(), lower ? wordpiece::letters::uncased : wordpiece::letters::cased,
                     (path / "vocab.txt").string());
  }
  const mapped_file vocab(path / "vocab.json"), merges(path / "merges.txt");
  byte_bpe t(vocab.text(), merges.text(), (path / "vocab.json").string(), (path / "merges.txt").string());
  if (keys.flag_or("add_bos_token", false)) {
    const json* const bos = keys.find("bos_token");  // a string, or an object with more attributes
    t.begin_documents_with(bos != nullptr && bos->is_object() ? json_object(*bos, settings.string()).text("content")
                                                              : keys.text("bos_token"));
  }
  return t;
}

}  // namespace engine
