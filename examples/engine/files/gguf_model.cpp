#include <engine/files/gguf_model.hpp>

#include <engine/files/json.hpp>
#include <engine/files/load.hpp>
#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void bad(std::string_view where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
}

using names = std::span<const std::pair<std::string_view, std::string_view>>;

/// Ours and llama.cpp's, of what is in a block and of what is not.
constexpr std::pair<std::string_view, std::string_view> gpt2_in_block[] = {
    {"ln_1", "attn_norm"}, {"attn.c_attn", "attn_qkv"}, {"attn.c_proj", "attn_output"},
    {"ln_2", "ffn_norm"},  {"mlp.c_fc", "ffn_up"},      {"mlp.c_proj", "ffn_down"}};
constexpr std::pair<std::string_view, std::string_view> gpt2_whole[] = {
    {"wte", "token_embd"}, {"wpe", "position_embd"}, {"ln_f", "output_norm"}, {"lm_head", "output"}};
constexpr std::pair<std::string_view, std::string_view> llama_in_block[] = {
    {"attention_norm", "attn_norm"}, {"attention.wq", "attn_q"},      {"attention.wk", "attn_k"},
    {"attention.wv", "attn_v"},      {"attention.wo", "attn_output"}, {"ffn_norm", "ffn_norm"},
    {"feed_forward.w1", "ffn_gate"}, {"feed_forward.w2", "ffn_down"}, {"feed_forward.w3", "ffn_up"}};
constexpr std::pair<std::string_view, std::string_view> llama_whole[] = {
    {"tok_embeddings", "token_embd"}, {"norm", "output_norm"}, {"output", "output"}};

[[nodiscard]] bool has_names(architecture a) noexcept { return a == architecture::gpt2 || a == architecture::llama; }

constexpr std::string_view tokens_key = "tokenizer.ggml.tokens", types_key = "tokenizer.ggml.token_type",
                           model_key = "tokenizer.ggml.model", scores_key = "tokenizer.ggml.scores",
                           merges_key = "tokenizer.ggml.merges", pre_key = "tokenizer.ggml.pre",
                           bos_key = "tokenizer.ggml.bos_token_id", eos_key = "tokenizer.ggml.eos_token_id",
                           add_bos_key = "tokenizer.ggml.add_bos_token";

/// What llama.cpp tells tokens apart by.
enum token_type : std::int32_t { normal = 1, unknown = 2, control = 3, unused = 5, byte = 6 };

constexpr std::string_view visible_blank = "\xE2\x96\x81";  // U+2581, which sentencepiece writes for a blank

[[nodiscard]] std::string replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t next = text.find(from, at);
    out += text.substr(at, next == std::string_view::npos ? next : next - at);
    if (next == std::string_view::npos) break;
    out += to;
    at = next + from.size();
  }
  return out;
}

template<class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

}  // namespace

std::string gguf_name(const config& c, std::string_view name) {
  if (!has_names(c.architecture)) return {};
  const bool gpt2 = c.architecture == architecture::gpt2;
  const std::string_view blocks = family_of(c).blocks;
  std::string prefix, suffix;
  for (const std::string_view end : {".weight", ".bias"})
    if (name.ends_with(end)) {
      suffix = end;
      name.remove_suffix(end.size());
    }
  names table = gpt2 ? names(gpt2_whole) : names(llama_whole);
  if (name.starts_with(blocks)) {
    name.remove_prefix(blocks.size());
    const std::size_t dot = name.find('.');
    if (dot == std::string_view::npos) return {};
    prefix = "blk." + std::string(name.substr(0, dot + 1));
    name.remove_prefix(dot + 1);
    table = gpt2 ? names(gpt2_in_block) : names(llama_in_block);
  }
  const auto at = std::ranges::find(table, name, [](const auto& pair) { return pair.first; });
  return at == table.end() ? std::string() : prefix + std::string(at->second) + suffix;
}

// ---- Reading

