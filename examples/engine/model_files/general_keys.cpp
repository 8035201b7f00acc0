#include <engine/model_files/general_keys.hpp>

#include <engine/files/json.hpp>
#include <engine/model_files/model_card.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <string>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// The number of weights as llama.cpp abbreviates it: at least two digits, for instance 963K or 1.1B.
[[nodiscard]] std::string size_label(const model_source& source) {
  double count = 0;
  for (const source_tensor& t : source.tensors) count += static_cast<double>(t.elements());
  constexpr std::pair<double, char> units[] = {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}};
  const auto* const unit =
      std::ranges::find_if(units, [&](const auto& u) { return count > u.first || u.second == 'K'; });
  const double scaled = count / unit->first;
  char text[40];
  std::snprintf(text, sizeof text, "%.*f%c", scaled >= 9.5 ? 0 : scaled >= 0.5 ? 1 : 2, scaled, unit->second);
  return text;
}

/// general.file_type of a file whose tensors are mostly of one format; 1024, llama.cpp's flag of a guess, if there is none.
[[nodiscard]] std::uint32_t file_type_of(std::string_view most_format) {
  return gguf_file_type(most_format).value_or(1024);
}

/// How to sample, as generation_config.json of a folder suggests.
void add_sampling(const fs::path& folder, gguf_metadata& m) {
  const fs::path file = folder / "generation_config.json";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return;
  const json root = parse_json(mapped_file(file).text(), file.string());
  const json_object keys(root, file.string());
  if (keys.find("top_k") != nullptr) {
    const std::size_t top = keys.whole_number("top_k");
    if (top > (std::size_t{1} << 28)) keys.refuse("key \"top_k\" is " + std::to_string(top), "at most 2^28");
    m.emplace_back("general.sampling.top_k", static_cast<std::uint32_t>(top));
  }
  for (const auto& [from, to] : {std::pair{"temperature", "general.sampling.temp"},
                                 {"top_p", "general.sampling.top_p"},
                                 {"min_p", "general.sampling.min_p"}})
    if (keys.find(from) != nullptr) {
      const double value = keys.number_or(from, 0);
      if (!(value >= 0 && value <= 1e6))
        keys.refuse("key \"" + std::string(from) + "\" is " + precis::text::number(value), "0 to 10^6");
      m.emplace_back(to, static_cast<float>(value));
    }
}

/// A model's name. llama.cpp takes one with "phi-3" or "phi3" for a Phi-3 and fails if its tokens are missing.
[[nodiscard]] std::string harmless_name(std::string name) {
  for (const std::string_view part : {"phi-3", "Phi-3", "phi3", "Phi3"})
    if (const std::size_t at = name.find(part); at != std::string::npos) name.replace(at + 3, part.size() - 3, "_3");
  return name;
}

}  // namespace

gguf_metadata kept_keys(const gguf_header& header, std::string_view most_format, const compress_options& options) {
  gguf_metadata m;
  for (const gguf_stored& k : header.stored) {
    const bool of_storage = k.key == "general.alignment" || k.key == "general.quantization_version" ||
                            k.key.starts_with("split.") || k.key.starts_with("quantize.");
    const bool of_tokenizer = k.key.starts_with("tokenizer.") && !options.tokenizer.empty();
    const bool rewritten = (k.key == "precis.source" && !options.made_from.empty()) ||
                           (k.key.starts_with("precis.") && options.files.contains(k.key.substr(7)));
    if (k.key == "general.file_type")
      m.emplace_back(k.key, file_type_of(most_format));
    else if (!of_storage && !of_tokenizer && !rewritten)
      m.emplace_back(k.key, std::vector<std::byte>(k.value.begin(), k.value.end()));
  }
  if (!header.metadata.contains("general.file_type")) m.emplace_back("general.file_type", file_type_of(most_format));
  m.emplace_back("general.quantization_version", std::uint32_t{2});
  return m;
}

gguf_metadata model_keys(const model_source& source, std::string_view most_format, gguf_metadata settings) {
  fs::path plain = source.path.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  if (has_gguf_name(plain) || plain.extension() == ".bin") plain = plain.stem();  // "tiny-1.1b" has no extension
  gguf_metadata m{std::move(settings.front()),                                    // general.architecture
                  {"general.type", std::string("model")},
                  {"general.name", harmless_name(plain.filename().string())},
                  {"general.size_label", size_label(source)},
                  {"general.file_type", file_type_of(most_format)},
                  {"general.quantization_version", std::uint32_t{2}}};
  std::ranges::move(settings.begin() + 1, settings.end(), std::back_inserter(m));
  if (source.format == model_format::hugging_face) {
    for (auto& key : model_card_keys(source.path)) m.push_back(std::move(key));
    add_sampling(source.path, m);
  }
  return m;
}

}  // namespace engine
