#include <engine/files/source.hpp>

#include <engine/files/gguf_model.hpp>
#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void bad(std::string_view where, std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
}

/// Arithmetic on sizes that a header claims: too large stays too large.
struct saturating {
  std::size_t value = 0;

  friend saturating operator*(saturating a, saturating b) noexcept {
    const bool over = a.value != 0 && b.value > std::numeric_limits<std::size_t>::max() / a.value;
    return {over ? std::numeric_limits<std::size_t>::max() : a.value * b.value};
  }
  friend saturating operator+(saturating a, saturating b) noexcept {
    const std::size_t sum = a.value + b.value;
    return {sum < a.value ? std::numeric_limits<std::size_t>::max() : sum};
  }
};

struct llama2c_header {
  std::int32_t width, hidden, layers, heads, kv_heads, vocabulary, context;
};
static_assert(sizeof(llama2c_header) == 28);

}  // namespace

std::string_view to_string(model_format format) noexcept {
  switch (format) {
    case model_format::hugging_face: return "Hugging Face folder";
    case model_format::llama2c: return "llama2.c file";
    case model_format::gguf: return "GGUF file";
    case model_format::compressed: break;
  }
  return "compressed folder";
}

std::vector<tensor_shape> expected_tensors(const config& c) {
  std::vector<tensor_shape> all;
  for_each_tensor(c, [&](std::string name, std::vector<std::size_t> shape, bool in_major, auto) {
    all.push_back({std::move(name), std::move(shape), in_major});
  });
  return all;
}

llama2c_file parse_llama2c(std::span<const std::byte> file, std::string_view where) {
  llama2c_header h{};
  if (file.size() < sizeof h)
    bad(where, "only " + std::to_string(file.size()) + " bytes", "a llama2.c file, which begins with a header of 28");
  std::memcpy(&h, file.data(), sizeof h);
  const std::string_view magic(reinterpret_cast<const char*>(file.data()), 4);
  if (magic == "GGUF") bad(where, "a GGUF file", "the ending .gguf");
  if (magic == "24ka") bad(where, "a llama2.c file of version 1 or newer", "version 0");
  if (magic.starts_with("PK"))
    bad(where, "a zip archive, perhaps of PyTorch", "a Hugging Face folder or a llama2.c file of version 0");

  const std::pair<const char*, std::int32_t> fields[] = {
      {"width", h.width}, {"MLP width", h.hidden},         {"layers", h.layers},
      {"heads", h.heads}, {"key-value heads", h.kv_heads}, {"context", h.context}};
  for (const auto& [name, value] : fields)
    if (value <= 0)
      bad(where, std::string(name) + " = " + std::to_string(value) + " in the header", "a llama2.c file of version 0");
  if (h.vocabulary == 0 || h.vocabulary == std::numeric_limits<std::int32_t>::min())
    bad(where, "vocabulary = " + std::to_string(h.vocabulary) + " in the header", "a llama2.c file of version 0");

  const auto extent = [](std::int32_t value) { return static_cast<std::size_t>(value); };
  config c{.architecture = architecture::llama,
           .layers = extent(h.layers),
           .width = extent(h.width),
           .heads = extent(h.heads),
           .kv_heads = extent(h.kv_heads),
           .hidden = extent(h.hidden),
           .vocabulary = extent(h.vocabulary < 0 ? -h.vocabulary : h.vocabulary),
           .context = extent(h.context),
           .norm_epsilon = 1e-5f,
           .rope_theta = 10000.f,
           .tied_head = h.vocabulary > 0,  // a negative vocabulary marks a head of its own
           .activation = activation::silu};
  check(c);

  const saturating width{c.width}, kv{c.kv_width()}, hidden{c.hidden}, layers{c.layers}, words{c.vocabulary}, two{2};
  const saturating embedding = words * width;
  const saturating tables = saturating{c.context} * saturating{c.head_width()};  // cosines and sines, half a head each
  const saturating a_layer = width * (two + two * width + two * kv + saturating{3} * hidden);
  const saturating head = c.tied_head ? saturating{0} : embedding;
  const saturating total =
      saturating{sizeof h} + saturating{4} * (embedding + layers * a_layer + width + tables + head);
  if (total.value != file.size())
    bad(where, std::to_string(file.size()) + " bytes", std::to_string(total.value) + " for the shape in its header");

  // The file has one kind of tensor after the other, all layers of each; the engine has one layer after the other.
  std::vector<source_tensor> tensors;
  for (tensor_shape& t : expected_tensors(c)) {
    source_tensor s;
    s.stored_name = t.name;
    s.name = std::move(t.name);
    s.file = std::string(where);
    s.shape = std::move(t.shape);
    tensors.push_back(std::move(s));
  }
  const auto named = [&](const std::string& name) -> source_tensor& {
    for (source_tensor& t : tensors)
      if (t.name == name) return t;
    PRECIS_EXPECTS(false, "every name below is one of expected_tensors");
    return tensors.front();
  };
  std::size_t at = sizeof h;
  const auto take = [&](source_tensor& t) {
    std::size_t bytes = 4;
    for (const std::size_t e : t.shape) bytes *= e;
    t.bytes = file.subspan(at, bytes);
    at += bytes;
  };
  take(named("tok_embeddings.weight"));
  constexpr std::size_t tensors_a_layer = 9;
  // In expected_tensors a layer is: attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3; the file has the same order.
  for (std::size_t kind = 0; kind < tensors_a_layer; ++kind)
    for (std::size_t l = 0; l < c.layers; ++l) take(tensors[1 + l * tensors_a_layer + kind]);
  take(named("norm.weight"));
  at += 4 * tables.value;
  if (!c.tied_head) take(named("output.weight"));
  return {c, std::move(tensors)};
}

model_source open_llama2c(const fs::path& path) {
  mapped_file file(path);
  llama2c_file parsed = parse_llama2c(file.bytes(), path.string());
  model_source s;
  s.format = model_format::llama2c;
  s.path = path;
  s.config = parsed.config;
  s.bos = 1;
  s.eos = 2;
  s.tensors = std::move(parsed.tensors);
  std::error_code ignored;
  for (const std::string& name : {std::string("tokenizer.bin"), "tok" + std::to_string(s.config.vocabulary) + ".bin"})
    if (s.tokenizer.empty() && fs::is_regular_file(path.parent_path() / name, ignored))
      s.tokenizer = path.parent_path() / name;
  s.files.push_back(std::move(file));
  return s;
}

model_source open_source(const fs::path& path) {
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (!fs::exists(status))
    bad(path.string(), "no such file or folder", "a model folder, a llama2.c file or a GGUF file");
  if (fs::is_directory(status)) return open_hugging_face(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json")
    bad(path.string(), "a single file of a model", "the folder it is in");
  if (path.extension() == ".gguf") return open_gguf(path);
  return open_llama2c(path);
}

}  // namespace engine
