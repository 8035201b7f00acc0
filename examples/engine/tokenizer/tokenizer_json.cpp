#include <engine/tokenizer/tokenizer.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/base64.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/unicode.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <utility>

namespace engine {
namespace {

using precis::token;

/// An object of tokenizer.json with a "type". Every member that the program does not know is refused.
class component {
 public:
  component(const json& value, std::string where) : where_(std::move(where)), value_(&value), keys_(value, where_) {}

  [[nodiscard]] const std::string& where() const noexcept { return where_; }
  [[nodiscard]] std::string type() const { return keys_.text("type"); }
  [[nodiscard]] const json_object& keys() const noexcept { return keys_; }
  [[nodiscard]] const json* find(std::string_view key) const { return keys_.find(key); }
  [[noreturn]] void refuse(std::string what, std::string expected) const {
    keys_.refuse(std::move(what), std::move(expected));
  }

  /// Errors: a member that is neither "type" nor one of these.
  void only(std::initializer_list<std::string_view> known) const {
    for (const auto& [key, value] : value_->items())
      if (key != "type" && std::ranges::find(known, key) == known.end())
        refuse("the setting \"" + key + "\"" + (find("type") == nullptr ? "" : " of " + type()),
               "settings that this engine knows");
  }
  [[nodiscard]] const json& need(std::string_view key) const {
    const json* const found = find(key);
    if (found == nullptr) refuse("no \"" + std::string(key) + "\"", "it to be there");
    return *found;
  }
  [[nodiscard]] const json& list(std::string_view key) const {
    const json& found = need(key);
    if (!found.is_array()) refuse("\"" + std::string(key) + "\" is " + type_of(found), "an array");
    return found;
  }
  [[noreturn]] void unsupported(std::string_view kind) const {
    refuse("the " + std::string(kind) + " \"" + type() + "\"", "one that this engine supports; see docs/tokenizers.md");
  }
  [[nodiscard]] component part(const json& value) const { return {value, where_}; }

