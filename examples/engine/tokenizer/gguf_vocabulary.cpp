#include <engine/tokenizer/gguf_vocabulary.hpp>

#include <engine/files/messages.hpp>
#include <engine/tokenizer/base64.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/sentencepiece.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <utility>

namespace engine {
namespace {

using precis::token;
using namespace gguf_key;

constexpr std::string_view blank_mark = "\xE2\x96\x81";  // U+2581

/// Tokens with the types that added tokens have; the rest are normal.
[[nodiscard]] gguf_form form_of_tokens(std::string model, const tokenizer& loaded) {
  gguf_form out;
  out.model = std::move(model);
  const pipeline& p = loaded.stages();
  out.tokens = p.tokens->names;
  out.types.assign(out.tokens.size(), gguf_token_type::normal);
  for (std::size_t i = 0; i < out.tokens.size(); ++i)
    if (out.tokens[i].empty()) out.types[i] = gguf_token_type::unused;
  for (const added_token& t : p.added)
    out.types[static_cast<std::size_t>(t.id)] = t.special ? gguf_token_type::control : gguf_token_type::user_defined;
  return out;
}

/// Calls use(stage) for a stage of tokenizer.json and for the stages of a Sequence.
template<class Use>
void for_each_stage(const json* stage, const char* list, const Use& use) {
  if (stage == nullptr || !stage->is_object()) return;
  const auto parts = stage->find(list);
  if (parts != stage->end() && parts->is_array())
    for (const json& part : *parts) for_each_stage(&part, list, use);
  else
    use(*stage);
}
[[nodiscard]] std::string type_name(const json& stage) { return stage.value("type", ""); }
[[nodiscard]] bool has_type(const json* stage, const char* list, std::string_view type) {
  bool found = false;
  for_each_stage(stage, list, [&](const json& s) { found = found || type_name(s) == type; });
  return found;
}

class tokenizer_json {
 public:
  tokenizer_json(const json& root, const tokenizer& loaded, const std::string& where)
      : loaded_(loaded),
        where_(where),
        model_(root.at("model")),
        normalizer_(member(root, "normalizer")),
        split_(member(root, "pre_tokenizer")) {}

