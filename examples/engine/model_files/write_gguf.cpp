#include <engine/model_files/gguf_model.hpp>

#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[nodiscard]] gguf_metadata model_keys(const model_source& source, std::string_view most_format) {
  const config& c = source.config;
  const std::string name(family_of(c).model_type);  // llama.cpp uses the same names for these two families
  const auto number = [](std::size_t n) { return gguf_item(static_cast<std::uint32_t>(n)); };
  constexpr std::pair<std::string_view, std::uint32_t> file_types[] = {{"float32", 0}, {"float16", 1},  {"q4_0", 2},
                                                                       {"q4_1", 3},    {"q8_0", 7},     {"q5_0", 8},
                                                                       {"q5_1", 9},    {"bfloat16", 32}};
  fs::path plain = source.path.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  if (has_gguf_name(plain) || plain.extension() == ".bin") plain = plain.stem();  // "tiny-1.1b" has no extension
  gguf_metadata m{
      {"general.architecture", name},
      {"general.name", plain.filename().string()},
      {"general.file_type", std::ranges::find(file_types, most_format, [](const auto& t) { return t.first; })->second},
      {"general.quantization_version", std::uint32_t{2}},
      {name + ".context_length", number(c.context)},
      {name + ".embedding_length", number(c.width)},
      {name + ".block_count", number(c.layers)},
      {name + ".feed_forward_length", number(c.hidden)},
      {name + ".attention.head_count", number(c.heads)}};
  if (c.architecture == architecture::llama) {
    m.emplace_back(name + ".attention.head_count_kv", number(c.kv_heads));
    m.emplace_back(name + ".attention.layer_norm_rms_epsilon", c.norm_epsilon);
    m.emplace_back(name + ".rope.dimension_count", number(c.head_width()));
    m.emplace_back(name + ".rope.freq_base", c.rope_theta);
    m.emplace_back(name + ".vocab_size", number(c.vocabulary));
  } else {
    m.emplace_back(name + ".attention.layer_norm_epsilon", c.norm_epsilon);
  }
  return m;
}

/// The format in which a tensor that is not packed is written.
[[nodiscard]] std::string_view unpacked_format(const source_tensor& t, const config& c) {
  const bool position = t.name.starts_with(family_of(c).position_embedding) && !family_of(c).position_embedding.empty();
  if (t.shape.size() != 2 || position || t.type == dtype::f32) return "float32";
  return t.type == dtype::f16 ? "float16" : "bfloat16";
}

/// The bytes of a tensor that is not packed, maps as out x in.
void store_unpacked(const source_tensor& t, std::string_view format, std::vector<std::byte>& bytes) {
  const dtype type = format == "float32" ? dtype::f32 : format == "float16" ? dtype::f16 : dtype::bf16;
  if (type == t.type && t.rotary_heads == 0 && !t.in_major) {
    bytes.assign(t.bytes.begin(), t.bytes.end());
    return;
  }
  std::vector<float> values(t.elements());
  decode(t, {}, values);
  if (t.in_major) {
    std::vector<float> transposed(values.size());
    const std::size_t out = t.out(), in = t.in();
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o) transposed[o * in + i] = values[i * out + o];
    values.swap(transposed);
  }
  bytes.resize(values.size() * size_of(type));
  encode(type, values, bytes);
}

/// Refuses a format that GGUF does not have, or that the matrix's rows do not fit.
void check_format(const compressed_matrix& m, const source_tensor& t) {
  const std::size_t extents[] = {t.out(), t.in()};
  const std::size_t bytes = gguf_bytes(m.codec, extents);
  if (bytes != 0) {
    PRECIS_EXPECTS(m.bytes == bytes, "GGUF and the codec of the same name agree on the size");
    return;
  }
  if (m.codec.starts_with("q") && gguf_bytes(m.codec, std::vector<std::size_t>{32}) != 0)
    refuse_input("matrix " + m.name,
                 "rows of " + std::to_string(t.in()) + " weights do not fill the blocks of " + m.codec,
                 "float16, bfloat16 or float32: every other GGUF format needs rows that are a multiple of 32");
  refuse_input(
      "matrix " + m.name, m.codec + " is not a GGUF format",
      t.in() % 32 == 0 ? "q4_0, q4_1, q5_0, q5_1, q8_0, float16, bfloat16 or float32" : "float16, bfloat16 or float32");
}

}  // namespace

compressed_sizes write_gguf(const fs::path& source_path, const fs::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options) {
  const model_source source = open_source(source_path);
  const config& c = source.config;
  if (family_of(c).gguf_block_names.empty())
    refuse_input(source_path.string(), "a model of type " + std::string(family_of(c).model_type), "gpt2 or llama");
  check_can_be_packed(source);
  if (c.architecture == architecture::gpt2 && c.activation != activation::gelu_tanh)
    refuse_input(source_path.string(), "an exact GELU, which llama.cpp does not support for GPT-2", "gelu_new");
  std::error_code ignored;
  if (options.existing == atomic_folder::existing::refuse && fs::exists(destination, ignored))
    refuse_input(destination.string(), "already exists", "a new file, or leave to replace it");
  if (fs::exists(destination, ignored) && fs::equivalent(source_path, destination, ignored))
    refuse_input(destination.string(), "the destination is the source", "another file");

  const std::vector<const compressed_matrix*> packed = match_matrices(source, matrices);
  compressed_sizes sizes;
  std::vector<gguf_declaration> declarations;
  std::map<std::string_view, std::size_t> bytes_in;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const source_tensor& t = source.tensors[i];
    if (packed[i] != nullptr) check_format(*packed[i], t);
    const std::string_view format = packed[i] != nullptr ? std::string_view(packed[i]->codec) : unpacked_format(t, c);
    std::vector<std::size_t> shape = t.shape;
    if (t.in_major) std::ranges::reverse(shape);
    const std::size_t bytes = gguf_bytes(format, shape);
    sizes.before += t.bytes.size();
    sizes.after += bytes;
    if (shape.size() == 2) bytes_in[format] += bytes;
    declarations.push_back({gguf_name(c, t.name), std::string(format), std::move(shape)});
  }
  const auto most = std::ranges::max_element(bytes_in, {}, [](const auto& f) { return f.second; });
  gguf_metadata keys = model_keys(source, most->first);
  const fs::path& tokenizer_path = options.tokenizer.empty() ? source.tokenizer : options.tokenizer;
  if (!tokenizer_path.empty()) (void)tokenizer_of(source, tokenizer_path);  // refuses what cannot be read
  add_gguf_tokenizer(tokenizer_path, {c.vocabulary, source.bos, source.eos}, keys);
  if (!options.made_from.empty()) keys.emplace_back("precis.source", options.made_from);
  for (const auto& [name, content] : options.files) keys.emplace_back("precis." + name, content);

  gguf_writer writer(destination, keys, declarations);
  keys.clear();
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    if (packed[i] != nullptr) {
      bytes.assign(packed[i]->bytes, std::byte{0});
      packed[i]->pack(bytes);
    } else {
      store_unpacked(source.tensors[i], declarations[i].format, bytes);
    }
    writer.write(bytes);
  }
  writer.commit();
  return sizes;
}

}  // namespace engine
