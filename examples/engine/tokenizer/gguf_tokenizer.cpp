#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/added_tokens.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type",
                           model_key = "tokenizer.ggml.model", scores_key = "tokenizer.ggml.scores",
                           merges_key = "tokenizer.ggml.merges", pre_key = "tokenizer.ggml.pre",
                           bos_key = "tokenizer.ggml.bos_token_id", eos_key = "tokenizer.ggml.eos_token_id",
                           add_bos_key = "tokenizer.ggml.add_bos_token", add_eos_key = "tokenizer.ggml.add_eos_token",
                           template_key = "tokenizer.chat_template";

/// The token types of llama.cpp.
enum token_type : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

constexpr std::string_view visible_blank = "\xE2\x96\x81";  // U+2581, which SentencePiece writes instead of a blank

[[nodiscard]] std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = text.find(from, at);
    out += text.substr(at, next == std::string_view::npos ? next : next - at);
    if (next == std::string_view::npos) break;
    out += to;
    at = next + from.size();
  }
  return out;
}

template<class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  const std::string_view model = keys.text(model_key);
  std::vector<std::string_view> tokens = keys.texts(tokens_key);
  std::vector<std::int32_t> types;
  if (keys.find(types_key) != nullptr) {
    types = keys.integers(types_key);
    if (types.size() != tokens.size())
      keys.refuse(types_key, std::to_string(tokens.size()) + " of them, one per token");
    while (!types.empty() && types.back() == unused) {  // padding to the size of the embedding
      types.pop_back();
      tokens.pop_back();
    }
  }
  if (model == "gpt2") {
    if (const std::string_view pre = keys.text_or(pre_key, "gpt-2"); pre != "gpt-2" && pre != "default")
      keys.refuse(pre_key, "gpt-2");
    json vocabulary = json::object();
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (!vocabulary.emplace(std::string(tokens[i]), i).second)
        refuse_input(where, "token \"" + std::string(tokens[i].substr(0, 60)) + "\" occurs twice", "each token once");
    std::string merges;
    for (const std::string_view merge : keys.texts(merges_key)) {
      if (merge.find_first_of("\r\n") != std::string_view::npos)
        refuse_input(where, "a merge of several lines", "two tokens separated by one blank");
      merges += std::string(merge) + "\n";
    }
    std::string text;
    try {
      text = vocabulary.dump();
    } catch (const json::exception&) {
      refuse_input(where, "a token that is not UTF-8", "GPT-2's vocabulary");
    }
    byte_bpe t(text, merges, where, where);
    if (keys.flag_or(add_bos_key, false)) {
      const std::size_t bos = keys.whole_number(bos_key);
      if (bos >= tokens.size()) keys.refuse(bos_key, "one of the tokens");
      t.begin_documents_with(t.text_of(static_cast<precis::token>(bos)));
    }
    return t;
  }
  if (model == "llama") {
    if (!keys.flag_or(add_bos_key, true)) keys.refuse(add_bos_key, "true");
    if (!keys.flag_or("tokenizer.ggml.add_space_prefix", true)) keys.refuse("tokenizer.ggml.add_space_prefix", "true");
    for (const auto& [key, id] : {std::pair{bos_key, score_bpe::bos}, {eos_key, score_bpe::eos}})
      if (keys.whole_number_or(key, static_cast<std::size_t>(id)) != static_cast<std::size_t>(id))
        keys.refuse(key, std::to_string(id));
    const std::vector<float> scores = keys.floats(scores_key);
    if (scores.size() < tokens.size())
      keys.refuse(scores_key, std::to_string(tokens.size()) + " of them, one per token");
    std::string pieces;
    std::size_t longest = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool plain = types.empty() || types[i] == normal;
      const std::string text = plain ? replaced(tokens[i], visible_blank, " ") : std::string(tokens[i]);
      longest = std::max(longest, text.size());
      append(pieces, scores[i]);
      append(pieces, static_cast<std::uint32_t>(text.size()));
      pieces += text;
    }
    std::string whole;
    append(whole, static_cast<std::uint32_t>(longest));
    whole += pieces;
    return score_bpe(std::as_bytes(std::span(whole)), where);
  }
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
  for (const auto& [id, added] : added_tokens(folder)) {
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
  const std::map<std::string, std::string> special = special_tokens(folder);
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
    if (const auto own = std::ranges::find(model.eos, score_bpe::eos); own != model.eos.end())
      std::rotate(model.eos.begin(), own, own + 1);  // the one that readers of such a vocabulary expect comes first
  }
  if (model.bos) out.emplace_back(bos_key, static_cast<std::uint32_t>(*model.bos));
  constexpr std::string_view ends[] = {eos_key, "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  for (std::size_t i = 0; i < std::min(model.eos.size(), std::size(ends)); ++i)
    out.emplace_back(ends[i], static_cast<std::uint32_t>(model.eos[i]));
  if (!model.folder.empty()) add_chat_templates(model.folder, out);
}

}  // namespace engine
