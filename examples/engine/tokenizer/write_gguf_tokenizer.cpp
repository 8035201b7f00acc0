#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/tokenizer/folder_tokens.hpp>
#include <engine/tokenizer/gguf_keys.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>
#include <engine/tokenizer/gguf_vocabulary.hpp>
#include <engine/tokenizer/pipeline.hpp>
#include <engine/tokenizer/utf8.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <system_error>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;
using precis::token;
using namespace gguf_key;

[[nodiscard]] bool is_there(const fs::path& file) {
  std::error_code ignored;
  return fs::exists(file, ignored);
}

/// The form of the vocabulary at `path`, which load_tokenizer read from the same file.
[[nodiscard]] gguf_form form_at(const fs::path& path, const tokenizer& loaded) {
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  const auto json_form = [&](const fs::path& file) {
    const mapped_file mapped(file);
    return form_of_tokenizer_json(parse_json(mapped.text(), file.string()), loaded, file.string());
  };
  const auto model_form = [&](const fs::path& file) {
    const mapped_file mapped(file);
    return form_of_sentencepiece(mapped.text(), loaded, file.string());
  };
  if (!folder) {
    if (path.extension() == ".json") return json_form(path);
    if (path.extension() == ".model") return model_form(path);
    return form_of_score_file(mapped_file(path).bytes());
  }
  if (is_there(path / "tokenizer.json")) return json_form(path / "tokenizer.json");
  if (is_there(path / "vocab.txt") && !is_there(path / "vocab.json")) return form_of_vocab_txt(loaded);
  if (is_there(path / "tokenizer.model")) return model_form(path / "tokenizer.model");
  const mapped_file merges(path / "merges.txt");
  return form_of_merges_txt(merges.text(), loaded, path.string());
}

/// Pads a vocabulary to the number of rows of the embedding, as llama.cpp requires. An id without a token gets a name too.
void pad(gguf_form& form, std::size_t size) {
  for (std::size_t i = 0; i < std::max(form.tokens.size(), size); ++i) {
    if (i == form.tokens.size()) {
      form.tokens.emplace_back();
      form.types.push_back(gguf_token_type::unused);
    }
    if (form.tokens[i].empty()) {
      form.tokens[i] = "[PAD" + std::to_string(i) + "]";
      form.types[i] = gguf_token_type::unused;
    }
  }
  if (!form.scores.empty()) form.scores.resize(form.tokens.size(), -1e4f);
}

/// Names tokens and their roles as the files of a folder say.
void add_listed_tokens(const fs::path& folder, gguf_form& form) {
  for (const auto& [id, added] : listed_tokens(folder)) {
    if (id >= form.tokens.size()) continue;
    gguf_token_type& type = form.types[id];
    if (type != gguf_token_type::unused && form.tokens[id] != added.text) continue;  // the vocabulary has another
    form.tokens[id] = added.text;
    if (type == gguf_token_type::unused || type == gguf_token_type::normal)
      type = added.special ? gguf_token_type::control : gguf_token_type::user_defined;
  }
}

