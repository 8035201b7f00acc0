#include "byte_pairs.hpp"

#include <engine/files/json.hpp>
#include <engine/tokenizer/utf8.hpp>
#include <engine/tokenizer/words.hpp>

#include <precis/core/error.hpp>

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <map>
#include <set>

namespace train {
namespace {

/// The character that represents a byte in GPT-2's files: the byte itself if it is printable, otherwise a character
/// from U+0100 on, in byte order.
[[nodiscard]] std::array<std::string, 256> printed_bytes() {
  std::array<std::string, 256> printed;
  char32_t hidden = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    printed[b] = engine::utf8_encode(visible ? static_cast<char32_t>(b) : hidden++);
  }
  return printed;
}

[[nodiscard]] std::string printed(std::string_view bytes) {
  static const std::array<std::string, 256> of_byte = printed_bytes();
  std::string text;
  for (const char b : bytes) text += of_byte[static_cast<unsigned char>(b)];
  return text;
}

/// A word as its current tokens, and its number of occurrences.
struct word {
  std::vector<std::size_t> tokens;
  std::uint64_t count = 0;
};

}  // namespace

std::string byte_pairs::vocab_json() const {
  std::string text;
  std::size_t id = 0;
  const auto add = [&](const std::string& name) {
    text += (id == 0 ? "{" : ", ") + engine::json(name).dump() + ": " + std::to_string(id);
    ++id;
  };
  // Bytes in GPT-2's order: printable ones first.
  for (const bool hidden : {false, true})
    for (unsigned b = 0; b < 256; ++b) {
      const std::string one(1, static_cast<char>(b));
      const std::string name = printed(one);
      if ((engine::utf8_decode(name, 0, name.size()) >= 0x100) == hidden) add(name);
    }
  for (const auto& [left, right] : merges) add(printed(left + right));
  add("<|endoftext|>");
  return text + "}\n";
}

std::string byte_pairs::merges_txt() const {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right] : merges) text += printed(left) + " " + printed(right) + "\n";
  return text;
}

byte_pairs learn_byte_pairs(std::string_view text, std::size_t size) {
  if (size < 257)
    precis::refuse({.what = "a vocabulary of " + std::to_string(size) + " tokens",
                    .where = "tokenizer training",
                    .expected = "at least 257: 256 bytes and the end of text"});
  std::map<std::string_view, std::uint64_t> counts;
  for (const std::string_view w : engine::gpt2_words(text)) ++counts[w];

  std::vector<std::string> bytes_of;
  for (unsigned b = 0; b < 256; ++b) bytes_of.emplace_back(1, static_cast<char>(b));
  std::set<std::string> known(bytes_of.begin(),
                              bytes_of.end());  // equal bytes from different merges are one token in the file
  std::vector<word> words;
  for (const auto& [bytes, count] : counts) {
    word w{.tokens = {}, .count = count};
    for (const char b : bytes) w.tokens.push_back(static_cast<unsigned char>(b));
    words.push_back(std::move(w));
  }

  byte_pairs learned;
  while (learned.size() < size) {
    std::map<std::pair<std::size_t, std::size_t>, std::uint64_t> pairs;
    for (const word& w : words)
      for (std::size_t i = 0; i + 1 < w.tokens.size(); ++i) pairs[{w.tokens[i], w.tokens[i + 1]}] += w.count;
    const auto before = [&](const auto& a, const auto& b) {  // whether a takes precedence over b
      if (a.second != b.second) return a.second > b.second;
      const auto& [al, ar] = a.first;
      const auto& [bl, br] = b.first;
      return bytes_of[al] != bytes_of[bl] ? bytes_of[al] < bytes_of[bl] : bytes_of[ar] < bytes_of[br];
    };
    auto best = pairs.end();
    for (auto p = pairs.begin(); p != pairs.end(); ++p)
      if (p->second >= 2 && (best == pairs.end() || before(*p, *best)) &&
          !known.contains(bytes_of[p->first.first] + bytes_of[p->first.second]))
        best = p;
    if (best == pairs.end()) break;
    const auto [left, right] = best->first;
    learned.merges.emplace_back(bytes_of[left], bytes_of[right]);
    const std::size_t joined = bytes_of.size();
    bytes_of.push_back(bytes_of[left] + bytes_of[right]);
    known.insert(bytes_of.back());
    for (word& w : words) {
      std::size_t out = 0;
      for (std::size_t i = 0; i < w.tokens.size(); ++i, ++out) {
        const bool here = i + 1 < w.tokens.size() && w.tokens[i] == left && w.tokens[i + 1] == right;
        w.tokens[out] = here ? joined : w.tokens[i];
        if (here) ++i;
      }
      w.tokens.resize(out);
    }
  }
  return learned;
}

}  // namespace train
