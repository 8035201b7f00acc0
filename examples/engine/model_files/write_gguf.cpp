#include <engine/model_files/gguf_model.hpp>

#include <engine/files/json.hpp>
#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model_files/ggml_repack.hpp>
#include <engine/model_files/load.hpp>
#include <engine/model_files/model_card.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <utility>
#include <vector>

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

/// The keys of a GGUF source that hold for what is made of it: all but those of its storage.
[[nodiscard]] gguf_metadata kept_keys(const gguf_header& header, std::string_view most_format,
                                      const compress_options& options) {
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

[[nodiscard]] gguf_metadata model_keys(const model_source& source, std::string_view most_format) {
  const config& c = source.config;
  const std::string name(family_of(c).model_type);  // llama.cpp uses the same names for these two families
  const auto number = [](std::size_t n) { return gguf_item(static_cast<std::uint32_t>(n)); };
  fs::path plain = source.path.lexically_normal();
  if (!plain.has_filename()) plain = plain.parent_path();
  if (has_gguf_name(plain) || plain.extension() == ".bin") plain = plain.stem();  // "tiny-1.1b" has no extension
  gguf_metadata m{{"general.architecture", name},
                  {"general.type", std::string("model")},
                  {"general.name", plain.filename().string()},
                  {"general.size_label", size_label(source)},
                  {"general.file_type", file_type_of(most_format)},
                  {"general.quantization_version", std::uint32_t{2}},
                  {name + ".vocab_size", number(c.vocabulary)},
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
  } else {
    m.emplace_back(name + ".attention.layer_norm_epsilon", c.norm_epsilon);
  }
  if (source.format == model_format::hugging_face) {
    for (auto& key : model_card_keys(source.path)) m.push_back(std::move(key));
    add_sampling(source.path, m);
  }
  return m;
}

/// The folder whose files say more of the tokenizer: its own, or the model's if the tokenizer is a single file.
[[nodiscard]] fs::path files_of(const model_source& source, const compress_options& options) {
  std::error_code ignored;
  if (fs::is_directory(options.tokenizer, ignored)) return options.tokenizer;
  return source.format == model_format::hugging_face ? source.path : fs::path{};
}

/// A matrix that the source has packed, in a type of GGUF with the same values; rows in the order of llama.cpp.
/// Errors: a format that no type of GGUF holds without loss.
[[nodiscard]] ggml_matrix packed_in_ggml(const source_tensor& t) {
  ggml_matrix m{.type = t.codec, .bytes = {}};
  const std::size_t extents[] = {t.out(), t.in()};
  if (gguf_bytes(t.codec, extents) != 0)
    m.bytes.assign(t.bytes.begin(), t.bytes.end());
  else if (auto other = repack_as_ggml(t.codec, t.bytes, t.out(), t.in()))
    m = std::move(*other);
  else
    refuse_input(
        t.file,
        "tensor \"" + precis::shown(t.stored_name) + "\" is in " + t.codec +
            ", whose values no type of GGUF holds exactly",
        "integers of at most 8 bits with half-precision scales and groups of 32, 64 or 128; or a plan that packs "
        "the matrix again, and --allow-requantize");
  if (t.rotary_heads == 0) return m;
  const std::vector<std::byte> rows = m.bytes;  // as make_pairs_adjacent in load.cpp orders them
  const std::size_t head = t.out() / t.rotary_heads, row = rows.size() / t.out();
  for (std::size_t r = 0; r < t.out(); ++r) {
    const std::size_t i = r % head, to = r - i + (i < head / 2 ? 2 * i : 2 * (i - head / 2) + 1);
    std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(r * row), row,
                m.bytes.begin() + static_cast<std::ptrdiff_t>(to * row));
  }
  return m;
}

/// The format in which a tensor that is not packed is written.
[[nodiscard]] std::string unpacked_format(const source_tensor& t, const config& c) {
  if (!t.codec.empty()) return packed_in_ggml(t).type;
  const bool position = t.name.starts_with(family_of(c).position_embedding) && !family_of(c).position_embedding.empty();
  if (t.shape.size() != 2 || position || t.type == dtype::f32) return "float32";
  return t.type == dtype::f16 ? "float16" : "bfloat16";
}

