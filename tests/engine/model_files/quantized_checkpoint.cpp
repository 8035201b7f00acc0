#include <engine/model_files/quantized_checkpoint.hpp>

#include <engine/model/transformer.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "refusal.hpp"

#include <nlohmann/json.hpp>

#include <cstring>
#include <functional>
#include <map>

using namespace support;
using engine::json;
namespace fs = std::filesystem;

namespace {

const engine::matrix_decoder decoder = engine::decoder_of<precis::codec::standard>();

/// A tensor as bytes.
struct raw_tensor {
  engine::dtype type = engine::dtype::f32;
  std::vector<std::size_t> shape;
  std::string bytes;
};
using raw_tensors = std::map<std::string, raw_tensor>;

void put_raw(const fs::path& path, const raw_tensors& tensors) {
  std::vector<engine::tensor_declaration> declared;
  for (const auto& [name, t] : tensors) declared.push_back({name, t.type, t.shape});
  engine::safetensors_writer writer(path, declared, {});
  for (const auto& [name, t] : tensors) writer.write(as_bytes(t.bytes));
  writer.commit();
}

/// Words with a code of `bits` bits each, the first in the lowest bits.
std::string words_of(const std::vector<unsigned>& codes, unsigned bits) {
  std::string out((codes.size() * bits + 31) / 32 * 4, '\0');
  for (std::size_t i = 0; i < codes.size(); ++i)
    for (unsigned b = 0; b < bits; ++b)
      if ((codes[i] >> b & 1u) != 0) out[(i * bits + b) / 8] |= static_cast<char>(1u << (i * bits + b) % 8);
  return out;
}
std::string floats_of(const std::vector<float>& values, engine::dtype type) {
  std::string out(values.size() * engine::size_of(type), '\0');
  engine::encode(type, values, {reinterpret_cast<std::byte*>(out.data()), out.size()});
  return out;
}

/// Random codes, zero points and scales of one matrix, and its values.
struct sample {
  unsigned bits = 4;
  std::size_t out = 0, in = 0, group = 0;
  std::vector<unsigned> codes, zeros;  // [out x in], [out x groups]
  std::vector<float> scales;
  std::vector<std::size_t> group_of;  // [in]

