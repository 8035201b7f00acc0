#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/folder_tokens.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;
using precis::token;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type",
                           model_key = "tokenizer.ggml.model", scores_key = "tokenizer.ggml.scores",
                           merges_key = "tokenizer.ggml.merges", pre_key = "tokenizer.ggml.pre",
                           bos_key = "tokenizer.ggml.bos_token_id", eos_key = "tokenizer.ggml.eos_token_id",
                           add_bos_key = "tokenizer.ggml.add_bos_token", add_eos_key = "tokenizer.ggml.add_eos_token",
                           add_space_key = "tokenizer.ggml.add_space_prefix", template_key = "tokenizer.chat_template";

/// The token types of llama.cpp.
enum token_type : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

constexpr std::string_view visible_blank = "\xE2\x96\x81";  // U+2581, which SentencePiece writes instead of a blank

// The patterns that text is split with, and what goes with them; names are those of llama.cpp's table.
#define PRECIS_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define PRECIS_OTHERS R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define PRECIS_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define PRECIS_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"
#define PRECIS_CASED(after)                                                                             \
  R"([^\r\n\p{L}\p{N}]?)" PRECIS_UPPER "*" PRECIS_LOWER "+" after R"(|[^\r\n\p{L}\p{N}]?)" PRECIS_UPPER \
  "+" PRECIS_LOWER "*" after
#define PRECIS_SYMBOLS R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
constexpr std::string_view gpt2_words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct pre_tokenizer_kind {
  std::vector<std::string_view> names;
  std::vector<std::string_view> patterns;  ///< applied one after another
  bool ignore_merges = false;
  bool add_bos = false;
  bool nfc = false;
};
[[nodiscard]] const std::vector<pre_tokenizer_kind>& pre_tokenizer_kinds() {
  static const std::vector<pre_tokenizer_kind> kinds{
      {.names = {"default"},  // also if the key is missing
       .patterns = {R"([\p{P}\$\+<=>\^~\|]+)",
                    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", R"(\p{N}+)",
                    R"([0-9][0-9][0-9])"}},
      {.names = {"gpt-2", "phi-2", "olmo", "mpt", "jais", "modern-bert"}, .patterns = {gpt2_words}},
      {.names = {"smollm", "refact", "starcoder", "command-r", "codeshell"}, .patterns = {R"(\p{N})", gpt2_words}},
      {.names = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2"},
       .patterns = {PRECIS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})" PRECIS_OTHERS},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"dbrx", "smaug-bpe"},
       .patterns = {PRECIS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})" PRECIS_OTHERS}},
      {.names = {"qwen2", "deepseek-r1-qwen", "megrez"},
       .patterns = {PRECIS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" PRECIS_OTHERS},
       .nfc = true},
      {.names = {"stablelm2"}, .patterns = {PRECIS_CONTRACTIONS R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})" PRECIS_OTHERS}},
      {.names = {"qwen35"},
       .patterns =
           {PRECIS_CONTRACTIONS
            R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"},
       .nfc = true},
      {.names = {"gpt-4o", "llama4"},
       .patterns = {PRECIS_CASED(PRECIS_CONTRACTIONS "?") R"(|\p{N}{1,3})" PRECIS_SYMBOLS}},
      {.names = {"tekken"},
       .patterns = {PRECIS_CASED("") R"(|\p{N})" PRECIS_SYMBOLS},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"deepseek-v3", "hunyuan-dense"},
       .patterns = {
           R"(\p{N}{1,3})", R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)",
           R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}}};
  return kinds;
}
#undef PRECIS_CONTRACTIONS
#undef PRECIS_OTHERS
#undef PRECIS_UPPER
#undef PRECIS_LOWER
#undef PRECIS_CASED
#undef PRECIS_SYMBOLS

/// Tokens of a GGUF file with their types.
struct typed_vocabulary {
  std::shared_ptr<vocabulary> tokens = std::make_shared<vocabulary>();
  std::vector<std::int32_t> types;
  std::vector<added_token> added;
};

[[nodiscard]] typed_vocabulary read_vocabulary(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary out;
  std::vector<std::string_view> tokens = keys.texts(tokens_key);
  out.types.assign(tokens.size(), normal);
  if (keys.find(types_key) != nullptr) {
    out.types = keys.integers(types_key);
    if (out.types.size() != tokens.size())
      keys.refuse(types_key, std::to_string(tokens.size()) + " of them, one per token");
    while (!out.types.empty() && out.types.back() == unused) {  // padding to the size of the embedding
      out.types.pop_back();
      tokens.pop_back();
    }
  }
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (valid_end(tokens[i], 0) != tokens[i].size())
      refuse_input(where, "token " + std::to_string(i) + " is not UTF-8", "tokens that are text");
    out.tokens->add(std::string(tokens[i]), i, tokens.size(), where);
    if (tokens[i].empty()) continue;
    if (const std::int32_t type = out.types[i]; type == control || type == unknown || type == user_defined)
      out.added.push_back(
          {.id = static_cast<token>(i), .content = std::string(tokens[i]), .special = type != user_defined});
  }
  return out;
}

