#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <nlohmann/json.hpp>

namespace engine {
namespace {

using precis::token;

[[noreturn]] void no_tokenizer() {
  refuse_input("tokenizer", "the model has no tokenizer",
               "vocab.json and merges.txt, vocab.txt, or tokenizer.bin in the model's folder");
}

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
  if (has_gguf_name(path)) return parse_gguf_tokenizer(mapped_file(path).bytes(), path.string());
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