 private:
  std::string where_;
  const json* value_;
  json_object keys_;
};

[[nodiscard]] pattern pattern_of(const component& c) {
  const json& value = c.need("pattern");
  if (value.is_string()) return {pattern::kind::literal, value.get_ref<const std::string&>(), c.where()};
  const component p = c.part(value);
  p.only({"String", "Regex"});
  if (p.find("Regex") != nullptr) return {pattern::kind::expression, p.keys().text("Regex"), c.where()};
  return {pattern::kind::literal, p.keys().text("String"), c.where()};
}

[[nodiscard]] delimiter behaviour_of(const component& c, std::string_view otherwise) {
  const std::string name = c.keys().text_or("behavior", otherwise);
  constexpr std::pair<std::string_view, delimiter> all[] = {{"Removed", delimiter::removed},
                                                            {"Isolated", delimiter::isolated},
                                                            {"MergedWithPrevious", delimiter::merged_with_previous},
                                                            {"MergedWithNext", delimiter::merged_with_next},
                                                            {"Contiguous", delimiter::contiguous}};
  for (const auto& [known, value] : all)
    if (name == known) return value;
  c.refuse("the behavior \"" + name + "\"", "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

[[nodiscard]] bert_rules bert_rules_of(const component& c) {
  const bool lower = c.keys().flag_or("lowercase", true);
  return {.clean_text = c.keys().flag_or("clean_text", true),
          .space_ideographs = c.keys().flag_or("handle_chinese_chars", true),
          .strip_accents = c.keys().flag_or("strip_accents", lower),
          .lowercase = lower};
}

[[nodiscard]] normalizer normalizer_of(const component& c) {
  const std::string type = c.type();
  if (type == "Sequence") {
    c.only({"normalizers"});
    std::vector<normalizer> stages;
    for (const json& stage : c.list("normalizers")) stages.push_back(normalizer_of(c.part(stage)));
    return in_order(std::move(stages));
  }
  constexpr std::pair<std::string_view, normal_form> forms[] = {
      {"NFC", normal_form::nfc}, {"NFD", normal_form::nfd}, {"NFKC", normal_form::nfkc}, {"NFKD", normal_form::nfkd}};
  for (const auto& [name, form] : forms)
    if (type == name) {
      c.only({});
      return normalize_unicode(form);
    }
  if (type == "Lowercase") {
    c.only({});
    return lowercase();
  }
  if (type == "StripAccents") {
    c.only({});
    return strip_marks(marks::all);
  }
  if (type == "Strip") {
    c.only({"strip_left", "strip_right"});
    return strip_blanks(c.keys().flag_or("strip_left", true), c.keys().flag_or("strip_right", true));
  }
  if (type == "Replace") {
    c.only({"pattern", "content"});
    return replace_pattern(pattern_of(c), c.keys().text("content"));
  }
  if (type == "Prepend") {
    c.only({"prepend"});
    return prepend(c.keys().text("prepend"));
  }
  if (type == "BertNormalizer") {
    c.only({"clean_text", "handle_chinese_chars", "strip_accents", "lowercase"});
    return bert_normalizer(bert_rules_of(c));
  }
  if (type == "Precompiled") {
    c.only({"precompiled_charsmap"});
    const std::optional<std::string> bytes = from_base64(c.keys().text_or("precompiled_charsmap", ""));
    if (!bytes) c.refuse("a precompiled_charsmap that is not base64", "an intact tokenizer file");
    return precompiled_charsmap(*bytes, charsmap_match::graphemes, c.where());
  }
  c.unsupported("normalizer");
}

[[nodiscard]] metaspace_prefix metaspace_prefix_of(const component& c) {
  const std::string scheme =
      c.keys().text_or("prepend_scheme", c.keys().flag_or("add_prefix_space", true) ? "always" : "never");
  if (scheme == "always") return metaspace_prefix::always;
  if (scheme == "first") return metaspace_prefix::first;
  if (scheme == "never") return metaspace_prefix::never;
  c.refuse("the prepend_scheme \"" + scheme + "\"", "always, first or never");
}

[[nodiscard]] std::string metaspace_character(const component& c) {
  c.only({"replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"});
  const std::string replacement = c.keys().text("replacement");
  if (replacement.empty()) c.refuse("an empty \"replacement\"", "a character");
  return replacement;
}

[[nodiscard]] pre_tokenizer pre_tokenizer_of(const component& c) {
  const std::string type = c.type();
  if (type == "Sequence") {
    c.only({"pretokenizers"});
    std::vector<pre_tokenizer> stages;
    for (const json& stage : c.list("pretokenizers")) stages.push_back(pre_tokenizer_of(c.part(stage)));
    return in_order(std::move(stages));
  }
  if (type == "Split") {
    c.only({"pattern", "behavior", "invert"});
    return split_at(pattern_of(c), behaviour_of(c, ""), c.keys().flag_or("invert", false));
  }
  if (type == "ByteLevel") {
    c.only({"add_prefix_space", "trim_offsets", "use_regex"});  // offsets are never trimmed here
    return byte_level(c.keys().flag_or("add_prefix_space", true), c.keys().flag_or("use_regex", true));
  }
  if (type == "Metaspace") {
    const std::string replacement = metaspace_character(c);
    return metaspace(replacement, metaspace_prefix_of(c), c.keys().flag_or("split", true));
  }
  if (type == "Digits") {
    c.only({"individual_digits"});
    return split_at(is_number,
                    c.keys().flag_or("individual_digits", false) ? delimiter::isolated : delimiter::contiguous);
  }
  if (type == "Punctuation") {
    c.only({"behavior"});
    return split_at(is_punctuation, behaviour_of(c, "Isolated"));
  }
  if (type == "CharDelimiterSplit") {
    c.only({"delimiter"});
    return split_at(pattern(pattern::kind::literal, c.keys().text("delimiter"), c.where()), delimiter::removed, false);
  }
  if (type == "BertPreTokenizer" || type == "Whitespace" || type == "WhitespaceSplit") {
    c.only({});
    if (type == "Whitespace") return word_runs();
    return type == "BertPreTokenizer" ? bert_words() : split_at(is_white_space, delimiter::removed);
  }
  c.unsupported("pre-tokenizer");
}

/// Whether every byte of a text reaches the model as a character of GPT-2's table.
[[nodiscard]] bool is_byte_level(const json* stage) {
  if (stage == nullptr || !stage->is_object()) return false;
  if (stage->value("type", "") == "ByteLevel") return true;
  const auto list = stage->find("pretokenizers");
  return list != stage->end() && list->is_array() &&
         std::ranges::any_of(*list, [](const json& s) { return is_byte_level(&s); });
}

[[nodiscard]] std::size_t id_of(const component& c, const json& value, std::string_view name) {
  if (!value.is_number_unsigned())
    c.refuse("token \"" + std::string(name.substr(0, 60)) + "\" has " + type_of(value) + " as its id",
             "a whole number");
  return value.get<std::size_t>();
}

struct read_model {
  std::shared_ptr<vocabulary> tokens = std::make_shared<vocabulary>();
  merge_names merges;
  std::vector<double> scores;
};

void read_vocabulary(const component& c, read_model& to) {
  const json& vocab = c.need("vocab");
  if (!vocab.is_object()) c.refuse("\"vocab\" is " + type_of(vocab), "an object of tokens and their ids");
  for (const auto& [name, id] : vocab.items()) to.tokens->add(name, id_of(c, id, name), vocab.size(), c.where());
}

void read_merges(const component& c, read_model& to) {
  for (const json& merge : c.list("merges")) {
    const std::string number = "merge " + std::to_string(to.merges.size() + 1);
    if (merge.is_string()) {
      const std::string& line = merge.get_ref<const std::string&>();
      const std::size_t blank = line.find(' ');
      if (blank == std::string::npos || blank == 0 || blank + 1 == line.size() ||
          line.find(' ', blank + 1) != std::string::npos)
        c.refuse(number + ": \"" + line.substr(0, 60) + "\"", "two tokens separated by one blank");
      to.merges.emplace_back(line.substr(0, blank), line.substr(blank + 1));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      to.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
    } else {
      c.refuse(number + " is " + type_of(merge), "two tokens");
    }
  }
}

void read_scores(const component& c, read_model& to) {
  const json& vocab = c.list("vocab");
  for (const json& entry : vocab) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number() ||
        !std::isfinite(entry[1].get<double>()))
      c.refuse("token " + std::to_string(to.scores.size()) + " is " + type_of(entry), "a text and its score");
    to.tokens->add(entry[0].get<std::string>(), to.scores.size(), vocab.size(), c.where());
    to.scores.push_back(entry[1].get<double>());
  }
}

/// The model, made once all tokens are known.
[[nodiscard]] std::unique_ptr<token_model> model_of(const component& c, const std::string& type, read_model& read) {
  const std::string unknown = c.keys().text_or("unk_token", "");
  if (type == "BPE") {
    c.only({"dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
            "ignore_merges", "vocab", "merges"});
    if (c.keys().number_or("dropout", 0) != 0) c.refuse("a \"dropout\" that is not 0", "null: encoding is not random");
    bpe_rules rules{.unknown = {},
                    .fuse_unknown = c.keys().flag_or("fuse_unk", false),
                    .byte_fallback = c.keys().flag_or("byte_fallback", false),
                    .ignore_merges = c.keys().flag_or("ignore_merges", false),
                    .prefix = c.keys().text_or("continuing_subword_prefix", ""),
                    .suffix = c.keys().text_or("end_of_word_suffix", "")};
    if (!unknown.empty()) rules.unknown = read.tokens->need(unknown, c.where());
    return bpe_model(read.tokens, read.merges, std::move(rules), c.where());
  }
  if (type == "WordPiece") {
    c.only({"unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab"});
    return wordpiece_model(read.tokens, {.unknown = read.tokens->need(unknown.empty() ? "[UNK]" : unknown, c.where()),
                                         .prefix = c.keys().text_or("continuing_subword_prefix", "##"),
                                         .longest_word = c.keys().whole_number_or("max_input_chars_per_word", 100)});
  }
  c.only({"unk_id", "vocab", "byte_fallback"});
  unigram_pieces pieces{.scores = std::move(read.scores),
                        .plain = {},
                        .unknown = {},
                        .byte_fallback = c.keys().flag_or("byte_fallback", false)};
  for (std::size_t id = 0; id < pieces.scores.size(); ++id) pieces.plain.push_back(static_cast<token>(id));
  if (c.find("unk_id") != nullptr) {
    const std::size_t id = c.keys().whole_number("unk_id");
    if (id >= pieces.scores.size()) c.refuse("the unk_id " + std::to_string(id), "one of the tokens");
    pieces.unknown = static_cast<token>(id);
  }
  return unigram_model(read.tokens, std::move(pieces));
}

[[nodiscard]] std::string model_type(const component& c) {
  if (c.find("type") != nullptr) return c.type();
  return c.find("merges") != nullptr ? "BPE" : "WordPiece";  // older files do not name it
}

[[nodiscard]] std::vector<added_token> added_tokens_of(const component& file) {
  std::vector<added_token> added;
  if (file.find("added_tokens") == nullptr) return added;
  const json& list = file.list("added_tokens");
  for (const json& entry : list) {
    const component c(entry, file.where());
    c.only({"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    added_token t{.id = 0,
                  .content = c.keys().text("content"),
                  .single_word = c.keys().flag_or("single_word", false),
                  .lstrip = c.keys().flag_or("lstrip", false),
                  .rstrip = c.keys().flag_or("rstrip", false),
                  .normalized = c.keys().flag_or("normalized", true),
                  .special = c.keys().flag_or("special", false)};
    if (t.content.empty()) c.refuse("an added token without text", "text");
    const std::size_t id = id_of(c, c.need("id"), t.content);
    if (id > static_cast<std::size_t>(std::numeric_limits<token>::max()))
      c.refuse("the added token \"" + t.content.substr(0, 60) + "\" has the id " + std::to_string(id),
               "less than 2^31");
    t.id = static_cast<token>(id);
    added.push_back(std::move(t));
  }
  return added;
}

struct templates {
  token_template single, pair;
};

[[nodiscard]] token_template template_of(const component& c, std::string_view key, const vocabulary& tokens) {
  token_template out;
  const json* const special = c.find("special_tokens");
  for (const json& entry : c.list(key)) {
    const component item = c.part(entry);
    item.only({"SpecialToken", "Sequence"});
    const bool is_text = item.find("Sequence") != nullptr;
    const component value = c.part(item.need(is_text ? "Sequence" : "SpecialToken"));
    value.only({"id", "type_id"});
    template_part part{
        .sequence = {}, .ids = {}, .type_id = static_cast<unsigned>(value.keys().whole_number_or("type_id", 0))};
    const std::string id = value.keys().text("id");
    if (is_text) {
      if (id != "A" && id != "B") c.refuse("the sequence \"" + id + "\" of a template", "A or B");
      part.sequence = id == "A" ? 0u : 1u;
    } else {
      if (special == nullptr || !special->is_object() || !special->contains(id))
        c.refuse("the special token \"" + id.substr(0, 60) + "\" of a template", "one of its special_tokens");
      for (const json& number : c.part(special->at(id)).list("ids")) {
        const std::size_t n = id_of(c, number, id);
        if (n >= tokens.names.size() || tokens.names[n].empty())
          c.refuse("id " + std::to_string(n) + " of the special token \"" + id.substr(0, 60) + "\"",
                   "one of the tokens");
        part.ids.push_back(static_cast<token>(n));
      }
    }
    out.push_back(std::move(part));
  }
  return out;
}

/// ["[SEP]", 102]
[[nodiscard]] token named_token(const component& c, std::string_view key, const vocabulary& tokens) {
  const json& value = c.list(key);
  if (value.size() != 2 || !value[0].is_string())
    c.refuse("\"" + std::string(key) + "\" is not a token and its id", "both");
  const std::size_t id = id_of(c, value[1], value[0].get_ref<const std::string&>());
  if (id >= tokens.names.size() || tokens.names[id].empty())
    c.refuse("\"" + std::string(key) + "\" has the id " + std::to_string(id), "one of the tokens");
  return static_cast<token>(id);
}

[[nodiscard]] std::optional<templates> templates_of(const component& c, const vocabulary& tokens) {
  const std::string type = c.type();
  if (type == "ByteLevel") {  // concerns offsets alone
    c.only({"add_prefix_space", "trim_offsets", "use_regex"});
    return std::nullopt;
  }
  if (type == "Sequence") {
    c.only({"processors"});
    std::optional<templates> found;
    for (const json& stage : c.list("processors"))
      if (std::optional<templates> next = templates_of(c.part(stage), tokens)) {
        if (found) c.refuse("two post-processors that add tokens", "one");
        found = std::move(next);
      }
    return found;
  }
  if (type == "TemplateProcessing") {
    c.only({"single", "pair", "special_tokens"});
    return templates{template_of(c, "single", tokens), template_of(c, "pair", tokens)};
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    c.only({"sep", "cls", "trim_offsets", "add_prefix_space"});
    const token sep = named_token(c, "sep", tokens), cls = named_token(c, "cls", tokens);
    if (type == "BertProcessing")
      return templates{{{{}, {cls}, 0}, {0u, {}, 0}, {{}, {sep}, 0}},
                       {{{}, {cls}, 0}, {0u, {}, 0}, {{}, {sep}, 0}, {1u, {}, 1}, {{}, {sep}, 1}}};
    return templates{{{{}, {cls}, 0}, {0u, {}, 0}, {{}, {sep}, 0}},
                     {{{}, {cls}, 0}, {0u, {}, 0}, {{}, {sep, sep}, 0}, {1u, {}, 0}, {{}, {sep}, 0}}};
  }
  c.unsupported("post-processor");
}

void add_decoder(const component& c, token_decoder& to, bool& fused) {
  const std::string type = c.type();
  std::vector<decoder_step>& steps = fused ? to.whole : to.each;
  if (type == "Sequence") {
    c.only({"decoders"});
    for (const json& stage : c.list("decoders")) add_decoder(c.part(stage), to, fused);
  } else if (type == "ByteLevel") {
    c.only({"add_prefix_space", "trim_offsets", "use_regex"});
    steps.push_back(decode_bytes_of_characters());
    fused = true;
  } else if (type == "ByteFallback") {
    c.only({});
    steps.push_back(decode_byte_tokens());
  } else if (type == "Fuse") {
    c.only({});
    fused = true;
  } else if (type == "Metaspace") {
    const std::string replacement = metaspace_character(c);
    steps.push_back(decode_metaspace(replacement, metaspace_prefix_of(c) != metaspace_prefix::never));
  } else if (type == "Replace") {
    c.only({"pattern", "content"});
    steps.push_back(decode_replace(pattern_of(c), c.keys().text("content")));
  } else if (type == "Strip") {
    c.only({"content", "start", "stop"});
    const std::string character = c.keys().text("content");
    if (character.empty()) c.refuse("an empty \"content\" of Strip", "a character");
    steps.push_back(decode_strip(character, c.keys().whole_number("start"), c.keys().whole_number("stop")));
  } else if (type == "WordPiece") {
    c.only({"prefix", "cleanup"});
    steps.push_back(decode_wordpiece(c.keys().text_or("prefix", "##"), c.keys().flag_or("cleanup", true)));
  } else {
    c.unsupported("decoder");
  }
}

}  // namespace

tokenizer parse_tokenizer_json(std::string_view text, const std::string& where) {
  const json root = parse_json(text, where);
  const component file(root, where);
  // Truncation and padding belong to a caller's batch, not to the tokens of a text.
  file.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
             "decoder", "model"});
  if (file.keys().text_or("version", "1.0") != "1.0")
    file.refuse("the version \"" + file.keys().text("version") + "\"", "1.0");
  const auto out = std::make_shared<pipeline>();
  const component model(file.need("model"), where + ": model");
  const std::string type = model_type(model);
  read_model read;
  if (type == "Unigram") {
    read_scores(model, read);
  } else if (type == "BPE" || type == "WordPiece") {
    read_vocabulary(model, read);
    if (type == "BPE") read_merges(model, read);
  } else {
    model.unsupported("model");
  }
  if (read.tokens->names.empty()) model.refuse("no tokens", "a vocabulary");
  // The model sees its own vocabulary alone: an added token's name in a text is found before, or is plain text.
  std::vector<added_token> added = added_tokens_of(file);
  const shared_vocabulary all = with_added(read.tokens, added, where);
  out->tokens = all;
  out->model = model_of(model, type, read);

