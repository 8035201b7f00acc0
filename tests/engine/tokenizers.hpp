#pragma once

#include <engine/tokenizer/tokenizer.hpp>
#include <engine/tokenizer/utf8.hpp>

#include "engine/support.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Tiny hand-made tokenizers.
namespace support {

using merge_list = std::vector<std::pair<std::string, std::string>>;

/// The id of a byte in the tokenizers below: the byte itself.
[[nodiscard]] inline precis::token byte_token(char byte) { return static_cast<unsigned char>(byte); }

/// A vocab.json with the 256 bytes as 0 ... 255 and the results of the merges (of printable ASCII) from 256 on.
[[nodiscard]] inline std::string vocabulary_json(const merge_list& merges) {
  std::map<std::string, unsigned> vocab;
  char32_t invisible = 0x100;
  for (unsigned b = 0; b < 256; ++b) {
    const bool visible = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
    vocab[engine::utf8_encode(visible ? b : invisible)] = b;
    if (!visible) ++invisible;
  }
  unsigned next = 256;
  for (const auto& [left, right] : merges) vocab[left + right] = next++;
  std::string json;
  for (const auto& [token, id] : vocab) {
    json += json.empty() ? "{\"" : ",\"";
    for (const char c : token) json += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    json += "\":" + std::to_string(id);
  }
  return json + "}";
}

[[nodiscard]] inline std::string merges_text(const merge_list& merges) {
  std::string text = "#version: 0.2\n";
  for (const auto& [left, right] : merges) text += left + " " + right + "\n";
  return text;
}

[[nodiscard]] inline engine::tokenizer byte_tokenizer(const merge_list& merges) {
  return engine::byte_bpe(vocabulary_json(merges), merges_text(merges));
}

/// A tok*.bin file: UNK, BOS, EOS, the bytes, and these pieces from 259 on.
[[nodiscard]] inline std::string score_file(const std::vector<std::pair<std::string, float>>& pieces) {
  std::string body;
  std::uint32_t longest = 6;
  const auto add = [&](std::string_view text, float score) {
    body += raw(score) + raw(static_cast<std::uint32_t>(text.size())) + std::string(text);
    longest = std::max(longest, static_cast<std::uint32_t>(text.size()));
  };
  add("<unk>", 0);
  add("<s>", 0);
  add("</s>", 0);
  for (unsigned b = 0; b < 256; ++b) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    add(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">", 0);
  }
  for (const auto& [text, score] : pieces) add(text, score);
  return raw(longest) + body;
}

[[nodiscard]] inline engine::tokenizer score_tokenizer(const std::vector<std::pair<std::string, float>>& pieces) {
  return engine::score_bpe(as_bytes(score_file(pieces)));
}

}  // namespace support
