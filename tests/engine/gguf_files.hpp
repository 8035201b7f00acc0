#pragma once

#include <engine/files/gguf.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include "engine/support.hpp"

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// GGUF files that have a tokenizer and nothing else.
namespace support {

[[nodiscard]] inline engine::tokenizer gguf_tokenizer(const engine::gguf_metadata& keys) {
  const temporary_folder folder;
  engine::gguf_writer(folder / "t.gguf", keys, {}).commit();
  return engine::parse_gguf_tokenizer(as_bytes(slurp(folder / "t.gguf")), "t.gguf");
}

/// A text as characters of bytes.
[[nodiscard]] inline std::vector<std::string> byte_characters(std::string_view text) {
  std::vector<std::string> all;
  for (const char c : text) all.push_back(engine::character_of_byte(static_cast<unsigned char>(c)));
  return all;
}

/// A byte-level vocabulary in which every part of the texts is a token, and merges that make it from any two of its parts:
/// every word that a pre-tokenizer makes of a text is one token.
struct word_vocabulary {
  std::vector<std::string> tokens, merges;

  explicit word_vocabulary(const std::vector<std::string>& texts) {
    for (unsigned b = 0; b < 256; ++b) tokens.push_back(engine::character_of_byte(static_cast<unsigned char>(b)));
    std::set<std::string> known(tokens.begin(), tokens.end()), made;
    for (const std::string& text : texts) {
      const std::vector<std::string> s = byte_characters(text);
      const auto joined = [&](std::size_t from, std::size_t to) {
        std::string part;
        for (std::size_t i = from; i < to; ++i) part += s[i];
        return part;
      };
      for (std::size_t n = 2; n <= s.size(); ++n)
        for (std::size_t i = 0; i + n <= s.size(); ++i) {
          for (std::size_t k = 1; k < n; ++k) {
            std::string merge = joined(i, i + k) + " " + joined(i + k, i + n);
            if (made.insert(merge).second) merges.push_back(std::move(merge));
          }
          if (std::string whole = joined(i, i + n); known.insert(whole).second) tokens.push_back(std::move(whole));
        }
    }
  }

  [[nodiscard]] engine::gguf_metadata keys(std::string_view pre) const {
    engine::gguf_metadata m{{"tokenizer.ggml.model", std::string("gpt2")},
                            {"tokenizer.ggml.tokens", tokens},
                            {"tokenizer.ggml.merges", merges},
                            {"tokenizer.ggml.bos_token_id", std::uint32_t{'^'}}};
    if (!pre.empty()) m.emplace_back("tokenizer.ggml.pre", std::string(pre));
    return m;
  }
};

/// A SentencePiece-like vocabulary: <unk>, <s>, </s>, the bytes, and these pieces with their types from 259 on.
struct piece_vocabulary {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types{2, 3, 3};
  std::vector<float> scores;

  explicit piece_vocabulary(const std::vector<std::pair<std::string, std::int32_t>>& pieces) {
    for (unsigned b = 0; b < 256; ++b) {
      tokens.push_back(engine::byte_token_name(b));
      types.push_back(6);
    }
    for (const auto& [text, type] : pieces) {
      tokens.push_back(text);
      types.push_back(type);
    }
    for (std::size_t i = 0; i < tokens.size(); ++i) scores.push_back(i < 259 ? 0.f : -static_cast<float>(i));
  }

  [[nodiscard]] engine::gguf_metadata keys(std::string_view model) const {
    return {{"tokenizer.ggml.model", std::string(model)},
            {"tokenizer.ggml.tokens", tokens},
            {"tokenizer.ggml.token_type", types},
            {"tokenizer.ggml.scores", scores},
            {"tokenizer.ggml.bos_token_id", std::uint32_t{1}},
            {"tokenizer.ggml.eos_token_id", std::uint32_t{2}}};
  }
};

}  // namespace support