  [[nodiscard]] gguf_form form() const {
    const std::string type = model_.value("type", model_.contains("merges") ? "BPE" : "WordPiece");
    if (type == "Unigram") return unigram();
    if (type == "WordPiece") return wordpiece();
    for (const char* const key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (!text(model_, key).empty()) refuse("the " + std::string(key) + " \"" + text(model_, key) + "\" of BPE");
    if (has_type(split_, "pretokenizers", "ByteLevel")) return bytes();
    if (flag(model_, "byte_fallback")) return pieces();
    refuse("BPE without bytes");
  }

 private:
  [[nodiscard]] static const json* member(const json& root, const char* key) {
    const auto found = root.find(key);
    return found == root.end() || found->is_null() ? nullptr : &*found;
  }
  [[nodiscard]] static std::string text(const json& of, const char* key) {
    const json* const found = member(of, key);
    return found != nullptr && found->is_string() ? found->get<std::string>() : std::string();
  }
  [[nodiscard]] static bool flag(const json& of, const char* key) {
    const json* const found = member(of, key);
    return found != nullptr && found->is_boolean() && found->get<bool>();
  }
  [[noreturn]] void refuse(const std::string& what) const {
    refuse_input(where_, what + ", which GGUF's vocabularies do not have",
                 "byte-level BPE, BPE with byte_fallback, Unigram or BERT's WordPiece");
  }
  void only_normalizers(std::initializer_list<std::string_view> known) const {
    for_each_stage(normalizer_, "normalizers", [&](const json& stage) {
      if (std::ranges::find(known, type_name(stage)) == known.end())
        refuse("the normalizer \"" + type_name(stage) + "\"");
    });
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> merges() const {
    std::vector<std::pair<std::string, std::string>> all;
    for (const json& merge : model_.at("merges")) {
      if (merge.is_array()) {
        all.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      } else {
        const std::string line = merge.get<std::string>();
        const std::size_t blank = line.find(' ');
        all.emplace_back(line.substr(0, blank), line.substr(blank + 1));
      }
    }
    return all;
  }

  [[nodiscard]] gguf_form bytes() const {
    only_normalizers({"NFC"});
    for_each_stage(split_, "pretokenizers", [&](const json& stage) {
      const json* const prefix = member(stage, "add_prefix_space");
      if (type_name(stage) == "ByteLevel" && (prefix == nullptr || *prefix == true)) refuse("add_prefix_space of BPE");
    });
    gguf_form out = form_of_tokens("gpt2", loaded_);
    for (const auto& [left, right] : merges()) out.merges.push_back(left + " " + right);
    out.pre = splitter_of(loaded_, out.merges, flag(model_, "ignore_merges"), where_);
    return out;
  }

  /// The score of a piece is the rank of the merge that makes it.
  [[nodiscard]] gguf_form pieces() const {
    only_normalizers({"Prepend", "Replace"});
    gguf_form out = form_of_tokens("llama", loaded_);
    const vocabulary& tokens = *loaded_.stages().tokens;
    constexpr float never = -1e9f;
    out.scores.assign(out.tokens.size(), never);
    float rank = 0;
    for (const auto& [left, right] : merges())
      if (const auto made = tokens.find(left + right))
        if (float& score = out.scores[static_cast<std::size_t>(*made)]; score == never) score = -++rank;
    for (std::size_t i = 0; i < out.tokens.size(); ++i)
      if (out.scores[i] == never && out.types[i] == gguf_token_type::normal) out.scores[i] = -++rank;
    mark_bytes(out);
    out.unknown = tokens.find(text(model_, "unk_token"));
    if (out.unknown) out.types[static_cast<std::size_t>(*out.unknown)] = gguf_token_type::unknown;
    out.choices = {{{std::string(add_space_key), true}}, {{std::string(add_space_key), false}}};
    return out;
  }

  [[nodiscard]] gguf_form unigram() const {
    only_normalizers({"Precompiled", "Replace", "Strip", "Prepend", "NFKC"});
    gguf_form out = form_of_tokens("t5", loaded_);
    out.scores.assign(out.tokens.size(), 0);
    const json& vocab = model_.at("vocab");
    for (std::size_t i = 0; i < std::min(vocab.size(), out.scores.size()); ++i)
      out.scores[i] = static_cast<float>(vocab[i][1].get<double>());
    if (const json* const id = member(model_, "unk_id")) {
      out.unknown = id->get<token>();
      out.types[static_cast<std::size_t>(*out.unknown)] = gguf_token_type::unknown;
    } else {
      refuse("Unigram without an unk_id");
    }
    if (flag(model_, "byte_fallback")) refuse("byte_fallback of Unigram");
    for_each_stage(normalizer_, "normalizers", [&](const json& stage) {
      if (type_name(stage) == "Precompiled")
        out.charsmap = from_base64(text(stage, "precompiled_charsmap")).value_or("");
    });
    for (const bool prefix : {true, false})
      for (const bool merged : {true, false})
        out.choices.push_back({{std::string(add_space_key), prefix}, {std::string(remove_blanks_key), merged}});
    return out;
  }

  [[nodiscard]] gguf_form wordpiece() const {
    if (const std::string prefix = text(model_, "continuing_subword_prefix"); prefix != "##")
      refuse("the continuing_subword_prefix \"" + prefix + "\" of WordPiece");
    only_normalizers({"BertNormalizer"});
    if (!has_type(split_, "pretokenizers", "BertPreTokenizer")) refuse("WordPiece without BertPreTokenizer");
    gguf_form out = form_of_vocab_txt(loaded_);
    const std::string unknown = text(model_, "unk_token");
    out.unknown = loaded_.stages().tokens->find(unknown.empty() ? "[UNK]" : unknown);
    return out;
  }

  static void mark_bytes(gguf_form& out) {
    for (unsigned b = 0; b < 256; ++b)
      if (const auto at = std::ranges::find(out.tokens, byte_token_name(b)); at != out.tokens.end()) {
        const auto id = static_cast<std::size_t>(at - out.tokens.begin());
        out.types[id] = gguf_token_type::byte;
        out.scores[id] = 0;
      }
  }

  const tokenizer& loaded_;
  const std::string& where_;
  const json& model_;
  const json* normalizer_;
  const json* split_;
};

}  // namespace

gguf_form form_of_tokenizer_json(const json& root, const tokenizer& loaded, const std::string& where) {
  return tokenizer_json(root, loaded, where).form();
}

gguf_form form_of_merges_txt(std::string_view merges, const tokenizer& loaded, const std::string& where) {
  gguf_form out = form_of_tokens("gpt2", loaded);
  for (std::string_view rest = merges; !rest.empty();) {
    const std::size_t stop = rest.find('\n');
    std::string_view line = rest.substr(0, stop);
    const bool first = line.data() == merges.data();
    rest = stop == std::string_view::npos ? std::string_view{} : rest.substr(stop + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !(first && line.starts_with("#version"))) out.merges.emplace_back(line);
  }
  if (loaded.stages().prefix_space.value_or(false))
    refuse_input(where, "add_prefix_space, which GGUF's byte-level BPE does not have", "false");
  out.pre = splitter_of(loaded, out.merges, false, where);
  return out;
}

gguf_form form_of_vocab_txt(const tokenizer& loaded) {
  gguf_form out = form_of_tokens("bert", loaded);
  for (std::size_t i = 0; i < out.tokens.size(); ++i) {
    std::string& name = out.tokens[i];
    if (out.types[i] != gguf_token_type::normal) continue;
    if (name.starts_with("##") && name.size() > 2)
      name.erase(0, 2);
    else if (!(name.starts_with('[') && name.ends_with(']') && name.size() > 2))
      name.insert(0, blank_mark);
  }
  out.unknown = loaded.stages().tokens->find("[UNK]");
  if (const auto& rules = loaded.stages().bert) {
    out.flags.emplace_back(lowercase_key, rules->lowercase);
    out.flags.emplace_back(accents_key, rules->strip_accents);
  }
  return out;
}

gguf_form form_of_sentencepiece(std::string_view bytes, const tokenizer& loaded, const std::string& where) {
  const sentencepiece_file file = read_sentencepiece(bytes, where);
  const bool bpe = file.model_type == 2;
  gguf_form out = form_of_tokens(bpe ? "llama" : "t5", loaded);
  out.scores.assign(out.tokens.size(), bpe ? -1e9f : 0.f);
  for (std::size_t i = 0; i < std::min(file.names.size(), out.tokens.size()); ++i) {
    out.scores[i] = file.scores[i];
    if (out.types[i] == gguf_token_type::user_defined) continue;  // also by the other files of the folder
    out.types[i] = static_cast<gguf_token_type>(file.types[i]);
    if (file.types[i] == piece_type::unknown) out.unknown = static_cast<token>(i);
  }
  if (bpe && !file.byte_fallback)
    refuse_input(where, "BPE without bytes, which GGUF's vocabularies do not have", "byte_fallback");
  if (!bpe && file.byte_fallback)
    refuse_input(where, "byte_fallback of Unigram, which GGUF's vocabularies do not have", "no byte_fallback");
  if (bpe && !file.charsmap.empty())
    refuse_input(where, "a table of replacements with BPE, which GGUF's vocabularies do not have", "none");
  out.charsmap = file.charsmap;
  out.flags.emplace_back(add_space_key, file.dummy_prefix);
  if (!bpe) out.flags.emplace_back(remove_blanks_key, file.remove_extra_blanks);
  return out;
}

gguf_form form_of_score_file(std::span<const std::byte> file) {
  gguf_form out;
  out.model = "llama";
  for (std::span<const std::byte> rest = file.subspan(4); !rest.empty();) {
    float score = 0;
    std::uint32_t length = 0;
    std::memcpy(&score, rest.data(), 4);
    std::memcpy(&length, rest.data() + 4, 4);
    const std::string_view text(reinterpret_cast<const char*>(rest.data()) + 8, length);
    const std::size_t id = out.tokens.size();
    constexpr std::string_view first[] = {"<unk>", "<s>", "</s>"};
    out.types.push_back(id == 0    ? gguf_token_type::unknown
                        : id < 3   ? gguf_token_type::control
                        : id < 259 ? gguf_token_type::byte
                                   : gguf_token_type::normal);
    out.tokens.push_back(id < 3     ? std::string(first[id])
                         : id < 259 ? std::string(text)
                                    : replaced(text, " ", blank_mark));
    out.scores.push_back(score);
    rest = rest.subspan(8 + length);
  }
  out.unknown = 0;
  return out;
}

}  // namespace engine
