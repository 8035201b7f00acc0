#include <engine/model_files/compressed.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/config_json.hpp>
#include <engine/model/family.hpp>
#include <engine/model/sentence.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/tokenizer.hpp>

#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// The files of a model folder other than its weights, config.json and tokenizer.
constexpr std::string_view companions[] = {"generation_config.json", "chat_template.jinja", "chat_template.json"};

[[nodiscard]] bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

void copy_over(const fs::path& from, const fs::path& to) {
  std::error_code fault;
  if (!fs::copy_file(from, to, fault))
    refuse_input(from.string(), "cannot be copied (" + fault.message() + ")", "a readable file and enough free space");
}

/// A config.json of a folder that another program has quantized, without its description of that.
[[nodiscard]] std::string without_quantization(const fs::path& config) {
  json root = parse_json(mapped_file(config).text(), config.string());
  root.erase("quantization_config");
  return root.dump(2) + "\n";
}

/// The bytes of a tensor that stays as it is: those in the file, or those of a part, gathered. Parts of MXFP4 become
/// BF16, which holds their values exactly.
[[nodiscard]] std::span<const std::byte> kept_bytes(const source_tensor& t, std::vector<std::byte>& memory) {
  if (!t.part) return t.bytes;
  std::vector<float> values(t.elements());
  decode(t, {}, values);
  memory.resize(values.size() * size_of(t.type));
  encode(t.type, values, memory);
  return memory;
}

/// The name of a tensor in the folder: as in the source, or, of a part that has none there, the engine's.
[[nodiscard]] std::string kept_name(const model_source& source, const source_tensor& t) {
  return is_part(source.config, t.name) ? stored_name(source.config, t.name) : t.stored_name;
}

/// Refuses a destination that is or contains the source, because it would be replaced while it is read.
void check_destination(const fs::path& source, const fs::path& destination) {
  std::error_code fault;
  const fs::path from = fs::weakly_canonical(source, fault), to = fs::weakly_canonical(destination, fault);
  if (std::mismatch(to.begin(), to.end(), from.begin(), from.end()).first == to.end())
    refuse_input(destination.string(), "the destination contains the source", "another folder");
}

}  // namespace

std::vector<const compressed_matrix*> match_matrices(const model_source& source,
                                                     std::span<const compressed_matrix> matrices) {
  std::vector<const compressed_matrix*> packed(source.tensors.size(), nullptr);
  for (const compressed_matrix& m : matrices) {
    const std::string where = "matrix " + m.name;
    if (!precis::text::is_word(m.codec)) refuse_input(where, "the codec name \"" + m.codec + "\"", "one word");
    const auto at = std::ranges::find(source.tensors, m.name + ".weight", &source_tensor::name);
    if (at == source.tensors.end() || at->shape.size() != 2)
      refuse_input(where, "the model has no such matrix", "a name that the model's matrices() lists");
    const compressed_matrix*& slot = packed[static_cast<std::size_t>(at - source.tensors.begin())];
    if (slot != nullptr) refuse_input(where, "packed twice", "each matrix once");
    slot = &m;
  }
  return packed;
}

void check_can_be_packed(const model_source& source) {
  if (source.format == model_format::compressed)
    refuse_input(source.path.string(), "a folder whose matrices are packed already", "the original model");
}

compressed_sizes write_compressed(const fs::path& source_path, const fs::path& destination,
                                  std::span<const compressed_matrix> matrices, const compress_options& options) {
  const model_source source = open_source(source_path);
  check_can_be_packed(source);
  if (source.format == model_format::gguf)
    refuse_input(source_path.string(), "a GGUF file, which cannot become a folder",
                 "an output that ends in .gguf, or the original model");
  check_destination(source_path, destination);
  const std::vector<const compressed_matrix*> packed = match_matrices(source, matrices);

  // The format permits no gaps. Without them, this order aligns every tensor as far as its size is aligned: before it
  // are only sizes that the same power of two divides.
  const auto size_of_tensor = [&](std::size_t i) {
    const source_tensor& t = source.tensors[i];
    return packed[i] != nullptr ? packed[i]->bytes : t.part ? t.elements() * size_of(t.type) : t.bytes.size();
  };
  std::vector<std::size_t> order(source.tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) {
    return std::min(std::countr_zero(size_of_tensor(i)), std::countr_zero(safetensors_alignment));
  });

  compressed_sizes sizes;
  std::vector<tensor_declaration> declarations;
  std::map<std::string, std::string, std::less<>> metadata{{"precis.format", "2"}};
  if (!options.made_from.empty()) metadata["precis.source"] = options.made_from;
  for (const std::size_t i : order) {
    const source_tensor& t = source.tensors[i];
    sizes.before += t.stored_bytes();
    sizes.after += size_of_tensor(i);
    const std::string name = kept_name(source, t);
    if (packed[i] == nullptr && t.codec.empty()) {
      declarations.push_back({name, t.type, t.shape});
      continue;
    }
    declarations.push_back({name, dtype::u8, {size_of_tensor(i)}});
    const bool adjacent = packed[i] != nullptr && t.rotary_heads != 0;  // what the source has packed keeps its rows
    metadata["precis.codec:" + name] = (packed[i] != nullptr ? packed[i]->codec : t.codec) + " " +
                                       std::to_string(t.out()) + "x" + std::to_string(t.in()) +
                                       (adjacent ? " rotary=adjacent" : "");
  }

  atomic_folder out(destination, options.existing);
  safetensors_writer writer(out.path() / "model.safetensors", declarations, metadata);
  std::vector<std::byte> bytes;
  for (const std::size_t i : order) {
    if (packed[i] == nullptr) {
      writer.write(kept_bytes(source.tensors[i], bytes));
      continue;
    }
    bytes.assign(packed[i]->bytes, std::byte{0});
    packed[i]->pack(bytes);
    writer.write(bytes);
  }
  writer.commit();

  if (source.format == model_format::llama2c) {
    write_file(out.path() / "config.json", config_json(source.config));
  } else {
    if (source.repacked.empty())
      copy_over(source_path / "config.json", out.path() / "config.json");
    else
      write_file(out.path() / "config.json", without_quantization(source_path / "config.json"));
    for (const fs::path& file : sentence_files(source_path)) {
      fs::create_directories((out.path() / file).parent_path());
      copy_over(source_path / file, out.path() / file);
    }
    for (const std::string_view name : companions)
      if (is_file(source_path / name)) copy_over(source_path / name, out.path() / name);
    for (const std::string_view name : tokenizer_files)
      if (options.tokenizer.empty() && is_file(source_path / name)) copy_over(source_path / name, out.path() / name);
  }
  const fs::path tokenizer = !options.tokenizer.empty() ? options.tokenizer : source.tokenizer;
  if (!tokenizer.empty() && !is_file(tokenizer)) {
    for (const std::string_view name : tokenizer_files)
      if (is_file(tokenizer / name) && !is_file(out.path() / name)) copy_over(tokenizer / name, out.path() / name);
  } else if (!tokenizer.empty() && !is_file(out.path() / "tokenizer.bin")) {
    copy_over(tokenizer, out.path() / "tokenizer.bin");
  }
  for (const auto& [name, content] : options.files) write_file(out.path() / name, content);
  out.commit();
  return sizes;
}

}  // namespace engine
