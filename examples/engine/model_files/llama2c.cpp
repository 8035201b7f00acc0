#include <engine/model_files/source.hpp>

#include <engine/files/messages.hpp>

#include <precis/core/error.hpp>

#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

namespace engine {
namespace {

namespace fs = std::filesystem;

/// Saturating arithmetic for the sizes that a header claims.
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

llama2c_file parse_llama2c(std::span<const std::byte> file, std::string_view where) {
  llama2c_header h{};
  if (file.size() < sizeof h)
    refuse_input(where, "only " + std::to_string(file.size()) + " bytes",
                 "a llama2.c file, which begins with a header of 28 bytes");
  std::memcpy(&h, file.data(), sizeof h);
  const std::string_view magic(reinterpret_cast<const char*>(file.data()), 4);
  if (magic == "GGUF") refuse_input(where, "a GGUF file", "the file name extension .gguf");
  if (magic == "24ka") refuse_input(where, "a llama2.c file of version 1 or newer", "version 0");
  if (magic.starts_with("PK"))
    refuse_input(where, "a zip archive, possibly written by PyTorch",
                 "a Hugging Face folder or a llama2.c file of version 0");

  const std::pair<const char*, std::int32_t> fields[] = {
      {"width", h.width}, {"MLP width", h.hidden},         {"layers", h.layers},
      {"heads", h.heads}, {"key-value heads", h.kv_heads}, {"context", h.context}};
  for (const auto& [name, value] : fields)
    if (value <= 0)
      refuse_input(where, std::string(name) + " = " + std::to_string(value) + " in the header",
                   "a llama2.c file of version 0");
  if (h.vocabulary == 0 || h.vocabulary == std::numeric_limits<std::int32_t>::min())
    refuse_input(where, "vocabulary = " + std::to_string(h.vocabulary) + " in the header",
                 "a llama2.c file of version 0");

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
           .tied_head = h.vocabulary > 0,  // a negative vocabulary indicates a separate head
           .activation = activation::silu};
  check(c, where);

  const saturating width{c.width}, kv{c.kv_width()}, hidden{c.hidden}, layers{c.layers}, words{c.vocabulary}, two{2};
  const saturating embedding = words * width;
  const saturating tables =
      saturating{c.context} * saturating{c.head_width()};  // cosines and sines, half a head width each
  const saturating layer = width * (two + two * width + two * kv + saturating{3} * hidden);
  const saturating head = c.tied_head ? saturating{0} : embedding;
  const saturating total = saturating{sizeof h} + saturating{4} * (embedding + layers * layer + width + tables + head);
  if (total.value != file.size())
    refuse_input(where, std::to_string(file.size()) + " bytes",
                 std::to_string(total.value) + " for the shape in its header");

  // The file groups tensors by kind, with all layers of each; the engine groups them by layer.
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
    PRECIS_EXPECTS(false, "every name below is in expected_tensors");
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
  constexpr std::size_t tensors_per_layer = 9;
  // The order of a layer's tensors is that of expected_tensors: attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3.
  for (std::size_t kind = 0; kind < tensors_per_layer; ++kind)
    for (std::size_t l = 0; l < c.layers; ++l) take(tensors[1 + l * tensors_per_layer + kind]);
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
  s.eos = {2};
  s.tensors = std::move(parsed.tensors);
  std::error_code ignored;
  for (const std::string& name : {std::string("tokenizer.bin"), "tok" + std::to_string(s.config.vocabulary) + ".bin"})
    if (s.tokenizer.empty() && fs::is_regular_file(path.parent_path() / name, ignored))
      s.tokenizer = path.parent_path() / name;
  s.files.push_back(std::move(file));
  return s;
}

}  // namespace engine
