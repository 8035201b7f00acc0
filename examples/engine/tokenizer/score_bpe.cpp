#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <cmath>
#include <cstring>
#include <utility>

namespace engine {

using precis::token;

tokenizer score_bpe(std::span<const std::byte> file, std::string_view name) {
  constexpr token bos = 1;
  constexpr std::size_t first_byte = 3, first_piece = first_byte + 256;  // after UNK, BOS and EOS
  const auto tokens = std::make_shared<vocabulary>();
  std::vector<std::string>& names = tokens->names;
  scored_pieces pieces;
  const auto take = [&](void* into, std::size_t bytes) {
    if (file.size() < bytes)
      refuse_input(name, "ends inside piece " + std::to_string(names.size()), "a tokenizer file that is not truncated");
    std::memcpy(into, file.data(), bytes);
    file = file.subspan(bytes);
  };
  std::uint32_t longest = 0;
  take(&longest, sizeof longest);
  while (!file.empty()) {
    float score = 0;
    std::uint32_t length = 0;
    take(&score, sizeof score);
    take(&length, sizeof length);
    const std::string at = "piece " + std::to_string(names.size());
    if (!std::isfinite(score))
      refuse_input(name, at + " has a score that is not finite", "a finite score for every piece");
    if (length > file.size())
      refuse_input(name, at + " has a length of " + std::to_string(length), "a tokenizer file that is not truncated");
    if (length > longest)
      refuse_input(name, at + " has a length of " + std::to_string(length),
                   "at most " + std::to_string(longest) + " as stated at the start of the file");
    std::string text(length, '\0');
    if (length != 0) take(text.data(), length);
    pieces.scores.push_back(score);
    names.push_back(std::move(text));  // a text may occur twice; the first counts
  }
  for (unsigned b = 0; b < 256; ++b)
    if (names.size() < first_piece || names[b + first_byte] != byte_token_name(b))
      refuse_input(name, "piece " + std::to_string(b + first_byte) + " is not " + byte_token_name(b),
                   "UNK, BOS, EOS and the 256 bytes as the first pieces");

  const auto out = std::make_shared<pipeline>();
  constexpr std::string_view control[] = {"<unk>", "<s>", "</s>"};
  for (std::size_t i = 0; i < first_byte; ++i) {
    names[i] = control[i];
    out->decoder.fixed.emplace(static_cast<token>(i), "");
  }
  for (unsigned b = 0; b < 256; ++b) {
    pieces.bytes.push_back(static_cast<token>(b + first_byte));
    if (b != ' ') out->decoder.fixed.emplace(pieces.bytes.back(), std::string(1, static_cast<char>(b)));
  }
  for (std::size_t i = first_piece; i < names.size(); ++i)
    if (!names[i].empty()) pieces.plain.push_back(static_cast<token>(i));
  out->tokens = tokens;
  out->model = score_model(tokens, std::move(pieces));
  out->normalize = prepend(" ");  // the first word of a document is encoded like every other word
  out->single = {{{}, {bos}, 0}, {0u, {}, 0}};
  out->pair = {{{}, {bos}, 0}, {0u, {}, 0}, {{}, {bos}, 1}, {1u, {}, 1}};
  out->decoder.each.emplace_back([](std::string text, bool first) {
    if (text == byte_token_name(' ')) text = " ";          // a vocabulary may have no piece for a blank
    if (first && text.starts_with(' ')) text.erase(0, 1);  // the implicit blank is not part of the text
    return text;
  });
  out->decoder.first_after = bos;
  out->keeps_bytes = true;
  out->add_tokens({});
  return tokenizer(out);
}

}  // namespace engine
