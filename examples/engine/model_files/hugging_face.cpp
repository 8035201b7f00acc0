#include <engine/model_files/source.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/quantized_checkpoint.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] std::string text_of(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (const std::size_t e : shape) text += (text.size() == 1 ? "" : ", ") + std::to_string(e);
  return text + "]";
}

constexpr std::string_view codec_key = "precis.codec:";

/// "affine4.row 768x256", followed by " rotary=adjacent" if the rows of a rotary map are in the engine's order.
struct codec_line {
  std::string codec;
  std::size_t out = 0;
  std::size_t in = 0;
  bool adjacent = false;
};

[[nodiscard]] codec_line parse_codec_line(std::string_view text, std::string_view where) {
  const auto fail = [&] {
    refuse_input(where, "the metadata value \"" + precis::shown(text) + "\"",
                 "CODEC OUTxIN, for instance affine4.row 768x256");
  };
  codec_line l;
  const std::vector<precis::text::line> lines = precis::text::split(text);
  if (lines.size() != 1 || lines[0].words.size() < 2 || lines[0].words.size() > 3) fail();
  const std::vector<std::string_view>& words = lines[0].words;
  l.codec = words[0];
  const std::size_t x = words[1].find('x');
  if (x == std::string_view::npos || !precis::text::read(words[1].substr(0, x), l.out) ||
      !precis::text::read(words[1].substr(x + 1), l.in))
    fail();
  l.adjacent = words.size() == 3;
  if (l.adjacent && words[2] != "rotary=adjacent") fail();
  return l;
}

[[nodiscard]] fs::path container_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path one = folder / "model.safetensors", index = folder / "model.safetensors.index.json";
  if (fs::exists(one, ignored)) return one;
  if (fs::exists(index, ignored)) return index;
  if (fs::exists(folder / "pytorch_model.bin", ignored))
    refuse_input(folder.string(), "weights in pytorch_model.bin", "model.safetensors: convert them first");
  refuse_input(folder.string(), "no weights", "model.safetensors or model.safetensors.index.json");
}

/// Fills in the description of one tensor from `found` and checks it against `wanted`.
void describe(source_tensor& t, const tensor_shape& wanted, const tensor_entry& found, const safetensors& container,
              const fs::path& folder) {
  const std::string tensor = "tensor \"" + precis::shown(found.name) + "\"";
  t.name = wanted.name;
  t.stored_name = found.name;
  t.file = (folder / container.file_name(found)).string();
  t.type = found.type;
  t.shape = wanted.shape;
  t.in_major = wanted.in_major;
  t.bytes = container.bytes(found);

  const auto line = container.metadata().find(std::string(codec_key) + found.name);
  if (line == container.metadata().end()) {
    if (!is_weight(found.type))
      refuse_input(t.file, tensor + " is of type " + std::string(to_string(found.type)), "F32, F16 or BF16");
    if (found.shape != wanted.shape)
      refuse_input(t.file, tensor + " has shape " + text_of(found.shape),
                   text_of(wanted.shape) + " according to config.json");
    return;
  }
  const codec_line l = parse_codec_line(line->second, t.file + ": " + tensor);
  if (wanted.shape.size() != 2 || l.out != t.out() || l.in != t.in())
    refuse_input(t.file, tensor + " is a packed " + std::to_string(l.out) + "x" + std::to_string(l.in),
                 wanted.shape.size() == 2
                     ? std::to_string(t.out()) + "x" + std::to_string(t.in()) + " according to config.json"
                     : "a vector, which is not packed");
  if (found.type != dtype::u8)
    refuse_input(t.file, tensor + " is packed, but of type " + std::string(to_string(found.type)), "U8");
  t.codec = l.codec;
  if (l.adjacent) t.rotary_heads = 0;
}