  sample(std::size_t rows, std::size_t columns, unsigned width, std::size_t columns_per_group, bool symmetric,
         std::uint64_t seed)
      : bits(width), out(rows), in(columns), group(columns_per_group) {
    const precis::random_stream random(seed, precis::purpose("checkpoint"));
    std::uint64_t draw = 0;
    for (std::size_t i = 0; i < out * in; ++i) codes.push_back(static_cast<unsigned>(random.below(draw++, 1u << bits)));
    for (std::size_t i = 0; i < out * groups(); ++i) {
      zeros.push_back(symmetric ? 1u << (bits - 1)
                                : 1 + static_cast<unsigned>(random.below(draw++, (1u << bits) - 1u)));
      scales.push_back(static_cast<float>(1 + random.below(draw++, 60)) / 512.f);  // exact in every type of floats
    }
    for (std::size_t c = 0; c < in; ++c) group_of.push_back(c / group);
  }
  [[nodiscard]] std::size_t groups() const { return in / group; }
  [[nodiscard]] float value(std::size_t r, std::size_t c) const {
    const std::size_t g = r * groups() + group_of[c];
    return scales[g] * (static_cast<float>(codes[r * in + c]) - static_cast<float>(zeros[g]));
  }
  /// Codes in another order: by `order` of (row, column), for rows x columns.
  [[nodiscard]] std::vector<unsigned> columns_first() const {
    std::vector<unsigned> all;
    for (std::size_t r = 0; r < out; ++r)
      for (std::size_t c = 0; c < in; ++c) all.push_back(codes[r * in + c]);
    return all;
  }
};

void put_gptq(const sample& m, const std::string& prefix, raw_tensors& to, unsigned offset = 1) {
  std::vector<std::string> columns;  // the words of every output
  for (std::size_t r = 0; r < m.out; ++r)
    columns.push_back(words_of({m.codes.begin() + static_cast<std::ptrdiff_t>(r * m.in),
                                m.codes.begin() + static_cast<std::ptrdiff_t>((r + 1) * m.in)},
                               m.bits));
  std::string words, zeros;
  for (std::size_t w = 0; w < columns[0].size(); w += 4)
    for (const std::string& column : columns) words += column.substr(w, 4);
  std::vector<float> scales;
  for (std::size_t g = 0; g < m.groups(); ++g) {
    std::vector<unsigned> row;
    for (std::size_t r = 0; r < m.out; ++r) {
      row.push_back(m.zeros[r * m.groups() + g] - offset);
      scales.push_back(m.scales[r * m.groups() + g]);
    }
    zeros += words_of(row, m.bits);
  }
  std::string g_idx;
  for (const std::size_t g : m.group_of) g_idx += raw(static_cast<std::int32_t>(g));
  to[prefix + ".qweight"] = {engine::dtype::i32, {m.in * m.bits / 32, m.out}, words};
  to[prefix + ".qzeros"] = {engine::dtype::i32, {m.groups(), m.out * m.bits / 32}, zeros};
  to[prefix + ".scales"] = {engine::dtype::f16, {m.groups(), m.out}, floats_of(scales, engine::dtype::f16)};
  to[prefix + ".g_idx"] = {engine::dtype::i32, {m.in}, g_idx};
}

void put_awq(const sample& m, const std::string& prefix, raw_tensors& to) {
  constexpr std::size_t order[8] = {0, 2, 4, 6, 1, 3, 5, 7};
  const auto row_words = [&](const std::function<unsigned(std::size_t)>& code) {
    std::vector<unsigned> row;
    for (std::size_t r = 0; r < m.out; r += 8)
      for (const std::size_t o : order) row.push_back(code(r + o));
    return words_of(row, 4);
  };
  std::string words, zeros;
  std::vector<float> scales;
  for (std::size_t c = 0; c < m.in; ++c) words += row_words([&](std::size_t r) { return m.codes[r * m.in + c]; });
  for (std::size_t g = 0; g < m.groups(); ++g) {
    zeros += row_words([&](std::size_t r) { return m.zeros[r * m.groups() + g]; });
    for (std::size_t r = 0; r < m.out; ++r) scales.push_back(m.scales[r * m.groups() + g]);
  }
  to[prefix + ".qweight"] = {engine::dtype::i32, {m.in, m.out / 8}, words};
  to[prefix + ".qzeros"] = {engine::dtype::i32, {m.groups(), m.out / 8}, zeros};
  to[prefix + ".scales"] = {engine::dtype::f16, {m.groups(), m.out}, floats_of(scales, engine::dtype::f16)};
}

void put_packed(const sample& m, const std::string& prefix, raw_tensors& to, bool with_zeros) {
  to[prefix + ".weight_packed"] = {
      engine::dtype::i32, {m.out, m.in * m.bits / 32}, words_of(m.columns_first(), m.bits)};
  to[prefix + ".weight_scale"] = {engine::dtype::bf16, {m.out, m.groups()}, floats_of(m.scales, engine::dtype::bf16)};
  to[prefix + ".weight_shape"] = {
      engine::dtype::i64, {2}, raw(static_cast<std::int64_t>(m.out)) + raw(static_cast<std::int64_t>(m.in))};
  if (!with_zeros) return;
  const std::size_t each = 32 / m.bits;
  std::vector<unsigned> zeros;  // words along `out`, groups next to each other
  for (std::size_t w = 0; w < m.out / each; ++w)
    for (std::size_t g = 0; g < m.groups(); ++g)
      for (std::size_t i = 0; i < each; ++i) zeros.push_back(m.zeros[(w * each + i) * m.groups() + g]);
  to[prefix + ".weight_zero_point"] = {engine::dtype::i32, {m.out / each, m.groups()}, words_of(zeros, m.bits)};
}

void put_bytes(const sample& m, const std::string& prefix, raw_tensors& to) {
  std::string codes;
  for (const unsigned c : m.codes) codes += static_cast<char>(static_cast<int>(c) - 128);
  to[prefix + ".weight"] = {engine::dtype::i8, {m.out, m.in}, codes};
  to[prefix + ".weight_scale"] = {engine::dtype::f32, {m.out, m.groups()}, floats_of(m.scales, engine::dtype::f32)};
}

engine::config shape() {
  engine::config c = tiny_llama(false);
  c.width = 64;
  c.hidden = 128;
  return c;
}

/// A folder whose maps are quantized, and the model that it stands for.
engine::weights put_checkpoint(const fs::path& folder, const json& quantization,
                               const std::function<sample(std::size_t, std::size_t, std::uint64_t)>& make,
                               const std::function<void(const sample&, const std::string&, raw_tensors&)>& put_matrix) {
  const engine::config c = shape();
  engine::weights w = sample_weights(c);
  raw_tensors tensors;
  std::uint64_t seed = 0;
  for (const engine::tensor<float>& t : engine::tensors(w)) {
    const std::string name = hugging_face_name(t.name);
    const bool map = t.shape.size() == 2 && name.find("_proj") != std::string::npos;
    if (!map) {
      tensors[name] = {engine::dtype::f32, t.shape, floats_of({t.values.begin(), t.values.end()}, engine::dtype::f32)};
      continue;
    }
    const sample m = make(t.shape[0], t.shape[1], ++seed);
    put_matrix(m, name.substr(0, name.size() - 7), tensors);
    for (std::size_t r = 0; r < m.out; ++r)
      for (std::size_t col = 0; col < m.in; ++col) t.values[r * m.in + col] = m.value(r, col);
  }
  fs::create_directories(folder);
  json config = json::parse(engine::config_json(c));
  config["quantization_config"] = quantization;
  put(folder / "config.json", config.dump());
  put_raw(folder / "model.safetensors", tensors);
  return w;
}

/// The same weights in a plain folder, which orders the rows of query and key as Hugging Face does.
engine::weights plain(const fs::path& folder, const engine::weights& w) {
  std::vector<entry> entries = entries_of(w);
  for (entry& e : entries) e.name = hugging_face_name(e.name);
  put_folder(folder, w.config, entries);
  return engine::load(folder).weights;
}

std::string codec_of(const engine::bundle& b, const std::string& name) { return b.find(name)->format; }

}  // namespace

