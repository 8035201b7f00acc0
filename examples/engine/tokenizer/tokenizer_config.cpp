#include <engine/tokenizer/tokenizer_config.hpp>

#include <engine/files/files.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/pipeline.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <limits>
#include <system_error>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;
using precis::token;

/// Keys that change no token: of conversations, batches, other implementations, and of the file's origin.
constexpr std::string_view without_effect[] = {"_commit_hash",
                                               "_name_or_path",
                                               "auto_map",
                                               "backend",
                                               "chat_template",
                                               "clean_up_tokenization_spaces",
                                               "device_map",
                                               "errors",
                                               "extra_special_tokens",
                                               "from_slow",
                                               "init_inputs",
                                               "is_local",
                                               "language_codes",
                                               "legacy",
                                               "local_files_only",
                                               "max_length",
                                               "merges_file",
                                               "model_input_names",
                                               "model_max_length",
                                               "model_specific_special_tokens",
                                               "name_or_path",
                                               "pad_to_multiple_of",
                                               "pad_token_type_id",
                                               "padding",
                                               "padding_side",
                                               "processor_class",
                                               "response_schema",
                                               "return_token_type_ids",
                                               "sp_model_kwargs",
                                               "spaces_between_special_tokens",
                                               "special_tokens_map_file",
                                               "stride",
                                               "tokenizer_class",
                                               "tokenizer_file",
                                               "trim_offsets",
                                               "truncation",
                                               "truncation_side",
                                               "truncation_strategy",
                                               "use_default_system_prompt",
                                               "use_fast",
                                               "vocab_file",
                                               "vocab_size"};
constexpr std::string_view honoured[] = {
    "add_bos_token",         "add_eos_token", "add_prefix_space", "added_tokens_decoder", "additional_special_tokens",
    "do_basic_tokenize",     "do_lower_case", "never_split",      "split_special_tokens", "strip_accents",
    "tokenize_chinese_chars"};
constexpr std::string_view roles[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                      "cls_token", "sep_token", "mask_token"};

[[nodiscard]] bool contains(const auto& names, std::string_view key) {
  return std::ranges::find(names, key) != std::end(names);
}

/// A token's text: a string, or an object with more attributes.
[[nodiscard]] std::string content_of(const json& value, const std::string& where, std::string_view key) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_object()) refuse_input(where, "key \"" + std::string(key) + "\" is " + type_of(value), "a token");
  return json_object(value, where).text("content");
}

[[nodiscard]] std::optional<bool> flag(const json_object& keys, std::string_view key) {
  if (keys.find(key) == nullptr) return std::nullopt;
  return keys.flag_or(key, false);
}

void read_names(const json& root, const json_object& keys, const std::string& where, tokenizer_config& to) {
  for (const std::string_view role : roles)
    if (const json* const value = keys.find(role)) to.roles[std::string(role)] = content_of(*value, where, role);
  if (const json* const list = keys.find("additional_special_tokens")) {
    if (!list->is_array()) keys.refuse("key \"additional_special_tokens\" is " + type_of(*list), "an array of tokens");
    for (const json& value : *list) to.special.push_back(content_of(value, where, "additional_special_tokens"));
  }
  (void)root;
}

[[nodiscard]] token id_of(const json_object& keys, std::string_view name, std::size_t id) {
  if (id > static_cast<std::size_t>(std::numeric_limits<token>::max()))
    keys.refuse("token \"" + std::string(name.substr(0, 60)) + "\" has the id " + std::to_string(id), "less than 2^31");
  return static_cast<token>(id);
}

void add_once(std::vector<added_token>& all, added_token t) {
  if (std::ranges::find(all, t.content, &added_token::content) == all.end()) all.push_back(std::move(t));
}

[[nodiscard]] json parsed(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored) ? parse_json(mapped_file(file).text(), file.string()) : json::object();
}

}  // namespace