/// The token that every document begins with, and the one that it ends with.
struct document_tokens {
  std::optional<token> bos, eos;
};
[[nodiscard]] document_tokens document_tokens_of(const tokenizer& t, std::string_view where) {
  document_tokens found;
  bool after = false;
  for (const template_part& part : t.stages().single) {
    if (part.sequence) {
      after = true;
      continue;
    }
    for (const token id : part.ids) {
      std::optional<token>& end = after ? found.eos : found.bos;
      if (end)
        refuse_input(where, "documents that begin or end with several tokens", "at most one at each end, for GGUF");
      end = id;
    }
  }
  return found;
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

/// The ids of the tokens that a folder names for padding and the like.
void add_roles(const fs::path& folder, const gguf_form& form, gguf_metadata& out) {
  const std::map<std::string, std::string> special = special_texts(folder);
  for (const auto& [name, key] : {std::pair{"unk_token", unknown_key},
                                  {"pad_token", padding_key},
                                  {"sep_token", separator_key},
                                  {"mask_token", mask_key}}) {
    const auto at = special.find(name);
    if (at == special.end() || std::ranges::find(out, key, [](const auto& k) { return k.first; }) != out.end())
      continue;
    if (const auto found = std::ranges::find(form.tokens, at->second); found != form.tokens.end())
      out.emplace_back(key, static_cast<std::uint32_t>(found - form.tokens.begin()));
  }
}

/// An array of bytes as gguf_stored has it.
[[nodiscard]] std::vector<std::byte> stored_array(std::string_view bytes) {
  std::string text;
  const auto put = [&](auto number) { text.append(reinterpret_cast<const char*>(&number), sizeof number); };
  put(static_cast<std::uint32_t>(gguf_type::array));
  put(static_cast<std::uint32_t>(gguf_type::u8));
  put(std::uint64_t{bytes.size()});
  text += bytes;
  const auto view = std::as_bytes(std::span(text.data(), text.size()));
  return {view.begin(), view.end()};
}

void add_form(const gguf_form& form, gguf_metadata& out) {
  out.emplace_back(model_key, form.model);
  if (!form.pre.empty()) out.emplace_back(pre_key, form.pre);
  out.emplace_back(tokens_key, form.tokens);
  if (!form.scores.empty()) out.emplace_back(scores_key, form.scores);
  std::vector<std::int32_t> types(form.types.size());
  std::ranges::transform(form.types, types.begin(), [](gguf_token_type t) { return static_cast<std::int32_t>(t); });
  out.emplace_back(types_key, std::move(types));
  if (form.model == "gpt2") out.emplace_back(merges_key, form.merges);
  if (!form.charsmap.empty()) out.emplace_back(charsmap_key, stored_array(form.charsmap));
  if (form.unknown) out.emplace_back(unknown_key, static_cast<std::uint32_t>(*form.unknown));
  out.insert(out.end(), form.flags.begin(), form.flags.end());
}

/// The texts whose tokens the keys change; the probes come first.
[[nodiscard]] std::vector<std::string> changed_texts(const tokenizer& loaded, const gguf_metadata& keys,
                                                     std::string_view where) {
  const std::string file = gguf_text(keys);
  const tokenizer written = parse_gguf_tokenizer(std::as_bytes(std::span(file.data(), file.size())), where);
  std::vector<std::string> texts(probe_texts().begin(), probe_texts().end());
  texts.insert(texts.end(), rare_texts().begin(), rare_texts().end());
  const std::vector<std::string>& names = loaded.stages().tokens->names;  // a thousand of them, of all kinds
  const std::size_t step = std::max<std::size_t>(names.size() / 1000, 1);
  for (std::size_t i = 0; i < names.size(); i += step)
    if (!names[i].empty()) texts.push_back(loaded.text_of(static_cast<token>(i)));
  std::erase_if(texts, [&](const std::string& text) {
    return valid_end(text, 0) != text.size() || loaded.encode(text) == written.encode(text);
  });
  return texts;
}

}  // namespace

