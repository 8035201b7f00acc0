#include "jobs/inspection.hpp"

#include "jobs/formats.hpp"

#include <engine/files/files.hpp>
#include <engine/files/gguf.hpp>
#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/files/safetensors.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/gguf_parts.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>

#include <precis/core/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <system_error>

namespace program {
namespace {

namespace fs = std::filesystem;
using engine::json;

constexpr std::size_t shown_elements = 8;  // of a list

[[nodiscard]] std::string_view name_of(engine::gguf_type type) noexcept {
  constexpr std::string_view names[] = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "text", "array", "u64", "i64", "f64"};
  return names[static_cast<std::size_t>(type)];
}

[[nodiscard]] json to_json(const engine::gguf_value& value) {
  return std::visit(
      []<class T>(const T& v) -> json {
        if constexpr (std::is_same_v<T, std::string_view>) {
          return std::string(v);
        } else if constexpr (std::is_same_v<T, engine::gguf_array>) {
          if (v.count <= shown_elements) {
            json all = json::array();
            for (const engine::gguf_value& e : elements_of(v)) all.push_back(to_json(e));
            return all;
          }
          engine::gguf_array first = v;
          first.count = shown_elements;
          json some = json::array();
          for (const engine::gguf_value& e : elements_of(first)) some.push_back(to_json(e));
          return {{"count", v.count}, {"type", name_of(v.type)}, {"first", some}};
        } else {
          return v;
        }
      },
      value);
}

/// A tree of JSON with long lists shortened.
[[nodiscard]] json shortened(const json& value) {
  if (value.is_array() && value.size() > shown_elements) {
    json some = json::array();
    for (std::size_t i = 0; i < shown_elements; ++i) some.push_back(shortened(value[i]));
    return {{"count", value.size()}, {"first", some}};
  }
  if (!value.is_structured()) return value;
  json out = value;
  for (auto& v : out) v = shortened(v);
  return out;
}

void add_file(inspection& out, const fs::path& path) {
  std::error_code ignored;
  const auto bytes = fs::file_size(path, ignored);
  out.files.emplace_back(path.filename().string(), ignored ? 0 : static_cast<std::size_t>(bytes));
}

void inspect_gguf(const fs::path& path, inspection& out) {
  std::vector<engine::mapped_file> files;
  std::vector<engine::gguf_part> parts;
  for (const fs::path& p : engine::gguf_parts_of(path)) {
    files.emplace_back(p);
    parts.push_back({files.back().bytes(), p.string()});
    add_file(out, p);
  }
  const engine::gguf_header h = engine::parse_gguf_parts(parts);
  const engine::gguf_keys keys(h, parts.front().where);
  out.kind = parts.size() == 1 ? "GGUF file" : fmt::format("GGUF model in {} files", parts.size());
  out.architecture = std::string(keys.text_or("general.architecture", ""));
  for (const engine::gguf_stored& k : h.stored) out.metadata[k.key] = to_json(h.metadata.at(k.key));
  for (const engine::gguf_tensor& t : h.tensors)
    out.tensors.push_back({.name = t.name,
                           .type = std::string(t.format),
                           .file = out.files[t.part].first,
                           .shape = t.shape,
                           .bytes = t.bytes});
  if (const auto* tokens = keys.find("tokenizer.ggml.tokens"))
    if (const auto* list = std::get_if<engine::gguf_array>(tokens))
      out.tokenizer = fmt::format("{}, {} tokens", keys.text_or("tokenizer.ggml.model", "?"), list->count);
}

void inspect_tensors(const fs::path& container, inspection& out) {
  const engine::safetensors tensors(container);
  for (const engine::tensor_entry& t : tensors.tensors()) {
    const auto codec = tensors.metadata().find("precis.codec:" + t.name);
    inspected_tensor found{.name = t.name,
                           .type = std::string(engine::to_string(t.type)),
                           .file = tensors.file_name(t),
                           .shape = t.shape,
                           .bytes = t.bytes};
    if (codec != tensors.metadata().end()) {  // "affine4.row 768x256"
      const std::string& line = codec->second;
      found.type = line.substr(0, line.find(' '));
      const std::size_t x = line.find('x', found.type.size());
      if (x != std::string::npos)
        found.shape = {std::strtoull(line.c_str() + found.type.size(), nullptr, 10),
                       std::strtoull(line.c_str() + x + 1, nullptr, 10)};
    }
    out.tensors.push_back(std::move(found));
  }
  for (const auto& [key, value] : tensors.metadata())
    if (!key.starts_with("precis.codec:")) out.metadata["safetensors"][key] = value;
}

void inspect_folder(const fs::path& folder, inspection& out) {
  std::error_code fault;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, fault))
    if (e.is_regular_file(fault)) add_file(out, e.path());
  std::ranges::sort(out.files);
  const auto holds = [&](const char* name) {
    return std::ranges::find(out.files, name, [](const auto& f) { return f.first; }) != out.files.end();
  };
  out.kind = "Hugging Face folder";
  for (const char* name : {"config.json", "generation_config.json"})
    if (holds(name)) {
      const engine::mapped_file file(folder / name);
      out.metadata[name] = shortened(engine::parse_json(file.text(), (folder / name).string()));
    }
  const auto config = out.metadata.find("config.json");
  if (config != out.metadata.end() && config->is_object() && config->contains("model_type") &&
      (*config)["model_type"].is_string())
    out.architecture = (*config)["model_type"].get<std::string>();
  if (holds("model.safetensors"))
    inspect_tensors(folder / "model.safetensors", out);
  else if (holds("model.safetensors.index.json"))
    inspect_tensors(folder / "model.safetensors.index.json", out);
  else
    out.warnings.push_back(folder.string() + ": no model.safetensors or model.safetensors.index.json");
  if (holds("model.plan")) out.kind = "compressed folder";
}

}  // namespace

