#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>
#include <engine/tokenizer/sentencepiece.hpp>
#include <engine/tokenizer/tokenizer_config.hpp>

#include <system_error>

namespace engine {

namespace fs = std::filesystem;

namespace {

[[nodiscard]] bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

}  // namespace

bool has_tokenizer(const fs::path& folder) {
  for (const char* const name : {"tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", "tokenizer.model",
                                 "spiece.model", "sentencepiece.bpe.model"})
    if (is_there(folder / name)) return true;
  return false;
}

tokenizer load_tokenizer(const fs::path& path) {
  if (has_gguf_name(path)) return parse_gguf_tokenizer(mapped_file(path).bytes(), path.string());
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) {
    const mapped_file file(path);
    if (path.extension() == ".json") return parse_tokenizer_json(file.text(), path.string());
    if (path.extension() == ".model") return parse_sentencepiece(file.text(), path.string());
    return score_bpe(file.bytes(), path.string());
  }
  const tokenizer_config config = read_tokenizer_config(path);
  if (is_there(path / "tokenizer.json")) {
    const mapped_file file(path / "tokenizer.json");
    return config.applied(parse_tokenizer_json(file.text(), (path / "tokenizer.json").string()));
  }
  if (is_there(path / "vocab.txt") && !is_there(path / "vocab.json")) {
    const mapped_file vocab(path / "vocab.txt");
    return config.applied(wordpiece(vocab.text(), config.wordpiece(), (path / "vocab.txt").string()));
  }
  if (is_there(path / "tokenizer.model")) {
    const mapped_file model(path / "tokenizer.model");
    return config.applied(
        config.ends_of_sentencepiece(parse_sentencepiece(model.text(), (path / "tokenizer.model").string())));
  }
  for (const char* const name : {"spiece.model", "sentencepiece.bpe.model"})  // their families renumber or add tokens
    if (is_there(path / name))
      refuse_input((path / name).string(), "a SentencePiece model without tokenizer.json",
                   "the tokenizer.json of the model, which has the ids that it uses");
  const mapped_file vocab(path / "vocab.json"), merges(path / "merges.txt");
  return config.applied(byte_bpe(vocab.text(), merges.text(), (path / "vocab.json").string(),
                                 (path / "merges.txt").string(), config.byte_bpe()));
}

}  // namespace engine
