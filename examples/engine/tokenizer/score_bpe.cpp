#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/merge_pairs.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace engine {
namespace {

using precis::token;

[[nodiscard]] std::string byte_piece(unsigned byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">";
}

}  // namespace

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

}  // namespace engine