TEST_CASE("quantized checkpoints of every kind are read exactly, and stay packed", "[engine][checkpoint][property]") {
  struct kind {
    const char* name;
    json config;
    unsigned bits;
    std::size_t group;  // 0: a row
    bool symmetric;
    const char* codec;
    std::function<void(const sample&, const std::string&, raw_tensors&)> put;
  };
  const auto gptq = [](const sample& m, const std::string& p, raw_tensors& to) { put_gptq(m, p, to); };
  const auto gptq2 = [](const sample& m, const std::string& p, raw_tensors& to) { put_gptq(m, p, to, 0); };
  const auto packed = [](const sample& m, const std::string& p, raw_tensors& to) { put_packed(m, p, to, false); };
  const auto with_zeros = [](const sample& m, const std::string& p, raw_tensors& to) { put_packed(m, p, to, true); };
  const auto compressed = [](const char* format, unsigned bits) {
    return json{{"quant_method", "compressed-tensors"},
                {"format", format},
                {"config_groups", {{"group_0", {{"weights", {{"num_bits", bits}, {"type", "int"}}}}}}}};
  };
  const auto of_gptq = [](unsigned bits, int group) {
    return json{{"quant_method", "gptq"}, {"bits", bits}, {"group_size", group}};
  };
  json second = of_gptq(4, 32);
  second["checkpoint_format"] = "gptq_v2";
  const kind kinds[] = {
      {"gptq 4", of_gptq(4, 32), 4, 32, false, "affine4.g32.h", gptq},
      {"gptq 4 symmetric", of_gptq(4, 64), 4, 64, true, "symmetric_full4.g64.h", gptq},
      {"gptq 3", of_gptq(3, 64), 3, 64, false, "affine3.g64.h", gptq},
      {"gptq 2", of_gptq(2, 32), 2, 32, false, "affine2.g32.h", gptq},
      {"gptq 8, rows", of_gptq(8, -1), 8, 0, true, "symmetric_full8.row.h", gptq},
      {"gptq version 2", second, 4, 32, false, "affine4.g32.h", gptq2},
      {"awq",
       {{"quant_method", "awq"}, {"bits", 4}, {"group_size", 32}, {"version", "gemm"}},
       4,
       32,
       false,
       "affine4.g32.h",
       put_awq},
      {"pack-quantized", compressed("pack-quantized", 4), 4, 32, true, "symmetric_full4.g32.h", packed},
      {"pack-quantized with zero points", compressed("pack-quantized", 4), 4, 32, false, "affine4.g32.h", with_zeros},
      {"pack-quantized 8", compressed("pack-quantized", 8), 8, 0, true, "symmetric_full8.row.h", packed},
      {"int-quantized", compressed("int-quantized", 8), 8, 0, true, "symmetric_full8.row.h", put_bytes}};
  for (const kind& k : kinds) {
    CAPTURE(k.name);
    const temporary_folder folder;
    const engine::weights w = put_checkpoint(
        folder / "q", k.config,
        [&](std::size_t out, std::size_t in, std::uint64_t seed) {
          return sample(out, in, k.bits, k.group == 0 ? in : k.group, k.symmetric, seed);
        },
        k.put);
    const engine::bundle back = engine::load(folder / "q", {.tokenizer = {}, .decoder = decoder});
    CHECK(same(back.weights, plain(folder / "plain", w)));
    CHECK(codec_of(back, "layers.1.feed_forward.w2") == k.codec);
    CHECK(back.warnings.empty());
    // The grids coincide with those of GGUF's types and of compressed folders: nothing is lost.
    engine::write_gguf(folder / "q", folder / "m.gguf", {});
    const engine::bundle gguf = engine::load(folder / "m.gguf", {.tokenizer = {}, .decoder = decoder});
    CHECK(same(gguf.weights, back.weights));
    CHECK(codec_of(gguf, "layers.1.feed_forward.w2").starts_with("q"));
    engine::write_compressed(folder / "q", folder / "c", {});
    const engine::bundle packed_folder = engine::load(folder / "c", {.tokenizer = {}, .decoder = decoder});
    CHECK(same(packed_folder.weights, back.weights));
    CHECK(codec_of(packed_folder, "layers.1.feed_forward.w2") == k.codec);

    const engine::packed_transformer run(engine::load_packed(engine::open_source(folder / "q"), decoder));
    const precis::token_batch batch = precis::next_token_batch(1, std::vector<precis::token>{1, 5, 299, 7, 44, 9});
    CHECK(run.loss(batch).sum == Approx(engine::transformer(back.weights).loss(batch).sum).epsilon(1e-5));
  }
}