std::vector<std::string> add_gguf_tokenizer(const fs::path& path, const tokenizer& loaded,
                                            const gguf_vocabulary& of_model, gguf_metadata& out) {
  std::vector<std::string> warnings;
  if (path.empty()) {
    out.emplace_back(model_key, std::string("none"));
    return warnings;
  }
  if (has_gguf_name(path)) {
    const mapped_file file(path);
    const gguf_header header = parse_gguf(file.bytes(), path.string());
    for (const gguf_stored& k : header.stored)
      if (k.key.starts_with("tokenizer."))
        out.emplace_back(k.key, std::vector<std::byte>(k.value.begin(), k.value.end()));
    return warnings;
  }
  const std::string where = path.string();
  gguf_vocabulary model = of_model;
  gguf_form form = form_at(path, loaded);
  pad(form, model.tokens);
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (const fs::path& files = folder ? path : model.folder; !files.empty()) add_listed_tokens(files, form);
  const document_tokens around = document_tokens_of(loaded, where);
  if (form.model == "bert" && (!around.bos || !around.eos))
    refuse_input(where, "WordPiece documents without a token at both ends, such as [CLS] and [SEP]",
                 "both, which llama.cpp always adds");
  if (around.bos && path.extension() != ".bin") model.bos = around.bos;  // of a tok*.bin it is the format's default
  if (around.eos) {
    std::erase(model.eos, *around.eos);
    model.eos.insert(model.eos.begin(), *around.eos);
  }
  std::vector<token> roles = model.eos;
  if (model.bos) roles.push_back(*model.bos);
  for (const token id : roles)
    if (static_cast<std::size_t>(id) < form.types.size())
      if (auto& type = form.types[static_cast<std::size_t>(id)]; type == gguf_token_type::normal)
        type = gguf_token_type::control;
  if (!folder && form.model == "llama")
    if (const auto own = std::ranges::find(model.eos, token{2}); own != model.eos.end())
      std::rotate(model.eos.begin(), own, own + 1);  // the one that readers of such a vocabulary expect comes first

  gguf_metadata keys;
  if (folder) add_roles(path, form, keys);
  std::erase_if(keys, [&](const auto& k) { return form.unknown && k.first == unknown_key; });
  add_form(form, keys);
  keys.emplace_back(add_bos_key, around.bos.has_value());
  keys.emplace_back(add_eos_key, around.eos.has_value() && form.model != "bert");
  if (model.bos) keys.emplace_back(bos_key, static_cast<std::uint32_t>(*model.bos));
  if (form.model == "bert" && around.eos) {
    std::erase_if(keys, [](const auto& k) { return k.first == separator_key; });
    keys.emplace_back(separator_key, static_cast<std::uint32_t>(*around.eos));
  }
  const std::string_view ends[] = {eos_key, eot_key, eom_key};
  for (std::size_t i = 0; i < std::min(model.eos.size(), std::size(ends)); ++i)
    keys.emplace_back(ends[i], static_cast<std::uint32_t>(model.eos[i]));

  std::optional<std::vector<std::string>> changed;
  gguf_metadata best;
  for (const gguf_metadata& choice : form.choices.empty() ? std::vector<gguf_metadata>(1) : form.choices) {
    gguf_metadata all = keys;
    all.insert(all.end(), choice.begin(), choice.end());
    std::vector<std::string> differ = changed_texts(loaded, all, where);
    if (changed && differ.size() >= changed->size()) continue;
    changed = std::move(differ);
    best = std::move(all);
  }
  keys = std::move(best);
  if (!changed->empty()) {
    const std::string shown = "\"" + replaced(changed->front(), "\n", "\\n") + "\"";
    // A tok*.bin differs only where it has no piece for a blank, which GGUF then spells as U+2581.
    if (path.extension() != ".bin" && std::ranges::find(probe_texts(), changed->front()) != probe_texts().end())
      refuse_input(where,
                   "a normalizer or pre-tokenizer that GGUF's \"" + form.model +
                       "\" vocabularies do not have: the tokens of " + shown + " would change",
                   "tokens that llama.cpp finds too");
    warnings.push_back(where + ": llama.cpp will read some texts as other tokens, for instance " + shown +
                       "; GGUF has no key that would change this");
  }
  std::size_t stripping = 0;
  for (const added_token& t : loaded.stages().added) stripping += t.lstrip || t.rstrip || t.single_word ? 1 : 0;
  if (stripping != 0)
    warnings.push_back(
        where + ": " + std::to_string(stripping) +
        " added tokens take the white space beside them or are words of their own, which GGUF cannot say");
  out.insert(out.end(), std::make_move_iterator(keys.begin()), std::make_move_iterator(keys.end()));
  if (!model.folder.empty()) add_chat_templates(model.folder, out);
  return warnings;
}

}  // namespace engine