namespace {

[[nodiscard]] float positive(const gguf_keys& keys, const std::string& key, double otherwise) {
  const double value = keys.number_or(key, otherwise);
  if (!(value > 0) || value > static_cast<double>(std::numeric_limits<float>::max()))
    keys.refuse(key, "a positive number");
  return static_cast<float>(value);
}

[[nodiscard]] config read_config(const gguf_header& h, const gguf_keys& keys) {
  config c;
  const std::string_view name = keys.text("general.architecture");
  if (name == "gpt2")
    c.architecture = architecture::gpt2;
  else if (name == "llama")
    c.architecture = architecture::llama;
  else
    keys.refuse("general.architecture", "gpt2 or llama");
  const bool llama = c.architecture == architecture::llama;
  const auto key = [&](std::string_view rest) { return std::string(name) + "." + std::string(rest); };
  const auto must_be = [&](std::string_view rest, std::size_t wanted) {
    if (keys.whole_number_or(key(rest), wanted) != wanted) keys.refuse(key(rest), std::to_string(wanted));
  };
  c.layers = keys.whole_number(key("block_count"));
  c.width = keys.whole_number(key("embedding_length"));
  c.heads = keys.whole_number(key("attention.head_count"));
  c.kv_heads = llama ? keys.whole_number_or(key("attention.head_count_kv"), c.heads) : c.heads;
  c.hidden = keys.whole_number(key("feed_forward_length"));
  c.context = keys.whole_number(key("context_length"));
  c.tied_head = std::ranges::find(h.tensors, "output.weight", &gguf_tensor::name) == h.tensors.end();
  const auto table = std::ranges::find(h.tensors, "token_embd.weight", &gguf_tensor::name);
  if (table != h.tensors.end())
    c.vocabulary = table->shape.front();  // missing: refused with the other tensors
  else
    c.vocabulary = 1;
  if (llama) {
    c.norm_epsilon = positive(keys, key("attention.layer_norm_rms_epsilon"), 1e-5);
    c.rope_theta = positive(keys, key("rope.freq_base"), 10000);
    c.activation = activation::silu;
    if (keys.find(key("rope.scaling.type")) != nullptr && keys.text(key("rope.scaling.type")) != "none")
      keys.refuse(key("rope.scaling.type"), "none: this engine does not scale rotary positions");
    must_be("expert_count", 0);
  } else {
    c.norm_epsilon = positive(keys, key("attention.layer_norm_epsilon"), 1e-5);
    c.activation = activation::gelu_tanh;
  }
  check(c);
  if (llama)
    for (const std::string_view rest : {"rope.dimension_count", "attention.key_length", "attention.value_length"})
      must_be(rest, c.head_width());
  return c;
}

[[nodiscard]] std::string listed(const std::vector<std::string>& all) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(all.size(), 5); ++i) text += (i == 0 ? "" : ", ") + all[i];
  return all.size() > 5 ? text + " and " + std::to_string(all.size() - 5) + " more" : text;
}

[[nodiscard]] std::string text_of(std::span<const std::size_t> shape) {
  std::string text;
  for (const std::size_t e : shape) text += (text.empty() ? "" : "x") + std::to_string(e);
  return text;
}

}  // namespace