std::vector<inspected_type> inspection::types() const {
  std::map<std::string, inspected_type> by_name;
  for (const inspected_tensor& t : tensors) {
    inspected_type& all = by_name[t.type];
    all.type = t.type;
    ++all.tensors;
    all.elements += t.elements();
    all.bytes += t.bytes;
  }
  std::vector<inspected_type> sorted;
  for (auto& [name, all] : by_name) sorted.push_back(all);
  std::ranges::stable_sort(sorted, std::ranges::greater{}, &inspected_type::bytes);
  return sorted;
}

inspection inspect(const fs::path& path) {
  inspection out;
  out.metadata = json::object();
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status))
    engine::refuse_input(path.string(), "no such file or folder",
                         "a model folder, or a .gguf, .safetensors or .bin file");
  if (fs::is_directory(status)) {
    inspect_folder(path, out);
  } else if (engine::has_gguf_name(path)) {
    inspect_gguf(path, out);
  } else {
    add_file(out, path);
    if (path.extension() == ".safetensors") {
      out.kind = "safetensors file";
      inspect_tensors(path, out);
      out.cannot_run = "one file of a model folder";
      return out;
    }
  }
  try {
    const engine::model_source source = engine::open_source(path);
    if (out.kind.empty()) {
      out.kind = engine::to_string(source.format);
      out.architecture = engine::family_of(source.config).model_type;
      for (const engine::source_tensor& t : source.tensors)
        out.tensors.push_back({.name = t.name,
                               .type = std::string(engine::to_string(t.type)),
                               .file = path.filename().string(),
                               .shape = t.shape,
                               .bytes = t.bytes.size()});
    }
    for (const engine::source_tensor& t : source.tensors) engine::check_stored(t, decoder());
    out.warnings.insert(out.warnings.end(), source.warnings.begin(), source.warnings.end());
  } catch (const precis::error& e) {
    out.cannot_run = e.what();
  }
  try {
    const engine::tokenizer tokens = engine::load_tokenizer(path);
    if (out.tokenizer.empty()) out.tokenizer = fmt::format("{} tokens", tokens.size());
  } catch (const precis::error& e) {
    out.tokenizer +=
        (out.tokenizer.empty() ? "none that this program reads: " : "; not read: ") + std::string(e.what());
  }
  return out;
}

}  // namespace program