/// The bytes of a tensor that is not packed, maps as out x in.
void store_unpacked(const source_tensor& t, std::string_view format, std::vector<std::byte>& bytes) {
  if (!t.codec.empty()) {
    bytes = packed_in_ggml(t).bytes;
    return;
  }
  const dtype type = format == "float32" ? dtype::f32 : format == "float16" ? dtype::f16 : dtype::bf16;
  if (type == t.type && t.rotary_heads == 0 && t.in_major == t.transposed) {
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
  constexpr std::string_view of_256 = "q2_k to q6_k, iq1_s to iq4_xs, ",
                             of_32 = "q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl, ";
  const std::string possible = std::string(t.in() % 256 == 0 ? of_256 : "") +
                               std::string(t.in() % 32 == 0 ? of_32 : "") + "float16, bfloat16 or float32";
  if (gguf_bytes(m.codec, std::vector<std::size_t>{256}) != 0)
    refuse_input("matrix " + m.name,
                 "rows of " + std::to_string(t.in()) + " weights do not fill the blocks of " + m.codec, possible);
  refuse_input("matrix " + m.name, m.codec + " is not a GGUF format", possible);
}

}  // namespace

compressed_sizes write_gguf(const fs::path& source_path, const fs::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options) {
  const model_source source = open_source(source_path);
  const config& c = source.config;
  if (family_of(c).gguf_block_names.empty())
    refuse_input(source_path.string(), "a model of type " + std::string(family_of(c).model_type), "gpt2 or llama");
  if (c.knobs)
    refuse_input(source_path.string(), "a Llama with biases, a head width of its own or scaled rotary positions",
                 "a folder as the output; this program writes the GGUF of plain Llamas alone");
  check_can_be_packed(source);
  if (c.architecture == architecture::gpt2 && c.activation != activation::gelu_tanh)
    refuse_input(source_path.string(), "an exact GELU, which llama.cpp does not support for GPT-2", "gelu_new");
  std::error_code ignored;
  if (options.existing == atomic_folder::existing::refuse && fs::exists(destination, ignored))
    refuse_input(destination.string(), "already exists", "a new file, or leave to replace it");
  if (fs::exists(destination, ignored) && fs::equivalent(source_path, destination, ignored))
    refuse_input(destination.string(), "the destination is the source", "another file");

  const std::vector<const compressed_matrix*> packed = match_matrices(source, matrices);
  for (std::size_t i = 0; i < packed.size(); ++i)
    if (packed[i] != nullptr && !source.tensors[i].codec.empty() && !options.requantize)
      refuse_input(source_path.string(),
                   "matrix " + packed[i]->name + " is already packed as " + source.tensors[i].codec,
                   "the original model");
  compressed_sizes sizes;
  std::vector<gguf_declaration> declarations;
  std::map<std::string, std::size_t> bytes_in;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const source_tensor& t = source.tensors[i];
    if (packed[i] != nullptr) check_format(*packed[i], t);
    const std::string format = packed[i] != nullptr ? packed[i]->codec : unpacked_format(t, c);
    std::vector<std::size_t> shape = t.shape;
    if (t.in_major) std::ranges::reverse(shape);
    const std::size_t bytes = gguf_bytes(format, shape);
    sizes.before += t.bytes.size();
    sizes.after += bytes;
    if (shape.size() == 2) bytes_in[format] += bytes;
    declarations.push_back({gguf_name(c, t.name), format, std::move(shape)});
  }
  const auto most = std::ranges::max_element(bytes_in, {}, [](const auto& f) { return f.second; });
  const bool from_gguf = source.format == model_format::gguf;
  gguf_metadata keys =
      from_gguf ? kept_keys(parse_gguf(source.files.front().bytes(), source_path.string()), most->first, options)
                : model_keys(source, most->first);
  const fs::path& tokenizer_path = options.tokenizer.empty() ? source.tokenizer : options.tokenizer;
  if (!from_gguf || !options.tokenizer.empty())
    for (std::string& warning :
         add_gguf_tokenizer(tokenizer_path, tokenizer_of(source, tokenizer_path),
                            {c.vocabulary, source.bos, source.eos, files_of(source, options)}, keys))
      sizes.warnings.push_back(std::move(warning));
  if (tokenizer_path.empty())
    sizes.warnings.push_back(destination.string() + " has no tokenizer, because the model has none that this program " +
                             "reads: llama.cpp can load it, but cannot read or write text with it");
  if (source.eos.size() > 3)
    sizes.warnings.push_back(destination.string() + ": GGUF has keys for 3 of the " +
                             std::to_string(source.eos.size()) + " tokens that end a text");
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