gguf_model parse_gguf_model(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  gguf_model m;
  m.config = read_config(h, keys);
  const auto id = [&](std::string_view key) -> std::optional<precis::token> {
    const std::size_t value = keys.whole_number_or(key, m.config.vocabulary);
    return value < m.config.vocabulary ? std::optional(static_cast<precis::token>(value)) : std::nullopt;
  };
  m.bos = id(bos_key);
  m.eos = id(eos_key);
  m.made_from = std::string(keys.text_or("precis.source", ""));
  m.has_tokenizer = keys.find(tokens_key) != nullptr;

  std::map<std::string_view, const gguf_tensor*> found;
  for (const gguf_tensor& t : h.tensors) found.emplace(t.name, &t);
  if (m.config.layers > found.size())  // before expected_tensors lists them all
    bad(where, std::to_string(found.size()) + " tensors for " + std::to_string(m.config.layers) + " layers",
        "weights that fit the keys");
  std::vector<std::string> missing;
  for (tensor_shape& wanted : expected_tensors(m.config)) {
    const std::string name = gguf_name(m.config, wanted.name);
    const auto at = found.find(name);
    if (at == found.end()) {
      missing.push_back(name);
      continue;
    }
    const gguf_tensor& t = *at->second;
    found.erase(at);
    std::vector<std::size_t> shape = wanted.shape;  // the file has every map out x in
    if (wanted.in_major) std::ranges::reverse(shape);
    if (t.shape != shape) bad(where, "tensor \"" + name + "\" is " + text_of(t.shape), text_of(shape) + " by the keys");
    source_tensor s;
    s.name = std::move(wanted.name);
    s.stored_name = name;
    s.file = std::string(where);
    s.shape = std::move(wanted.shape);
    s.in_major = s.turned = wanted.in_major;
    s.bytes = file.subspan(t.first_byte, t.bytes);
    if (t.format == "float32")
      s.type = dtype::f32;
    else if (t.format == "float16")
      s.type = dtype::f16;
    else if (t.format == "bfloat16")
      s.type = dtype::bf16;
    else if (shape.size() == 2)
      s.codec = std::string(t.format);
    else
      bad(where, "tensor \"" + name + "\" is a vector in " + std::string(t.format), "float32, float16 or bfloat16");
    m.tensors.push_back(std::move(s));
  }
  if (!missing.empty()) bad(where, "no tensor " + listed(missing), "all of the model's weights");
  if (!found.empty()) {
    std::vector<std::string> unknown_names;
    for (const auto& [name, t] : found) unknown_names.emplace_back(name);
    bad(where, "unknown tensor " + listed(unknown_names), "the weights of such a model and nothing else");
  }
  return m;
}

model_source open_gguf(const fs::path& path) {
  mapped_file file(path);
  gguf_model m = parse_gguf_model(file.bytes(), path.string());
  model_source s;
  s.format = model_format::gguf;
  s.path = path;
  s.config = m.config;
  s.bos = m.bos;
  s.eos = m.eos;
  s.tensors = std::move(m.tensors);
  s.made_from = std::move(m.made_from);
  if (m.has_tokenizer) s.tokenizer = path;
  s.files.push_back(std::move(file));
  return s;
}