TEST_CASE("GPTQ with act-order is decoded, and says so; a zero point of 2^bits becomes a minimum",
          "[engine][checkpoint][property]") {
  const temporary_folder folder;
  const json config{{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 32}, {"desc_act", true}};
  const engine::weights w = put_checkpoint(
      folder / "q", config,
      [](std::size_t out, std::size_t in, std::uint64_t seed) {
        sample m(out, in, 4, 32, false, seed);
        for (std::size_t c = 0; c < in; ++c) m.group_of[c] = c % m.groups();
        return m;
      },
      [](const sample& m, const std::string& p, raw_tensors& to) { put_gptq(m, p, to); });
  const engine::bundle back = engine::load(folder / "q", {.tokenizer = {}, .decoder = decoder});
  CHECK(same(back.weights, plain(folder / "plain", w)));
  CHECK(codec_of(back, "layers.0.feed_forward.w2") == "float32");
  CHECK(back.warnings.size() == 14);

  engine::integer_matrix m;
  m.out = 2;
  m.in = m.group = 32;
  m.codes.assign(64, 3);
  m.scales = {0.5f, 0.25f};
  m.zeros = {16, 2};
  engine::repacked_matrix packed;
  engine::pack_integers(m, packed);
  CHECK(packed.codec == "min_anchored4.row");
  std::vector<float> values(64);
  decoder.decode(packed.codec, packed.bytes, {values.data(), 2, 32, 32, 1});
  CHECK(values[0] == -6.5f);
  CHECK(values[63] == 0.25f);
}

