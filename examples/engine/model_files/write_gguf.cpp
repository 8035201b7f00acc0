#include <engine/model_files/gguf_model.hpp>

#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model/sentence.hpp>
#include <engine/model_files/general_keys.hpp>
#include <engine/model_files/ggml_repack.hpp>
#include <engine/model_files/gguf_config.hpp>
#include <engine/model_files/gguf_split.hpp>
#include <engine/model_files/load.hpp>
#include <engine/tokenizer/gguf_tokenizer.hpp>

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// The rotary divisors of a source in GGUF.
[[nodiscard]] std::vector<gguf_divisors> kept_divisors(const model_source& source) {
  std::vector<gguf_divisors> kept;
  for (const mapped_file& file : source.files)
    for (const gguf_tensor& t : parse_gguf(file.bytes(), source.path.string()).tensors)
      if (t.name.starts_with("rope_f") && t.format == "float32") {
        kept.push_back({t.name, std::vector<float>(t.data.size() / sizeof(float))});
        decode(dtype::f32, t.data, kept.back().values);
      }
  return kept;
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

/// Whether llama.cpp wants a tensor in float32, whatever the source has.
[[nodiscard]] bool is_kept_float(const gguf_place& p) {
  if (p.shape.size() < 2 || p.value != gguf_form::same || p.tensor.ends_with(".bias")) return true;
  for (const std::string_view part : {"position_embd.", "token_types.", ".ffn_gate_inp.", ".ssm_conv1d.",
                                      ".shortconv.conv.", ".attn_rel_b.", ".ssm_a", ".ssm_d", ".ssm_norm."})
    if (p.tensor.find(part) != std::string::npos) return true;
  return false;
}

/// Whether a tensor is codes of MXFP4 that GGUF's blocks hold as they are.
[[nodiscard]] bool is_mxfp4(const source_tensor& t) {
  return !t.scales.empty() && t.part && t.shape.size() == 2 && t.shape[1] % 32 == 0 && t.factors.empty();
}

/// MXFP4 of a folder in GGUF's blocks: the same scales and codes, of which a byte has those of weights i and i + 16
/// instead of neighbours.
void store_mxfp4(const source_tensor& t, std::vector<std::byte>& bytes) {
  const auto code = [&](std::size_t at) {
    const auto both = std::to_integer<unsigned>(t.bytes[at / 2]);
    return at % 2 == 0 ? both & 15u : both >> 4;
  };
  bytes.clear();
  for (std::size_t o = 0; o < t.shape[0]; ++o)
    for (std::size_t i = 0; i < t.shape[1]; i += 32) {
      const std::size_t at = t.part->row(o) + i;
      bytes.push_back(t.scales[at / 32]);
      for (std::size_t j = 0; j < 16; ++j)
        bytes.push_back(static_cast<std::byte>(code(at + j) | code(at + j + 16) << 4));
    }
}

/// The format in which a tensor that is not packed is written.
[[nodiscard]] std::string unpacked_format(const source_tensor& t, const gguf_place& p) {
  if (!t.codec.empty()) return packed_in_ggml(t).type;
  if (is_mxfp4(t)) return "mxfp4";
  if (is_kept_float(p) || t.type == dtype::f32 || !t.factors.empty()) return "float32";
  return t.type == dtype::f16 ? "float16" : "bfloat16";
}

/// The bytes of a tensor that is not packed, maps as out x in.
void store_unpacked(const source_tensor& t, std::string_view format, gguf_form value, std::vector<std::byte>& bytes) {
  if (!t.codec.empty()) {
    bytes = packed_in_ggml(t).bytes;
    return;
  }
  if (format == "mxfp4") {
    store_mxfp4(t, bytes);
    return;
  }
  const dtype type = format == "float32" ? dtype::f32 : format == "float16" ? dtype::f16 : dtype::bf16;
  const bool as_stored = t.rotary_heads == 0 && !t.part && t.scales.empty() && t.factors.empty();
  if (type == t.type && as_stored && value == gguf_form::same && t.in_major == t.transposed) {
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
  if (value != gguf_form::same)
    for (float& v : values)
      v = value == gguf_form::plus_one ? v + 1 : -static_cast<float>(std::exp(static_cast<double>(v)));
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

/// One tensor of the file, and which of the engine's are in it.
struct output {
  gguf_declaration declaration;
  std::vector<std::size_t> parts;
};

/// The format of a tensor whose parts have these.
[[nodiscard]] std::string common_format(const output& o, const std::vector<std::string>& formats,
                                        const std::vector<const compressed_matrix*>& packed,
                                        const model_source& source) {
  const std::string& first = formats[o.parts.front()];
  bool same = true, floats = true;
  for (const std::size_t i : o.parts) {
    same = same && formats[i] == first;
    floats = floats && packed[i] == nullptr && source.tensors[i].codec.empty() && formats[i] != "mxfp4";
  }
  if (same) return first;
  if (floats) return "float32";
  const auto other = std::ranges::find_if(o.parts, [&](std::size_t i) { return formats[i] != first; });
  refuse_input(o.declaration.name,
               source.tensors[o.parts.front()].name + " in " + first + " and " + source.tensors[*other].name + " in " +
                   formats[*other],
               "one format, because llama.cpp has both in one tensor");
}

/// Puts the rows of a part, in the engine's order, where the file has them.
void scatter(const gguf_place& p, std::string_view format, std::span<const std::byte> rows, std::size_t count,
             std::size_t columns, std::span<std::byte> whole) {
  const std::size_t row = rows.size() / count;
  rows = rows.subspan(p.absent * row);
  count -= p.absent;
  if (p.columns.empty()) {
    for (std::size_t r = 0; r < count; ++r)
      std::ranges::copy(rows.subspan(r * row, row),
                        whole.subspan((p.first + (p.rows.empty() ? r : p.rows[r])) * row).begin());
    return;
  }
  std::size_t block = 1;
  while (gguf_bytes(format, std::span(&block, 1)) == 0) block = block == 1 ? 32 : 2 * block;
  const std::size_t unit = gguf_bytes(format, std::span(&block, 1));
  for (std::size_t c = 0; c < columns; ++c)
    if (p.columns[c] - c % block != p.columns[c - c % block] || p.columns[c - c % block] % block != 0)
      refuse_input(p.tensor,
                   std::string(format) + ", whose blocks reach over heads that llama.cpp has in another order",
                   "a format with smaller blocks, or float16");
  for (std::size_t r = 0; r < count; ++r)
    for (std::size_t c = 0; c < columns; c += block)
      std::ranges::copy(rows.subspan(r * row + c / block * unit, unit),
                        whole.subspan((p.first + r) * row + p.columns[c] / block * unit).begin());
}

/// How an encoder's rows are pooled. Errors: a way that llama.cpp does not have.
[[nodiscard]] gguf_pooling pooling_of(const model_source& s) {
  if (family_of(s.config).causal) return gguf_pooling::mean;
  const sentence_settings how = read_sentence_settings(s.path, s.config.width);
  if (how.pooling != pooling::mean && how.pooling != pooling::first)
    refuse_input(how.from, "the pooling " + std::string(to_string(how.pooling)) + ", which llama.cpp does not support",
                 "mean or cls");
  return how.pooling == pooling::mean ? gguf_pooling::mean : gguf_pooling::first;
}

}  // namespace

compressed_sizes write_gguf(const fs::path& source_path, const fs::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options) {
  model_source source = open_source(source_path);
  fold_scales(source);
  const config& c = source.config;
  check_can_be_packed(source);
  if (c.architecture == architecture::gpt2 && c.activation != activation::gelu_tanh)
    refuse_input(source_path.string(), "an exact GELU, which llama.cpp does not support for GPT-2", "gelu_new");
  gguf_settings settings = gguf_settings_of(c, source_path.string(), pooling_of(source));
  const bool may_replace = options.existing != atomic_folder::existing::refuse;
  if (options.split_bytes == 0) check_new_gguf(destination, source_path, may_replace);

  const std::vector<const compressed_matrix*> packed = match_matrices(source, matrices);
  for (std::size_t i = 0; i < packed.size(); ++i)
    if (packed[i] != nullptr && !source.tensors[i].codec.empty() && !options.requantize)
      refuse_input(source_path.string(),
                   "matrix " + packed[i]->name + " is already packed as " + source.tensors[i].codec,
                   "the original model");
  const bool from_gguf = source.format == model_format::gguf;
  compressed_sizes sizes;
  if (!from_gguf) sizes.warnings = std::move(settings.warnings);
  const std::vector<gguf_place> places = gguf_places(c, usual_fusion(c));
  std::vector<std::string> formats;
  std::vector<output> outputs;
  std::map<std::string_view, std::size_t> known;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const source_tensor& t = source.tensors[i];
    if (packed[i] != nullptr) check_format(*packed[i], t);
    formats.push_back(packed[i] != nullptr ? packed[i]->codec : unpacked_format(t, places[i]));
    sizes.before += t.stored_bytes();
    const auto [at, fresh] = known.emplace(places[i].tensor, outputs.size());
    if (fresh) outputs.push_back({.declaration = {places[i].tensor, {}, places[i].shape}, .parts = {}});
    outputs[at->second].parts.push_back(i);
  }
  std::vector<gguf_declaration> declarations;
  std::map<std::string, std::size_t> bytes_in;
  for (output& o : outputs) {
    o.declaration.format = common_format(o, formats, packed, source);
    const std::size_t bytes = gguf_bytes(o.declaration.format, o.declaration.shape);
    sizes.after += bytes;
    if (o.declaration.shape.size() >= 2) bytes_in[o.declaration.format] += bytes;
    declarations.push_back(o.declaration);
  }
  const std::vector<gguf_divisors> divisors = from_gguf ? kept_divisors(source) : std::move(settings.divisors);
  for (const gguf_divisors& d : divisors) declarations.push_back({d.name, "float32", {d.values.size()}});
  const auto most = std::ranges::max_element(bytes_in, {}, [](const auto& f) { return f.second; });
  gguf_metadata keys =
      from_gguf ? kept_keys(parse_gguf(source.files.front().bytes(), source_path.string()), most->first, options)
                : model_keys(source, most->first, std::move(settings.keys));
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

  gguf_files writer(
      {.path = destination, .source = source_path, .part_bytes = options.split_bytes, .may_replace = may_replace},
      std::move(keys), declarations);
  sizes.files = writer.paths();
  std::vector<std::byte> bytes, whole;
  const auto rows_of = [&](std::size_t i, std::string_view format) {
    if (packed[i] != nullptr) {
      bytes.assign(packed[i]->bytes, std::byte{0});
      packed[i]->pack(bytes);
    } else {
      store_unpacked(source.tensors[i], format, places[i].value, bytes);
    }
  };
  for (const output& o : outputs) {
    const gguf_declaration& d = o.declaration;
    whole.assign(gguf_bytes(d.format, d.shape), std::byte{0});
    for (const std::size_t i : o.parts) {
      rows_of(i, d.format);
      const source_tensor& t = source.tensors[i];
      const std::size_t rows = t.shape.size() == 2 ? t.out() : t.shape.front();
      scatter(places[i], d.format, bytes, rows, t.elements() / rows, whole);
    }
    writer.write(whole);
  }
  for (const gguf_divisors& d : divisors) {
    bytes.resize(d.values.size() * sizeof(float));
    encode(dtype::f32, d.values, bytes);
    writer.write(bytes);
  }
  writer.commit();
  return sizes;
}

}  // namespace engine