tokenizer_config read_tokenizer_config(const fs::path& folder) {
  tokenizer_config out;
  out.where = (folder / "tokenizer_config.json").string();
  const json root = parsed(folder / "tokenizer_config.json");
  const json_object keys(root, out.where);
  for (const auto& [key, value] : root.items())
    if (!contains(without_effect, key) && !contains(honoured, key) && !contains(roles, key) &&
        !key.ends_with("_token") && !key.ends_with("_tokens") && !key.ends_with("_token_id"))
      keys.refuse("key \"" + key.substr(0, 60) + "\"", "keys that this engine knows; see docs/tokenizers.md");
  if (!keys.flag_or("do_basic_tokenize", true)) keys.refuse("key \"do_basic_tokenize\" is false", "true");
  out.add_bos = flag(keys, "add_bos_token");
  out.add_eos = flag(keys, "add_eos_token");
  out.add_prefix_space = flag(keys, "add_prefix_space");
  out.lowercase = flag(keys, "do_lower_case");
  out.strip_accents = flag(keys, "strip_accents");
  out.space_ideographs = flag(keys, "tokenize_chinese_chars");
  out.split_special_tokens = keys.flag_or("split_special_tokens", false);
  if (const json* const list = keys.find("added_tokens_decoder")) {
    if (!list->is_object())
      keys.refuse("key \"added_tokens_decoder\" is " + type_of(*list), "an object of ids and their tokens");
    for (const auto& [id, value] : list->items()) {
      const json_object t(value, out.where);
      std::size_t number = 0;
      const auto end = std::from_chars(id.data(), id.data() + id.size(), number);
      if (end.ec != std::errc{} || end.ptr != id.data() + id.size())
        keys.refuse("the id \"" + id.substr(0, 60) + "\" of added_tokens_decoder", "a whole number");
      const std::string content = t.text("content");
      add_once(out.added, {.id = id_of(keys, content, number),
                           .content = content,
                           .single_word = t.flag_or("single_word", false),
                           .lstrip = t.flag_or("lstrip", false),
                           .rstrip = t.flag_or("rstrip", false),
                           .normalized = t.flag_or("normalized", true),
                           .special = t.flag_or("special", false)});
    }
  }
  read_names(root, keys, out.where, out);

  const std::string map_name = (folder / "special_tokens_map.json").string();
  const json map = parsed(map_name);
  const json_object map_keys(map, map_name);
  for (const auto& [key, value] : map.items())
    if (!contains(roles, key) && !key.ends_with("_token") && !key.ends_with("_tokens"))
      map_keys.refuse("key \"" + key.substr(0, 60) + "\"", "bos_token, eos_token and the like");
  tokenizer_config more;
  read_names(map, map_keys, map_name, more);
  out.roles.merge(more.roles);  // those of tokenizer_config.json first
  out.special.insert(out.special.end(), more.special.begin(), more.special.end());

  const std::string added_name = (folder / "added_tokens.json").string();
  const json added = parsed(added_name);
  const json_object added_keys(added, added_name);
  for (const auto& [name, id] : added.items())
    add_once(out.added,
             {.id = id_of(added_keys, name, added_keys.whole_number(name)),
              .content = name,
              .special = contains(out.special, name) ||
                         std::ranges::any_of(out.roles, [&](const auto& role) { return role.second == name; })});
  return out;
}

namespace {

/// The added tokens, and those that have a role and an id in the vocabulary.
[[nodiscard]] std::vector<added_token> with_roles(const tokenizer_config& c) {
  std::vector<added_token> all = c.added;
  constexpr token from_vocabulary = -1;
  for (const auto& [role, name] : c.roles) add_once(all, {.id = from_vocabulary, .content = name, .special = true});
  for (const std::string& name : c.special) add_once(all, {.id = from_vocabulary, .content = name, .special = true});
  return all;
}

}  // namespace