TEST_CASE("MXFP4 of compressed-tensors is the same block in another order", "[engine][checkpoint][worked-example]") {
  const temporary_folder folder;
  std::string codes;
  for (unsigned j = 0; j < 32; ++j) codes += static_cast<char>(((2 * j) & 15u) | ((2 * j + 1) & 15u) << 4);
  put_raw(folder / "m.safetensors", {{"a.weight_packed", {engine::dtype::u8, {2, 16}, codes}},
                                     {"a.weight_scale", {engine::dtype::u8, {2, 1}, "\x7f\x80"}}});
  const auto format = engine::parse_checkpoint_format(
      {{"quantization_config", {{"quant_method", "compressed-tensors"}, {"format", "mxfp4-pack-quantized"}}}}, "c");
  REQUIRE(format);
  const auto all = engine::repack_checkpoint(engine::safetensors(folder / "m.safetensors"), *format, "m");
  REQUIRE(all.size() == 1);
  CHECK(all[0].name == "a.weight");
  CHECK(all[0].codec == "mxfp4");
  std::vector<float> values(64);
  decoder.decode(all[0].codec, all[0].bytes, {values.data(), 2, 32, 32, 1});
  const float e2m1[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};
  for (std::size_t i = 0; i < 64; ++i) CHECK(values[i] == (i < 32 ? 1.f : 2.f) * e2m1[i % 16]);
}

TEST_CASE("a quantized checkpoint that contradicts itself is refused by name", "[engine][checkpoint][refusal]") {
  const auto config = [](const json& q) {
    return refusal([&] {
      (void)engine::parse_checkpoint_format(json::parse(json{{"quantization_config", q}}.dump()), "config.json");
    });
  };
  CHECK_THAT(config({{"quant_method", "bitsandbytes"}}),
             ContainsSubstring("quantized with \"bitsandbytes\"; expected gptq, awq or compressed-tensors"));
  CHECK_THAT(config({{"quant_method", "gptq"}, {"bits", 5}}), ContainsSubstring("5 bits; expected 2, 3, 4, 8"));
  CHECK_THAT(config({{"quant_method", "awq"}, {"bits", 4}, {"version", "gemv"}}), ContainsSubstring("\"gemv\""));
  CHECK_THAT(config({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 0}}), ContainsSubstring("group_size is 0"));
  CHECK_THAT(config({{"quant_method", "compressed-tensors"}, {"format", "nvfp4-pack-quantized"}}),
             ContainsSubstring("nvfp4-pack-quantized"));

  const sample m(32, 64, 4, 32, false, 1);
  raw_tensors good;
  put_gptq(m, "a", good);
  const auto said = [&](const std::function<void(raw_tensors&)>& change) {
    const temporary_folder folder;
    raw_tensors t = good;
    change(t);
    put_raw(folder / "m.safetensors", t);
    return refusal([&] {
      (void)engine::repack_checkpoint(engine::safetensors(folder / "m.safetensors"),
                                      {.method = engine::checkpoint_method::gptq, .bits = 4, .group = 32}, "m");
    });
  };
  CHECK(said([](raw_tensors&) {}).empty());
  CHECK_THAT(said([](raw_tensors& t) { t.erase("a.scales"); }), ContainsSubstring("no tensor \"a.scales\""));
  CHECK_THAT(said([](raw_tensors& t) { t["a.qzeros"].type = engine::dtype::f32; }),
             ContainsSubstring("\"a.qzeros\" is of type F32; expected I32"));
  CHECK_THAT(said([](raw_tensors& t) { t["a.qweight"].shape = {4, 64}; }),
             ContainsSubstring("\"a.scales\" has 2 groups"));
  CHECK_THAT(said([](raw_tensors& t) { t["a.qzeros"].shape = {4, 2}; }),
             ContainsSubstring("\"a.qzeros\" has another shape"));
  CHECK_THAT(said([](raw_tensors& t) { t["a.g_idx"].bytes[0] = 9; }),
             ContainsSubstring("names group 9; expected 0 to 1"));
}