/// The same for a matrix that was repacked.
void describe(source_tensor& t, const tensor_shape& wanted, const repacked_matrix& found, const fs::path& folder) {
  t.name = wanted.name;
  t.stored_name = found.name;
  t.file = (folder / found.file).string();
  t.shape = wanted.shape;
  t.in_major = wanted.in_major;
  t.codec = found.codec;
  t.bytes = found.bytes;
  if (wanted.shape.size() != 2 || found.out != t.out() || found.in != t.in())
    refuse_input(t.file,
                 "tensor \"" + precis::shown(found.name) + "\" is a quantized " + std::to_string(found.out) + "x" +
                     std::to_string(found.in),
                 text_of(wanted.shape) + " according to config.json");
}

/// Fills in the description of a tensor that is a part of `found`. A contiguous part is like a tensor of its own.
void describe_part(source_tensor& t, const tensor_shape& wanted, tensor_part part, const tensor_entry& found,
                   const tensor_entry* scales, const safetensors& container, const fs::path& folder) {
  const std::string tensor = "tensor \"" + precis::shown(found.name) + "\"";
  t.name = wanted.name;
  t.stored_name = found.name;
  t.file = (folder / container.file_name(found)).string();
  t.type = found.type;
  t.shape = wanted.shape;
  t.bytes = container.bytes(found);
  if (found.shape != part.shape)
    refuse_input(t.file, tensor + " has shape " + text_of(found.shape),
                 text_of(part.shape) + " according to config.json");
  if (scales == nullptr ? !is_weight(found.type) : found.type != dtype::u8 || scales->type != dtype::u8)
    refuse_input(t.file, tensor + " is of type " + std::string(to_string(found.type)),
                 scales == nullptr ? "F32, F16 or BF16" : "U8");
  if (scales != nullptr) {
    std::vector<std::size_t> shape = part.shape;
    shape.pop_back();
    if (scales->shape != shape)
      refuse_input(t.file, "tensor \"" + precis::shown(scales->name) + "\" has shape " + text_of(scales->shape),
                   text_of(shape) + " according to config.json");
    t.scales = container.bytes(*scales);
    t.type = dtype::bf16;  // which holds every value exactly
  }
  const std::size_t in = t.shape.size() == 2 ? t.shape[1] : 1;
  if (scales == nullptr && part.group == 0 && part.in_stride == 1 && part.out_stride == in)
    t.bytes = t.bytes.subspan(part.first * size_of(t.type), t.elements() * size_of(t.type));
  else
    t.part = std::move(part);
}

/// Adds the tokens that begin and end a text, and a warning for keys that are not applied.
void read_special_tokens(const json& root, const std::string& where, metadata_file file, model_source& s) {
  const auto ids_of = [&](const json_object& keys, const char* key) {
    std::vector<precis::token> ids = token_ids(keys, key);
    std::erase_if(ids, [&](precis::token id) {
      const bool outside = static_cast<std::size_t>(id) >= s.config.vocabulary;
      if (outside)
        s.warnings.push_back(where + ": the " + key + " " + std::to_string(id) + " is ignored: the vocabulary has " +
                             std::to_string(s.config.vocabulary) + " tokens");
      return outside;
    });
    return ids;
  };
  const auto take = [&](const json& object) {
    const json_object keys(object, where);
    const std::vector<precis::token> bos = ids_of(keys, "bos_token_id");
    if (bos.size() == 1 && !s.bos) s.bos = bos.front();
    if (bos.size() > 1)
      s.warnings.push_back(where + ": the " + std::to_string(bos.size()) +
                           " tokens of bos_token_id are ignored: a text begins with one at most");
    for (const precis::token id : ids_of(keys, "eos_token_id"))
      if (std::ranges::find(s.eos, id) == s.eos.end()) s.eos.push_back(id);
  };
  take(root);
  const std::string_view nested = file == metadata_file::config ? family_of(s.config).nested : std::string_view();
  if (const auto inner = root.find(nested); !nested.empty() && inner != root.end() && inner->is_object()) take(*inner);
  if (const std::vector<std::string> names = unapplied_keys(root, s.config, file); !names.empty())
    s.warnings.push_back(where + ": keys that this engine does not know or apply: " + joined(names));
}

}  // namespace