/// The token that a key names.
[[nodiscard]] token token_of(const gguf_keys& keys, std::string_view key, std::optional<std::size_t> otherwise,
                             const vocabulary& tokens) {
  const std::size_t id = otherwise ? keys.whole_number_or(key, *otherwise) : keys.whole_number(key);
  if (id >= tokens.names.size() || tokens.names[id].empty()) keys.refuse(key, "one of the tokens");
  return static_cast<token>(id);
}

/// BOS and EOS of documents, as the keys say; `otherwise`: whether BOS is added without a key. `bos`, `eos`: without keys.
void add_ends(const gguf_keys& keys, bool otherwise, std::optional<std::size_t> bos, std::optional<std::size_t> eos,
              pipeline& to) {
  token_template before, after;
  if (keys.flag_or(add_bos_key, otherwise)) before.push_back({{}, {token_of(keys, bos_key, bos, *to.tokens)}, 0});
  if (keys.flag_or(add_eos_key, false)) after.push_back({{}, {token_of(keys, eos_key, eos, *to.tokens)}, 0});
  for (token_template* const t : {&to.single, &to.pair}) {
    t->insert(t->begin(), before.begin(), before.end());
    t->insert(t->end(), after.begin(), after.end());
  }
}

[[nodiscard]] tokenizer byte_level_tokenizer(const gguf_keys& keys, std::string_view where) {
  const std::string_view name = keys.text_or(pre_key, "default");
  const auto& kinds = pre_tokenizer_kinds();
  const auto kind =
      std::ranges::find_if(kinds, [&](const auto& k) { return std::ranges::find(k.names, name) != k.names.end(); });
  if (kind == kinds.end()) {
    std::string known;
    for (const auto& k : kinds)
      for (const std::string_view n : k.names) known += (known.empty() ? "" : ", ") + std::string(n);
    keys.refuse(pre_key, "one of " + known);
  }
  typed_vocabulary read = read_vocabulary(keys, where);
  merge_names merges;
  for (const std::string_view merge : keys.texts(merges_key)) {
    const std::size_t blank = merge.find(' ', 1);  // a token may be a blank, but for byte-level ones it is not
    if (blank == std::string_view::npos || blank + 1 == merge.size() ||
        merge.find(' ', blank + 1) != std::string_view::npos)
      refuse_input(where,
                   "merge " + std::to_string(merges.size() + 1) + ": \"" + std::string(merge.substr(0, 60)) + "\"",
                   "two tokens separated by one blank");
    merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
  for (unsigned b = 0; b < 256; ++b)
    if (const std::string& character = character_of_byte(static_cast<unsigned char>(b)); !read.tokens->find(character))
      refuse_input(where, "byte " + std::to_string(b) + " has no token", "\"" + character + "\" among the tokens");
  const auto out = std::make_shared<pipeline>();
  out->tokens = read.tokens;
  out->model = bpe_model(read.tokens, merges, {.ignore_merges = kind->ignore_merges}, where);
  if (kind->nfc) out->normalize = normalize_unicode(normal_form::nfc);
  std::vector<pre_tokenizer> stages;
  for (const std::string_view expression : kind->patterns)
    stages.push_back(split_at(pattern(pattern::kind::expression, expression, where), delimiter::isolated, false));
  const bool prefix = keys.flag_or(add_space_key, false);
  stages.push_back(byte_level(false, false));
  if (prefix) keys.refuse(add_space_key, "false for byte-level tokens");
  out->split = in_order(std::move(stages));
  out->decoder.each.push_back(decode_bytes_of_characters());
  out->keeps_bytes = true;
  add_ends(keys, kind->add_bos, {}, {}, *out);
  out->add_tokens(std::move(read.added));
  return tokenizer(out);
}

[[nodiscard]] tokenizer score_tokenizer(const gguf_keys& keys, std::string_view where) {
  typed_vocabulary read = read_vocabulary(keys, where);
  const std::vector<std::string>& names = read.tokens->names;
  scored_pieces pieces{.scores = keys.floats(scores_key), .plain = {}, .bytes = {}, .unknown = 0};
  if (pieces.scores.size() < names.size())
    keys.refuse(scores_key, std::to_string(names.size()) + " of them, one per token");
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!std::isfinite(pieces.scores[i])) keys.refuse(scores_key, "finite scores");
  const auto out = std::make_shared<pipeline>();
  for (unsigned b = 0; b < 256; ++b)
    if (const auto id = read.tokens->find(byte_token_name(b))) pieces.bytes.push_back(*id);
  if (pieces.bytes.size() != 256)
    refuse_input(where, std::to_string(pieces.bytes.size()) + " tokens of bytes", "256, <0x00> ... <0xFF>");
  for (unsigned b = 0; b < 256; ++b) out->decoder.fixed.emplace(pieces.bytes[b], std::string(1, static_cast<char>(b)));
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto id = static_cast<token>(i);
    if (read.types[i] == normal && !names[i].empty() && !out->decoder.fixed.contains(id)) pieces.plain.push_back(id);
    if (read.types[i] == control || read.types[i] == unknown) out->decoder.fixed.emplace(id, "");
  }
  const std::string mark(visible_blank);
  std::vector<normalizer> stages;
  const bool prefix = keys.flag_or(add_space_key, true);
  if (prefix) stages.push_back(prepend(mark));
  stages.push_back(replace_pattern(pattern(pattern::kind::literal, " ", where), mark));
  out->tokens = read.tokens;
  out->model = score_model(read.tokens, std::move(pieces));
  out->normalize = in_order(std::move(stages));
  out->decoder.each.emplace_back([prefix, to_blank = decode_metaspace(mark, false)](std::string text, bool first) {
    text = to_blank(std::move(text), first);
    if (first && prefix && text.starts_with(' ')) text.erase(0, 1);  // the implicit blank is not part of the text
    return text;
  });
  out->decoder.whole.push_back(decode_metaspace(mark, false));  // also where its bytes are tokens of their own
  out->keeps_bytes = true;
  add_ends(keys, true, 1, 2, *out);
  out->decoder.first_after = out->single.front().ids.empty() ? token{-1} : out->single.front().ids.front();
  out->add_tokens(std::move(read.added));
  return tokenizer(out);
}

}  // namespace

tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  const std::string_view model = keys.text(model_key);
  if (model == "gpt2") return byte_level_tokenizer(keys, where);
  if (model == "llama") return score_tokenizer(keys, where);
  keys.refuse(model_key, "gpt2 or llama");
}

namespace {

/// Pads a vocabulary to the number of rows of the embedding, as llama.cpp requires.
void pad_vocabulary(std::vector<std::string>& tokens, std::vector<std::int32_t>& types, std::size_t size) {
  for (std::size_t i = tokens.size(); i < size; ++i) {
    tokens.push_back("[PAD" + std::to_string(i) + "]");
    types.push_back(unused);
  }
}

/// Names tokens and their roles as the files of a folder say.
void add_added_tokens(const fs::path& folder, std::vector<std::string>& tokens, std::vector<std::int32_t>& types) {
  for (const auto& [id, added] : listed_tokens(folder)) {
    if (id >= tokens.size() || (types[id] != unused && tokens[id] != added.text))
      continue;  // the vocabulary has another
    tokens[id] = added.text;
    if (types[id] == unused || types[id] == normal) types[id] = added.special ? control : user_defined;
  }
}

/// The token that every document begins with, and the one that it ends with.
struct document_tokens {
  std::optional<precis::token> bos, eos;
};
[[nodiscard]] document_tokens document_tokens_of(const tokenizer& t, std::string_view where) {
  const std::vector<precis::token> text = t.encode("a", start::middle), document = t.encode("a", start::document);
  const auto at = std::ranges::search(document, text);
  const auto before = at.begin() - document.begin(), after = document.end() - at.end();
  if (before > 1 || after > 1)
    refuse_input(where, "documents that begin or end with several tokens", "at most one at each end, for GGUF");
  document_tokens found;
  if (before == 1) found.bos = document.front();
  if (after == 1) found.eos = document.back();
  return found;
}

void add_byte_bpe(const fs::path& folder, const tokenizer& loaded, gguf_vocabulary& model, gguf_metadata& out) {
  const mapped_file vocab(folder / "vocab.json"), merges(folder / "merges.txt");
  const json vocabulary = parse_json(vocab.text(), (folder / "vocab.json").string());
  std::vector<std::string> tokens(vocabulary.size()), lines;
  for (const auto& [name, id] : vocabulary.items()) tokens[id.get<std::size_t>()] = name;
  for (std::string_view rest = merges.text(); !rest.empty();) {
    const std::size_t stop = rest.find('\n');
    std::string_view line = rest.substr(0, stop);
    const bool first = line.data() == merges.text().data();
    rest = stop == std::string_view::npos ? std::string_view{} : rest.substr(stop + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !(first && line.starts_with("#version"))) lines.emplace_back(line);
  }
  std::vector<std::int32_t> types(tokens.size(), normal);
  pad_vocabulary(tokens, types, model.tokens);
  add_added_tokens(folder, tokens, types);
  const document_tokens around = document_tokens_of(loaded, folder.string());
  if (around.bos) model.bos = around.bos;
  if (around.eos) {
    std::erase(model.eos, *around.eos);
    model.eos.insert(model.eos.begin(), *around.eos);
  }
  std::vector<precis::token> roles = model.eos;
  if (model.bos) roles.push_back(*model.bos);
  for (const precis::token id : roles)
    if (auto& type = types[static_cast<std::size_t>(id)]; type == normal) type = control;
  const std::map<std::string, std::string> special = special_texts(folder);
  for (const auto& [name, key] : {std::pair{"unk_token", "tokenizer.ggml.unknown_token_id"},
                                  {"pad_token", "tokenizer.ggml.padding_token_id"},
                                  {"sep_token", "tokenizer.ggml.seperator_token_id"},  // spelt so by the format
                                  {"mask_token", "tokenizer.ggml.mask_token_id"}})
    if (const auto at = special.find(name); at != special.end())
      if (const auto found = std::ranges::find(tokens, at->second); found != tokens.end())
        out.emplace_back(key, static_cast<std::uint32_t>(found - tokens.begin()));
  out.emplace_back(model_key, std::string("gpt2"));
  out.emplace_back(pre_key, std::string("gpt-2"));
  out.emplace_back(tokens_key, std::move(tokens));
  out.emplace_back(types_key, std::move(types));
  out.emplace_back(merges_key, std::move(lines));
  out.emplace_back(add_bos_key, around.bos.has_value());
  out.emplace_back(add_eos_key, around.eos.has_value());
}

/// The default chat template, and the others by name.
void add_chat_templates(const fs::path& folder, gguf_metadata& out) {
  std::vector<std::string> names;
  for (auto& [name, text] : chat_templates(folder)) {
    out.emplace_back(std::string(template_key) + (name.empty() ? "" : "." + name), std::move(text));
    if (!name.empty()) names.push_back(name);
  }
  if (!names.empty()) out.emplace_back("tokenizer.chat_templates", std::move(names));
}

void add_score_bpe(const fs::path& file, const gguf_vocabulary& model, gguf_metadata& out) {
  const mapped_file mapped(file);
  std::span<const std::byte> rest = mapped.bytes().subspan(4);
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  while (!rest.empty()) {  // load_tokenizer has checked the file
    float score = 0;
    std::uint32_t length = 0;
    std::memcpy(&score, rest.data(), 4);
    std::memcpy(&length, rest.data() + 4, 4);
    const std::string_view text(reinterpret_cast<const char*>(rest.data()) + 8, length);
    const std::size_t id = tokens.size();
    constexpr std::string_view first[] = {"<unk>", "<s>", "</s>"};
    types.push_back(id == 0 ? unknown : id < 3 ? control : id < 259 ? byte : normal);
    tokens.push_back(id < 3     ? std::string(first[id])
                     : id < 259 ? std::string(text)
                                : replaced(text, " ", visible_blank));
    scores.push_back(score);
    rest = rest.subspan(8 + length);
  }
  pad_vocabulary(tokens, types, model.tokens);
  if (!model.folder.empty()) add_added_tokens(model.folder, tokens, types);
  scores.resize(tokens.size(), -1e4f);
  out.emplace_back(model_key, std::string("llama"));
  out.emplace_back(tokens_key, std::move(tokens));
  out.emplace_back(scores_key, std::move(scores));
  out.emplace_back(types_key, std::move(types));
  out.emplace_back("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  out.emplace_back(add_bos_key, true);
}

}  // namespace

void add_gguf_tokenizer(const fs::path& path, const tokenizer& loaded, const gguf_vocabulary& of_model,
                        gguf_metadata& out) {
  if (path.empty()) {
    out.emplace_back(model_key, std::string("none"));
    return;
  }
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (has_gguf_name(path) || (folder && !fs::exists(path / "vocab.json", ignored)))
    refuse_input(path.string(), "a tokenizer that cannot be copied into a GGUF file",
                 "vocab.json and merges.txt, or a tok*.bin");
  gguf_vocabulary model = of_model;
  if (folder) {
    add_byte_bpe(path, loaded, model, out);
  } else {
    add_score_bpe(path, model, out);
    if (const auto own = std::ranges::find(model.eos, token{2}); own != model.eos.end())
      std::rotate(model.eos.begin(), own, own + 1);  // the one that readers of such a vocabulary expect comes first
  }
  if (model.bos) out.emplace_back(bos_key, static_cast<std::uint32_t>(*model.bos));
  constexpr std::string_view ends[] = {eos_key, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  for (std::size_t i = 0; i < std::min(model.eos.size(), std::size(ends)); ++i)
    out.emplace_back(ends[i], static_cast<std::uint32_t>(model.eos[i]));
  if (!model.folder.empty()) add_chat_templates(model.folder, out);
}

}  // namespace engine