byte_bpe_settings tokenizer_config::byte_bpe() const {
  return {.first = {}, .added = with_roles(*this), .add_prefix_space = add_prefix_space.value_or(false)};
}

wordpiece_settings tokenizer_config::wordpiece() const {
  const bool lower = lowercase.value_or(true);
  return {.lowercase = lower,
          .strip_accents = strip_accents.value_or(lower),
          .space_ideographs = space_ideographs.value_or(true),
          .added = with_roles(*this)};
}

tokenizer tokenizer_config::ends_of_sentencepiece(const tokenizer& t) const {
  const auto out = std::make_shared<pipeline>(t.stages());
  std::vector<added_token> all = added;
  for (const added_token& own : out->added) add_once(all, own);
  out->tokens = with_added(out->tokens, all, where);
  out->add_tokens(std::move(all));
  if (add_bos.value_or(true)) {
    const auto role = roles.find("bos_token");
    const token bos = out->tokens->need(role == roles.end() ? "<s>" : role->second, where + ": bos_token");
    for (token_template* const to : {&out->single, &out->pair}) to->insert(to->begin(), template_part{{}, {bos}, 0});
  }
  return tokenizer(out);
}

tokenizer tokenizer_config::applied(const tokenizer& t) const {
  const auto out = std::make_shared<pipeline>(t.stages());
  const auto contradicts = [&](std::string_view key, bool value, const std::string& how) {
    refuse_input(where, "key \"" + std::string(key) + "\" is " + (value ? "true" : "false"),
                 std::string(value ? "false" : "true") + ", because " + how);
  };
  for (const added_token& a : added) {
    const auto own = out->tokens->find(a.content);
    if (own != a.id)
      refuse_input(where, "the added token \"" + a.content.substr(0, 60) + "\" with the id " + std::to_string(a.id),
                   own ? "the id " + std::to_string(*own) + ", that of the tokenizer" : "a token of the tokenizer");
  }
  for (const auto& [role, name] : roles)
    if (!out->tokens->find(name))
      refuse_input(where, role + " \"" + name.substr(0, 60) + "\" is not in the vocabulary", "one of its tokens");
  if (add_prefix_space && out->prefix_space && *add_prefix_space != *out->prefix_space)
    contradicts("add_prefix_space", *add_prefix_space, "the pre-tokenizer says so");
  if (out->bert) {
    if (lowercase && *lowercase != out->bert->lowercase)
      contradicts("do_lower_case", *lowercase, "the normalizer says so");
    if (strip_accents && *strip_accents != out->bert->strip_accents)
      contradicts("strip_accents", *strip_accents, "the normalizer says so");
    if (space_ideographs && *space_ideographs != out->bert->space_ideographs)
      contradicts("tokenize_chinese_chars", *space_ideographs, "the normalizer says so");
  }
  // The tokens at both ends of a document. A template that already has them stays as it is.
  const auto end_token = [&](const std::optional<bool>& wanted, std::string_view key, const char* role, bool first) {
    if (!wanted) return;
    const auto name = roles.find(role);
    if (name == roles.end()) {
      if (*wanted) refuse_input(where, "key \"" + std::string(key) + "\" is true without " + role, std::string(role));
      return;
    }
    const token id = *out->tokens->find(name->second);
    token_template& single = out->single;
    const template_part& end = first ? single.front() : single.back();
    const bool there = !end.ids.empty() && (first ? end.ids.front() : end.ids.back()) == id;
    if (there == *wanted) return;
    if (there) contradicts(key, false, "the template adds " + name->second);
    for (token_template* const to : {&single, &out->pair})
      to->insert(first ? to->begin() : to->end(), template_part{{}, {id}, 0});
  };
  end_token(add_bos, "add_bos_token", "bos_token", true);
  end_token(add_eos, "add_eos_token", "eos_token", false);
  tokenizer done(out);
  if (split_special_tokens) done.in_text = special_tokens::plain;
  return done;
}

}  // namespace engine
