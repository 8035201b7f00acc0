#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <utility>

namespace engine {
decoder_step decode_bytes_of_characters() {
  return [](std::string token, bool) {
    std::string bytes;
    for (std::size_t at = 0; at < token.size();) {
      const std::size_t length = utf8_length(token, at);
      const auto byte = length == 0 ? std::nullopt : byte_of_character(utf8_decode(token, at, length));
      if (!byte) return token;  // such as the name of an added token
      bytes += *byte;
      at += length;
    }
    return bytes;
  };
}

decoder_step decode_byte_tokens() {
  return [](std::string token, bool) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return token;
    int value = 0;
    for (const char c : {token[3], token[4]}) {
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return token;
      value = 16 * value + digit;
    }
    return std::string(1, static_cast<char>(value));
  };
}

decoder_step decode_metaspace(std::string replacement, bool prefixed) {
  return [replacement = std::move(replacement), prefixed](std::string token, bool first) {
    return replaced(token, replacement, first && prefixed ? "" : " ");
  };
}

decoder_step decode_replace(pattern what, std::string with) {
  return [what = std::move(what), with = std::move(with)](std::string token, bool) {
    std::string out;
    what.find_all(token, [&](std::size_t begin, std::size_t end, bool matched) {
      out += matched ? with : token.substr(begin, end - begin);
    });
    return out;
  };
}

decoder_step decode_strip(std::string character, std::size_t start, std::size_t stop) {
  return [=](std::string token, bool) {
    for (std::size_t i = 0; i < start && token.starts_with(character); ++i) token.erase(0, character.size());
    for (std::size_t i = 0; i < stop && token.ends_with(character); ++i) token.resize(token.size() - character.size());
    return token;
  };
}

decoder_step decode_wordpiece(std::string prefix, bool cleanup) {
  return [prefix = std::move(prefix), cleanup](std::string token, bool first) {
    if (!first) {
      if (token.starts_with(prefix))
        token.erase(0, prefix.size());
      else
        token.insert(0, " ");
    }
    if (!cleanup) return token;
    constexpr std::pair<std::string_view, std::string_view> rules[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : rules) token = replaced(token, from, to);
    return token;
  };
}

}  // namespace engine