config read_folder_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  const mapped_file file(path);
  json root = parse_json(file.text(), path.string());
  if (!parse_checkpoint_format(root, path.string())) return parse_config(file.text(), path.string());
  root.erase("quantization_config");
  return parse_config(root.dump(), path.string());
}

model_source open_hugging_face(const fs::path& folder) {
  const std::string where = (folder / "config.json").string();
  model_source s;
  s.path = folder;
  std::optional<checkpoint_format> quantized;
  bool states_tie = false;
  {
    const mapped_file file(folder / "config.json");
    json root = parse_json(file.text(), where);
    quantized = parse_checkpoint_format(root, where);
    if (quantized) root.erase("quantization_config");
    s.config = parse_config(quantized ? root.dump() : std::string(file.text()), where);
    states_tie = root.contains("tie_word_embeddings");
    read_special_tokens(root, where, metadata_file::config, s);
    const fs::path generation = folder / "generation_config.json";
    if (std::error_code ignored; fs::exists(generation, ignored)) {
      const std::string name = generation.string();
      read_special_tokens(parse_json(mapped_file(generation).text(), name), name, metadata_file::generation_config, s);
    }
    if (s.config.labels != 0) s.labels = label_names(json_object(root, where));
  }
  const config& c = s.config;
  const family& family = family_of(c);
  const safetensors& container = s.containers.emplace_back(container_of(folder));
  const std::string data = folder.string();

  const auto& metadata = container.metadata();
  if (const auto version = metadata.find("precis.format"); version != metadata.end()) {
    if (version->second != "2")
      refuse_input(data, "a compressed model of format " + precis::shown(version->second), "format 2");
    s.format = model_format::compressed;
    if (const auto from = metadata.find("precis.source"); from != metadata.end()) s.made_from = from->second;
  }
  for (const auto& [key, value] : metadata)
    if (key.starts_with(codec_key) &&
        (s.format != model_format::compressed || container.find(key.substr(codec_key.size())) == nullptr))
      refuse_input(data, "metadata \"" + precis::shown(key) + "\" for a tensor that does not exist",
                   "a folder that `precis compress` wrote");

  // Matrices that another program has quantized stand for their parts.
  std::set<std::string, std::less<>> parts;
  std::map<const tensor_entry*, const repacked_matrix*> repacked;
  std::vector<tensor_entry> stored = {container.tensors().begin(), container.tensors().end()};
  if (quantized) s.repacked = repack_checkpoint(container, *quantized, data);
  for (const repacked_matrix& m : s.repacked) {
    parts.insert(m.parts.begin(), m.parts.end());
    if (m.codec == "float32")
      s.warnings.push_back(data + ": " + m.name +
                           " is decoded to float32, because its groups are in no format of this program");
  }
  std::erase_if(stored, [&](const tensor_entry& t) { return parts.contains(t.name); });
  for (const repacked_matrix& m : s.repacked)
    stored.push_back({.name = m.name, .type = dtype::u8, .shape = {m.out, m.in}, .bytes = m.bytes.size()});
  for (std::size_t i = 0; i < s.repacked.size(); ++i)
    repacked[&stored[stored.size() - s.repacked.size() + i]] = &s.repacked[i];

  const knobs settings = settings_of(c);
  std::map<std::string, std::pair<const tensor_entry*, bool>> found;  // key: the engine's name; the flag is half_split
  for (const tensor_entry& t : stored) {
    tensor_meaning m = family.meaning_of(t.name);
    if (m.name.empty() || (family.is_unused != nullptr && family.is_unused(settings, m.name))) continue;
    const auto [at, fresh] = found.emplace(std::move(m.name), std::pair(&t, m.half_split));
    if (!fresh)
      refuse_input(data,
                   "tensors \"" + precis::shown(at->second.first->name) + "\" and \"" + precis::shown(t.name) +
                       "\" are the same weight",
                   "each weight once");
  }
  // Where config.json says nothing, a head that is not there is the token embedding.
  if (!states_tie && !family.head.empty() && !settings.head_bias &&
      !found.contains(std::string(family.head) + ".weight"))
    s.config.tied_head = true;
  if (c.layers > found.size())  // avoids building a huge list of expected tensors
    refuse_input(data, std::to_string(found.size()) + " tensors for " + std::to_string(c.layers) + " layers",
                 "weights that match config.json");

  // A missing tensor is named as this file would name it.
  const bool engines_names = std::ranges::any_of(found, [&](const auto& t) {
    return t.second.first->name == t.first && hugging_face_name(family, t.first, false) != t.first;
  });
  const bool prefixed = found.empty() || std::ranges::any_of(found, [&](const auto& t) {
                          return t.second.first->name.starts_with(family.prefix);
                        });
  std::vector<std::string> missing;
  std::set<std::string> wholes;
  for (const tensor_shape& wanted : expected_tensors(c)) {
    const auto at = found.find(wanted.name);
    if (at == found.end() && family.part_of != nullptr)
      if (std::optional<tensor_part> part = family.part_of(c, settings, wanted.name)) {
        const auto whole = found.find(part->whole), scales = found.find(part->scales);
        if (whole == found.end() || (!part->scales.empty() && scales == found.end())) {
          const std::string& absent = whole == found.end() ? part->whole : part->scales;
          if (wholes.insert(absent).second) missing.push_back(hugging_face_name(family, absent, prefixed));
          continue;
        }
        if (repacked.contains(whole->second.first))
          refuse_input(
              data, "tensor \"" + precis::shown(whole->second.first->name) + "\" is quantized, and several maps in one",
              "the original model, with weights in F32, F16 or BF16");
        wholes.insert({part->whole, part->scales});
        describe_part(s.tensors.emplace_back(), wanted, *std::move(part), *whole->second.first,
                      scales == found.end() ? nullptr : scales->second.first, container, folder);
        continue;
      }
    if (at == found.end()) {
      missing.push_back(engines_names ? wanted.name : hugging_face_name(family, wanted.name, prefixed));
      continue;
    }
    source_tensor& t = s.tensors.emplace_back();
    if (at->second.second) t.rotary_heads = wanted.name.find(".wk.") != std::string::npos ? c.kv_heads : c.heads;
    if (const auto made = repacked.find(at->second.first); made != repacked.end())
      describe(t, wanted, *made->second, folder);
    else
      describe(t, wanted, *at->second.first, container, folder);
    found.erase(at);
  }
  const std::string a_model = std::string(family.name.starts_with('O') ? "an " : "a ") + std::string(family.name);
  for (const std::string& whole : wholes) found.erase(whole);
  if (!missing.empty())
    refuse_input(data, "no tensor " + listed(missing),
                 "all of " + a_model + "'s weights" + (c.labels != 0 ? ", including its classifier" : "") +
                     ", with or without the prefix '" + std::string(family.prefix) + "'");

  // Some writers store a tied head as well. Identical bytes are harmless; different ones would be lost silently.
  if (const auto head = found.find(std::string(family.head) + ".weight"); head != found.end() && c.tied_head) {
    if (repacked.contains(head->second.first) ||
        !std::ranges::equal(container.bytes(*head->second.first), s.tensors.front().bytes))
      refuse_input(data,
                   "tensor \"" + precis::shown(head->second.first->name) +
                       "\" differs from the token embedding although tie_word_embeddings is true",
                   "no head of its own, or tie_word_embeddings false");
    found.erase(head);
  }
  if (!found.empty()) {
    std::vector<std::string> unknown;
    for (const auto& [name, entry] : found) unknown.push_back(entry.first->name);
    refuse_input(data, "unknown tensor " + listed(unknown),
                 "the weights of " + a_model + " of " + std::to_string(c.layers) + " layers and nothing else");
  }

  std::error_code ignored;
  if (has_tokenizer(folder))
    s.tokenizer = folder;
  else if (fs::exists(folder / "tokenizer.bin", ignored))
    s.tokenizer = folder / "tokenizer.bin";
  return s;
}

}  // namespace engine