tokenizer parse_gguf_tokenizer(std::span<const std::byte> file, std::string_view where) {
  const gguf_header h = parse_gguf(file, where);
  const gguf_keys keys(h, where);
  const std::string_view model = keys.text(model_key);
  std::vector<std::string_view> tokens = keys.texts(tokens_key);
  std::vector<std::int32_t> types;
  if (keys.find(types_key) != nullptr) {
    types = keys.integers(types_key);
    if (types.size() != tokens.size()) keys.refuse(types_key, std::to_string(tokens.size()) + " of them, one a token");
    while (!types.empty() && types.back() == unused) {  // filled up to the size of the embedding
      types.pop_back();
      tokens.pop_back();
    }
  }
  if (model == "gpt2") {
    if (const std::string_view pre = keys.text_or(pre_key, "gpt-2"); pre != "gpt-2" && pre != "default")
      keys.refuse(pre_key, "gpt-2");
    json vocabulary = json::object();
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (!vocabulary.emplace(std::string(tokens[i]), i).second)
        bad(where, "token \"" + std::string(tokens[i].substr(0, 60)) + "\" occurs twice", "each token once");
    std::string merges;
    for (const std::string_view merge : keys.texts(merges_key)) {
      if (merge.find_first_of("\r\n") != std::string_view::npos)
        bad(where, "a merge of several lines", "two tokens with one blank between");
      merges += std::string(merge) + "\n";
    }
    std::string text;
    try {
      text = vocabulary.dump();
    } catch (const json::exception&) {
      bad(where, "a token that is not UTF-8", "GPT-2's vocabulary");
    }
    byte_bpe t(text, merges, where, where);
    if (keys.flag_or(add_bos_key, false)) {
      const std::size_t bos = keys.whole_number(bos_key);
      if (bos >= tokens.size()) keys.refuse(bos_key, "one of the tokens");
      t.begin_documents_with(t.text_of(static_cast<precis::token>(bos)));
    }
    return t;
  }
  if (model == "llama") {
    if (!keys.flag_or(add_bos_key, true)) keys.refuse(add_bos_key, "true");
    if (!keys.flag_or("tokenizer.ggml.add_space_prefix", true)) keys.refuse("tokenizer.ggml.add_space_prefix", "true");
    for (const auto& [key, id] : {std::pair{bos_key, score_bpe::bos}, {eos_key, score_bpe::eos}})
      if (keys.whole_number_or(key, static_cast<std::size_t>(id)) != static_cast<std::size_t>(id))
        keys.refuse(key, std::to_string(id));
    const std::vector<float> scores = keys.floats(scores_key);
    if (scores.size() < tokens.size()) keys.refuse(scores_key, std::to_string(tokens.size()) + " of them, one a token");
    std::string pieces;
    std::size_t longest = 0;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool plain = types.empty() || types[i] == normal;
      const std::string text = plain ? replaced(tokens[i], visible_blank, " ") : std::string(tokens[i]);
      longest = std::max(longest, text.size());
      append(pieces, scores[i]);
      append(pieces, static_cast<std::uint32_t>(text.size()));
      pieces += text;
    }
    std::string whole;
    append(whole, static_cast<std::uint32_t>(longest));
    whole += pieces;
    return score_bpe(std::as_bytes(std::span(whole)), where);
  }
  keys.refuse(model_key, "gpt2 or llama");
}

// ---- Writing