  if (const json* const stage = file.find("normalizer")) {
    const component c(*stage, where + ": normalizer");
    out->normalize = normalizer_of(c);
    if (c.type() == "BertNormalizer") out->bert = bert_rules_of(c);
  }
  const json* const split = file.find("pre_tokenizer");
  if (split != nullptr) {
    const component c(*split, where + ": pre_tokenizer");
    out->split = pre_tokenizer_of(c);
    if (c.type() == "ByteLevel") out->prefix_space = c.keys().flag_or("add_prefix_space", true);
  }
  if (const json* const stage = file.find("post_processor"))
    if (auto found = templates_of({*stage, where + ": post_processor"}, *all)) {
      out->single = std::move(found->single);
      out->pair = std::move(found->pair);
    }
  if (const json* const stage = file.find("decoder")) {
    bool fused = false;
    add_decoder({*stage, where + ": decoder"}, out->decoder, fused);
  } else {
    out->decoder.separator = " ";
  }
  const auto all_bytes = [&](const auto& name) {
    for (unsigned b = 0; b < 256; ++b)
      if (!read.tokens->find(name(b))) return false;
    return true;
  };
  out->keeps_bytes = (is_byte_level(split) &&
                      all_bytes([](unsigned b) { return character_of_byte(static_cast<unsigned char>(b)); })) ||
                     (model.keys().flag_or("byte_fallback", false) && all_bytes(byte_token_name));
  out->add_tokens(std::move(added));
  return tokenizer(out);
}

}  // namespace engine