namespace {

using metadata = std::vector<std::pair<std::string, gguf_item>>;

/// Fills a vocabulary up to the embedding's rows, as llama.cpp wants it.
void fill_up(std::vector<std::string>& tokens, std::vector<std::int32_t>& types, std::size_t size) {
  for (std::size_t i = tokens.size(); i < size; ++i) {
    tokens.push_back("[PAD" + std::to_string(i) + "]");
    types.push_back(unused);
  }
}

void add_byte_bpe(const model_source& source, const fs::path& folder, metadata& out) {
  const mapped_file vocab(folder / "vocab.json"), merges(folder / "merges.txt");
  const json vocabulary = parse_json(vocab.text(), (folder / "vocab.json").string());
  std::vector<std::string> tokens(vocabulary.size()), lines;
  for (const auto& [name, id] : vocabulary.items()) tokens[id.get<std::size_t>()] = name;
  for (std::string_view rest = merges.text(); !rest.empty();) {
    const std::size_t stop = rest.find('\n');
    std::string_view line = rest.substr(0, stop);
    const bool first = line.data() == merges.text().data();
    rest = stop == std::string_view::npos ? std::string_view{} : rest.substr(stop + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty() && !(first && line.starts_with("#version"))) lines.emplace_back(line);
  }
  std::vector<std::int32_t> types(tokens.size(), normal);
  for (const auto id : {source.bos, source.eos})
    if (id && static_cast<std::size_t>(*id) < types.size()) types[static_cast<std::size_t>(*id)] = control;
  fill_up(tokens, types, source.config.vocabulary);
  out.emplace_back(model_key, std::string("gpt2"));
  out.emplace_back(pre_key, std::string("gpt-2"));
  out.emplace_back(tokens_key, std::move(tokens));
  out.emplace_back(types_key, std::move(types));
  out.emplace_back(merges_key, std::move(lines));
}

void add_score_bpe(const model_source& source, const fs::path& file, metadata& out) {
  const mapped_file mapped(file);
  std::span<const std::byte> rest = mapped.bytes().subspan(4);
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> types;
  while (!rest.empty()) {  // load_tokenizer has checked it
    float score = 0;
    std::uint32_t length = 0;
    std::memcpy(&score, rest.data(), 4);
    std::memcpy(&length, rest.data() + 4, 4);
    const std::string_view text(reinterpret_cast<const char*>(rest.data()) + 8, length);
    const std::size_t id = tokens.size();
    constexpr std::string_view first[] = {"<unk>", "<s>", "</s>"};
    types.push_back(id == 0 ? unknown : id < 3 ? control : id < 259 ? byte : normal);
    tokens.push_back(id < 3     ? std::string(first[id])
                     : id < 259 ? std::string(text)
                                : replaced(text, " ", visible_blank));
    scores.push_back(score);
    rest = rest.subspan(8 + length);
  }
  fill_up(tokens, types, source.config.vocabulary);
  scores.resize(tokens.size(), -1e4f);
  out.emplace_back(model_key, std::string("llama"));
  out.emplace_back(tokens_key, std::move(tokens));
  out.emplace_back(scores_key, std::move(scores));
  out.emplace_back(types_key, std::move(types));
  out.emplace_back("tokenizer.ggml.unknown_token_id", std::uint32_t{0});
  out.emplace_back(add_bos_key, true);
}

void add_tokenizer(const model_source& source, const fs::path& instead, metadata& out) {
  const fs::path& path = instead.empty() ? source.tokenizer : instead;
  if (path.empty()) {
    out.emplace_back(model_key, std::string("none"));
    return;
  }
  (void)tokenizer_of(source, path);  // refuses what could not be read
  std::error_code ignored;
  const bool folder = fs::is_directory(path, ignored);
  if (path.extension() == ".gguf" || (folder && !fs::exists(path / "vocab.json", ignored)))
    bad(path.string(), "a tokenizer that cannot be copied into a GGUF file",
        "vocab.json and merges.txt, or a tok*.bin");
  if (folder)
    add_byte_bpe(source, path, out);
  else
    add_score_bpe(source, path, out);
  if (source.bos) out.emplace_back(bos_key, static_cast<std::uint32_t>(*source.bos));
  if (source.eos) out.emplace_back(eos_key, static_cast<std::uint32_t>(*source.eos));
}

[[nodiscard]] metadata model_keys(const model_source& source, std::string_view most_format) {
  const config& c = source.config;
  const std::string name(family_of(c).model_type);  // llama.cpp's names for these two are the same
  const auto number = [](std::size_t n) { return gguf_item(static_cast<std::uint32_t>(n)); };
  constexpr std::pair<std::string_view, std::uint32_t> file_types[] = {{"float32", 0}, {"float16", 1},  {"q4_0", 2},
                                                                       {"q4_1", 3},    {"q8_0", 7},     {"q5_0", 8},
                                                                       {"q5_1", 9},    {"bfloat16", 32}};
  const fs::path plain = source.path.lexically_normal();
  metadata m{
      {"general.architecture", name},
      {"general.name", (plain.has_filename() ? plain : plain.parent_path()).stem().string()},
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

/// The format a tensor that nobody packs is written in.
[[nodiscard]] std::string_view kept_format(const source_tensor& t, const config& c) {
  const bool position = t.name.starts_with(family_of(c).position_embedding) && !family_of(c).position_embedding.empty();
  if (t.shape.size() != 2 || position || t.type == dtype::f32) return "float32";
  return t.type == dtype::f16 ? "float16" : "bfloat16";
}

/// The bytes of a tensor in its kept format, maps out x in.
void keep(const source_tensor& t, std::string_view format, std::vector<std::byte>& bytes) {
  const dtype type = format == "float32" ? dtype::f32 : format == "float16" ? dtype::f16 : dtype::bf16;
  if (type == t.type && t.rotary_heads == 0 && !t.in_major) {
    bytes.assign(t.bytes.begin(), t.bytes.end());
    return;
  }
  std::vector<float> values(t.elements());
  decode(t, {}, values);
  if (t.in_major) {
    std::vector<float> turned(values.size());
    const std::size_t out = t.out(), in = t.in();
    for (std::size_t i = 0; i < in; ++i)
      for (std::size_t o = 0; o < out; ++o) turned[o * in + i] = values[i * out + o];
    values.swap(turned);
  }
  bytes.resize(values.size() * size_of(type));
  encode(type, values, bytes);
}

/// The formats of GGUF that rows of `in` weights fit.
void check_format(const compressed_matrix& m, const source_tensor& t) {
  const std::size_t extents[] = {t.out(), t.in()};
  const std::size_t bytes = gguf_bytes(m.codec, extents);
  if (bytes != 0) {
    PRECIS_EXPECTS(m.bytes == bytes, "GGUF stores a matrix as the codec of the same name does");
    return;
  }
  if (m.codec.starts_with("q") && gguf_bytes(m.codec, std::vector<std::size_t>{32}) != 0)
    bad("matrix " + m.name, "rows of " + std::to_string(t.in()) + " weights do not fill the blocks of " + m.codec,
        "float16, bfloat16 or float32: every other format of GGUF takes rows of a multiple of 32");
  bad("matrix " + m.name, m.codec + " is no format of GGUF",
      t.in() % 32 == 0 ? "q4_0, q4_1, q5_0, q5_1, q8_0, float16, bfloat16 or float32" : "float16, bfloat16 or float32");
}

}  // namespace

compressed_sizes write_gguf(const fs::path& source_path, const fs::path& destination,
                            std::span<const compressed_matrix> matrices, const compress_options& options) {
  const model_source source = open_source(source_path);
  const config& c = source.config;
  if (!has_names(c.architecture))
    bad(source_path.string(), "a model of type " + std::string(family_of(c).model_type), "gpt2 or llama");
  if (source.format == model_format::compressed || source.format == model_format::gguf)
    bad(source_path.string(), "a model that is packed already", "the original model");
  if (c.architecture == architecture::gpt2 && c.activation != activation::gelu_tanh)
    bad(source_path.string(), "an exact GELU, which llama.cpp has not for a GPT-2", "gelu_new");
  std::error_code ignored;
  if (options.existing == atomic_folder::existing::refuse && fs::exists(destination, ignored))
    bad(destination.string(), "exists already", "a new file, or leave to replace it");
  if (fs::exists(destination, ignored) && fs::equivalent(source_path, destination, ignored))
    bad(destination.string(), "the destination is the source", "another file");

  const std::vector<const compressed_matrix*> packed = match_matrices(source, matrices);
  compressed_sizes sizes;
  std::vector<gguf_declaration> declarations;
  std::map<std::string_view, std::size_t> bytes_in;
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const source_tensor& t = source.tensors[i];
    if (packed[i] != nullptr) check_format(*packed[i], t);
    const std::string_view format = packed[i] != nullptr ? std::string_view(packed[i]->codec) : kept_format(t, c);
    std::vector<std::size_t> shape = t.shape;
    if (t.in_major) std::ranges::reverse(shape);
    const std::size_t bytes = gguf_bytes(format, shape);
    sizes.before += t.bytes.size();
    sizes.after += bytes;
    if (shape.size() == 2) bytes_in[format] += bytes;
    declarations.push_back({gguf_name(c, t.name), std::string(format), std::move(shape)});
  }
  const auto most = std::ranges::max_element(bytes_in, {}, [](const auto& f) { return f.second; });
  metadata keys = model_keys(source, most->first);
  add_tokenizer(source, options.tokenizer, keys);
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
      keep(source.tensors[i], declarations[i].format, bytes);
    }
    writer.write(bytes);
  }
  writer.commit();
  return sizes;
}

}  // namespace engine
