#include <engine/packed/packed_transformer.hpp>

#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/load.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/codebook.hpp>
#include <precis/codec/scaled_float.hpp>
#include <precis/codec/sparse.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/codec/symmetric.hpp>

#include "catch.hpp"
#include "engine/float_bundle.hpp"
#include "engine/tiny_models.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

using namespace support;
using engine::activation_type;
using engine::packed_transformer;
using precis::token;
using precis::codec::standard;

namespace codec = precis::codec;

static_assert(precis::evaluable_model<packed_transformer>);
static_assert(precis::token_model<packed_transformer>);

namespace {

/// Random weights of a realistic scale: standard deviation 1 / sqrt(in), norms around 1.
engine::weights realistic_weights(const engine::config& c, std::uint64_t seed = 1) {
  engine::weights w = engine::zeros(c);
  const precis::random_stream random(seed, precis::purpose("lively"));
  std::uint64_t draw = 0;
  for (const engine::tensor<float>& t : engine::tensors(w)) {
    const bool is_norm = t.shape.size() == 1 && !t.name.ends_with("bias");
    const double size = t.shape.size() == 2 ? 1 / std::sqrt(static_cast<double>(c.width)) : 0.1;
    for (float& v : t.values) v = static_cast<float>((is_norm ? 1 : 0) + size * random.normal(draw++));
  }
  return w;
}

/// Shapes with widths that are multiples of a tile or a block, and others that are not.
engine::config small(engine::config c) {
  c.width = c.architecture == engine::architecture::gpt2 ? 64 : 48;
  c.heads = 4;
  c.kv_heads = c.architecture == engine::architecture::llama ? 2 : 4;
  if (c.architecture == engine::architecture::phi) c.rotary_width = 6;
  c.hidden = 96;
  c.vocabulary = 75;
  c.context = 70;
  return c;
}
std::vector<engine::config> families() {
  return {small(tiny_gpt2()), small(tiny_llama()), small(tiny_llama(false)), small(tiny_opt()), small(tiny_phi())};
}

precis::token_batch text(const engine::config& c, std::size_t sequences, std::size_t tokens) {
  const precis::random_stream random(7, precis::purpose("text"));
  std::vector<token> ids(sequences * (tokens + 1));
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<token>(random.below(i, c.vocabulary));
  return precis::next_token_batch(sequences, ids);
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// A folder with the packed model, matrix m in codecs[m % size], and embedding tables if named.
template<class Menu = standard>
void compress(const std::filesystem::path& from, const std::filesystem::path& to,
              const std::vector<std::string>& codecs, const std::string& table_codec = {}) {
  const engine::bundle b = support::float_bundle(from);
  std::vector<engine::compressed_matrix> matrices;
  const auto add = [&](const std::string& name, const std::string& codec, precis::weight_view w) {
    const std::size_t entry = Menu::index_of(codec);
    matrices.push_back({.name = name,
                        .codec = codec,
                        .bytes = Menu::bytes(entry, w.rows, w.cols),
                        .pack = [=](std::span<std::byte> into) { Menu::encode(entry, w, into); }});
  };
  const auto infos = engine::matrices_of(b.config());
  for (std::size_t m = 0; m < infos.size(); ++m) {
    std::string codec = codecs[m % codecs.size()];
    if (codec.starts_with("q") && infos[m].in % 32 != 0) codec = "symmetric_full4.g32.h";
    add(infos[m].name, codec, engine::map_of(b.weights, m).view());
  }
  if (!table_codec.empty()) {
    const engine::config& c = b.config();
    const engine::family& f = engine::family_of(c);
    add(std::string(f.token_embedding), table_codec, {b.weights.token_embedding, c.vocabulary, c.width});
    if (!c.tied_head) add(std::string(f.head), table_codec, {b.weights.head, c.vocabulary, c.width});
  }
  engine::write_compressed(from, to, matrices);
}

const engine::matrix_decoder decoder = engine::decoder_of<standard>();
const std::vector<std::string> mixed{
    "affine4.g32", "symmetric8.row.h",   "affine3.g64", "float16", "affine16.row",
    "q4_0",        "min_anchored5.g128", "bfloat16",    "q8_0",    "symmetric_full6.tensor"};

/// Codebooks, and N of M and bitmaps of codes and of plain floats.
using sparse_and_codebook_formats =
    precis::menu<codec::codebook<4>, codec::codebook_with_zero<3, codec::per_row, codec::scale_type::float16>,
                 codec::keep_of<2, 4, codec::affine<4, 32>>, codec::keep_of<3, 8, codec::e4m3<codec::per_row>>,
                 codec::keep_of<2, 4, codec::float16>, codec::keep_of<5, 9, codec::bfloat16>,
                 codec::keep_of<1, 4, codec::float32>, codec::bitmap<50, codec::float16>,
                 codec::bitmap<30, codec::float32>, codec::bitmap<70, codec::bfloat16>,
                 codec::bitmap<50, codec::affine<4, 32>>, codec::bitmap<40, codec::symmetric<5, 20>>,
                 codec::bitmap<60, codec::affine<16, codec::per_row, codec::scale_type::float16>>,
                 codec::bitmap<50, codec::e2m1<codec::per_tensor>>>;

engine::packed_weights load_packed(const std::filesystem::path& path, const engine::matrix_decoder& by = decoder) {
  return engine::load_packed(engine::open_source(path), by);
}

}  // namespace

TEST_CASE("every causal family computes the reference engine's loss and logits from plain floats",
          "[engine][packed][oracle]") {
  for (const engine::config& c : families()) {
    CAPTURE(engine::family_of(c).name, c.tied_head);
    const engine::weights w = realistic_weights(c);
    const packed_transformer run(engine::packed(w));
    const engine::transformer reference(w);
    const precis::token_batch batch = text(c, 2, 67);  // three chunks, the last one partial
    const precis::nll found = run.loss(batch), expected = reference.loss(batch);
    CHECK(found.count == expected.count);
    CHECK(found.sum == Approx(expected.sum).epsilon(1e-6));

    const std::vector<token> ids(batch.ids.begin(), batch.ids.begin() + 40);
    const precis::float_matrix last = reference.logits(precis::prompts(1, ids), precis::positions::last);
    auto s = run.begin();
    const std::span<const float> logits = run.append(s, ids);
    for (std::size_t i = 0; i < logits.size(); ++i) CHECK(logits[i] == Approx(last.values[i]).margin(1e-4));
  }
}

TEST_CASE("mixed formats: packed and decoded perplexity agree to 1e-5", "[engine][packed][property]") {
  for (const engine::config& c : families()) {
    CAPTURE(engine::family_of(c).name, c.tied_head);
    const temporary_folder folder;
    engine::save(realistic_weights(c), folder / "m");
    for (const std::string table : {"", "affine8.g32", "q8_0", "float16", "symmetric5.row"}) {
      if (table == "q8_0" && c.width % 32 != 0) continue;
      CAPTURE(table);
      const auto name = folder / ("packed" + table);
      compress(folder / "m", name, mixed, table);
      const packed_transformer run(load_packed(name));
      const engine::transformer decoded(engine::load(name, {.tokenizer = {}, .decoder = decoder}).weights);
      const precis::token_batch batch = text(c, 2, 45);
      CHECK(std::exp(run.loss(batch).mean()) == Approx(std::exp(decoded.loss(batch).mean())).epsilon(1e-5));
    }
  }
}

TEST_CASE("a token's logits depend neither on threads nor on the number of tokens per call",
          "[engine][packed][property]") {
  const temporary_folder folder;
  for (const engine::config& c : {small(tiny_gpt2()), small(tiny_llama(false))}) {
    engine::save(realistic_weights(c), folder / "m", engine::dtype::f16, {}, engine::atomic_folder::existing::replace);
    std::filesystem::remove_all(folder / "p");
    compress(folder / "m", folder / "p", mixed, "affine4.g32");
    const std::vector<token> ids = text(c, 1, 50).ids;
    for (const activation_type type : {activation_type::float32, activation_type::int8}) {
      const packed_transformer run(load_packed(folder / "p"), type);
      auto whole = run.begin(), single = run.begin(50, 3), parts = run.begin(60, 2);
      const std::span<const float> expected = run.append(whole, ids);
      std::span<const float> found;
      for (const token id : ids) found = run.append(single, {&id, 1});
      CHECK(same_bits(found, expected));
      CHECK(single.tokens() == 50);
      (void)run.append(parts, std::span(ids).first(7));
      CHECK(same_bits(run.append(parts, std::span(ids).subspan(7)), expected));
    }
  }
}

TEST_CASE("codebooks and sparse formats run packed: memory, perplexity, one token per call",
          "[engine][packed][property]") {
  const temporary_folder folder;
  const engine::matrix_decoder by = engine::decoder_of<sparse_and_codebook_formats>();
  const engine::config c = small(tiny_llama());
  engine::save(realistic_weights(c), folder / "m", engine::dtype::f16);
  const std::size_t vectors = (2 * c.layers + 1) * c.width;  // float16 on disk, float32 in memory
  for (const std::string& name : sparse_and_codebook_formats::names()) {
    CAPTURE(name);
    compress<sparse_and_codebook_formats>(folder / "m", folder / name, {name}, name);
    const engine::bundle decoded = engine::load(folder / name, {.tokenizer = {}, .decoder = by});
    const engine::transformer reference(decoded.weights);
    const precis::token_batch batch = text(c, 2, 45);
    const std::vector<token> ids = text(c, 1, 40).ids;
    CHECK(load_packed(folder / name, by).bytes() == decoded.stored_bytes() + 2 * vectors);
    for (const activation_type type :
         {activation_type::float32, activation_type::int8}) {  // always multiplied with floats
      const packed_transformer run(load_packed(folder / name, by), type);
      CHECK(std::exp(run.loss(batch).mean()) == Approx(std::exp(reference.loss(batch).mean())).epsilon(1e-5));
      auto whole = run.begin(), single = run.begin(41, 3);
      const std::span<const float> expected = run.append(whole, ids);
      std::span<const float> found;
      for (const token id : ids) found = run.append(single, {&id, 1});
      CHECK(same_bits(found, expected));
    }
  }
}

TEST_CASE("format names that no kernel supports give nullopt", "[engine][packed][refusal]") {
  for (const std::string name :
       {"keep2of4.min_anchored4.g32", "keep4of4.float16", "keep0of4.float16", "keep1of2.float16", "keep2of300.float16",
        "keep02of4.float16", "keep2of4", "keep2of4.", "bitmap50.min_anchored4.g32", "bitmap0.float16",
        "bitmap100.float16", "bitmap50", "bitmap50.bitmap50.float16", "codebook9.tensor", "codebook4", "codebook4.g32",
        "codebook4.row.hh", "codebook_with_zero.row"}) {
    CAPTURE(name);
    CHECK_FALSE(engine::stored_matrix::of(name, {}, 4, 400));
  }
}

TEST_CASE("invalid bytes of a sparse matrix are refused", "[engine][packed][refusal]") {
  const temporary_folder folder;
  const engine::matrix_decoder by = engine::decoder_of<sparse_and_codebook_formats>();
  engine::save(realistic_weights(small(tiny_llama())), folder / "m");
  const auto broken = [&](const std::string& name, std::byte first) {
    compress<sparse_and_codebook_formats>(folder / "m", folder / name, {name});
    const auto container = folder / name / "model.safetensors";
    std::string bytes = slurp(container);
    std::size_t at = 0;
    {
      const engine::safetensors file(container);
      at = file.find("layers.0.feed_forward.w1.weight")->first_byte;
    }
    bytes[at] = static_cast<char>(first);
    put(container, bytes);
    return refusal([&] { (void)load_packed(folder / name, by); });
  };
  CHECK_THAT(broken("keep5of9.bfloat16", std::byte{0xff}), ContainsSubstring("in a group of 9"));
  CHECK_THAT(broken("bitmap50.float16", std::byte{0xff}), ContainsSubstring("weights kept"));
}

TEST_CASE("one thread and several give the same matrix product", "[engine][packed][property]") {
  const precis::random_stream random(3, 0);
  precis::float_matrix values(900, 200), x(5, 200);  // large enough to be split among threads
  for (std::size_t i = 0; i < values.values.size(); ++i) values.values[i] = static_cast<float>(random.normal(i));
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = static_cast<float>(random.normal(~i));
  using menu =
      precis::menu<codec::float32, codec::float16, codec::affine<8, 32>, codec::affine<8, codec::per_row>,
                   codec::codebook<4>, codec::keep_of<2, 4, codec::float16>, codec::keep_of<2, 4, codec::affine<4, 32>>,
                   codec::affine<4, 20>, codec::keep_of<2, 4, codec::affine<4, 20>>, codec::bitmap<60, codec::float16>,
                   codec::bitmap<60, codec::symmetric<8, 32>>>;
  for (const std::string& codec : menu::names()) {
    const std::size_t entry = menu::index_of(codec);
    std::vector<std::byte> packed(menu::bytes(entry, 900, 200));
    menu::encode(entry, values.view(), packed);
    const auto m = engine::stored_matrix::of(codec, packed, 900, 200);
    REQUIRE(m);
    CHECK(m->bytes() == packed.size());
    precis::float_matrix decoded(900, 200);
    menu::decode(entry, packed, decoded.view());
    std::vector<float> row(200);
    for (const std::size_t r : {0u, 17u, 899u}) {
      m->row(r, row);
      CHECK(std::ranges::equal(row, decoded.row(r)));
    }
    for (const activation_type type : {activation_type::float32, activation_type::int8}) {
      CAPTURE(codec, type == activation_type::int8);
      precis::float_matrix one(5, 900), three(5, 900);
      engine::thread_team one_thread(1), three_threads(3);
      engine::scratch_arena memory;
      engine::input_rows input(x.view(), type, memory);
      engine::multiply(*m, input, one.view(), one_thread);
      for (int again = 0; again < 20; ++again) {  // the schedule of the threads varies
        std::ranges::fill(three.values, -1.f);
        engine::multiply(*m, input, three.view(), three_threads);
        REQUIRE(three == one);
      }
      for (std::size_t n = 0; n < 5; ++n) {
        // Floats: 200 roundings of sums below 200 * 4 * 4. Bytes: in addition, x is rounded by up to half a step of
        // max|x| / 127.
        float most = 0;
        for (const float v : x.row(n)) most = std::max(most, std::abs(v));
        const bool rounded = type == activation_type::int8 && codec.starts_with("affine");
        for (std::size_t r = 0; r < 900; ++r) {
          double exact = 0, size = 0;
          for (std::size_t i = 0; i < 200; ++i) {
            exact += static_cast<double>(decoded(r, i)) * static_cast<double>(x(n, i));
            size += std::abs(static_cast<double>(decoded(r, i)));
          }
          const double slack = size * static_cast<double>(most) * (200 * 0x1p-23 + (rounded ? 0.5 / 127 : 0));
          REQUIRE(std::abs(static_cast<double>(one(n, r)) - exact) <= slack);
        }
      }
    }
  }
  CHECK_FALSE(engine::stored_matrix::of("unheard_of", {}, 4, 4));
}

TEST_CASE("memory equals the stored size", "[engine][packed][property]") {
  const temporary_folder folder;
  const engine::config c = small(tiny_llama());
  for (const engine::config& other : families()) {  // floats keep their type, even if their order changes
    const auto name = folder / ("f16-" + std::to_string(static_cast<int>(other.architecture)));
    engine::save(realistic_weights(other), name, engine::dtype::f16, {}, engine::atomic_folder::existing::replace);
    CHECK(load_packed(name).bytes() * 5 < engine::packed(realistic_weights(other)).bytes() * 3);
  }
  engine::save(realistic_weights(c), folder / "m", engine::dtype::f16);
  const std::size_t vectors = (2 * c.layers + 1) * c.width;  // float32 in memory
  for (const std::string codec : {"affine4.g32", "bfloat16", "float16", "float32", "affine16.row"})
    compress(folder / "m", folder / codec, {codec}, codec);
  const auto size_of = [&](const std::string& codec) { return load_packed(folder / codec).bytes(); };
  const auto stored = [&](const std::string& codec) {
    return engine::load(folder / codec, {.tokenizer = {}, .decoder = decoder}).stored_bytes() - 2 * vectors;
  };
  CHECK(size_of("affine4.g32") == stored("affine4.g32") + 4 * vectors);
  CHECK(size_of("bfloat16") == stored("bfloat16") + 4 * vectors);
  CHECK(size_of("affine16.row") == stored("affine16.row") + 4 * vectors);
  CHECK(load_packed(folder / "m").bytes() == size_of("float16"));  // floats keep their type
}

TEST_CASE("a packed transformer refuses invalid models and calls", "[engine][packed][refusal]") {
  const engine::config c = small(tiny_gpt2());
  const packed_transformer run(engine::packed(realistic_weights(c)));
  CHECK_THAT(refusal([&] { (void)run.begin(71); }), ContainsSubstring("at most 70"));
  auto s = run.begin(3);
  const std::vector<token> ids{1, 2, 75, 4};
  CHECK_THAT(refusal([&] { run.append(s, {}); }), ContainsSubstring("no tokens"));
  CHECK_THAT(refusal([&] { run.append(s, ids); }), ContainsSubstring("4 tokens after 0; expected at most 3 in all"));
  CHECK_THAT(refusal([&] { run.append(s, std::span(ids).first(3)); }), ContainsSubstring("token 75; expected 0 to 74"));
  CHECK(s.tokens() == 0);
  precis::token_batch batch = text(c, 1, 5);
  batch.targets[2] = 99;
  CHECK_THAT(refusal([&] { (void)run.loss(batch); }), ContainsSubstring("target 99"));
  batch.targets.pop_back();
  CHECK_THAT(refusal([&] { (void)run.loss(batch); }), ContainsSubstring("one target per token"));
  engine::weights absorbed = realistic_weights(c);
  absorbed.blocks[1].down.later_bias.assign(c.width, 1.f);
  CHECK_THAT(refusal([&] { (void)engine::packed(absorbed); }), ContainsSubstring("on the position in block 1"));
  CHECK_THAT(refusal([&] { (void)engine::packed(realistic_weights(tiny_bert())); }),
             ContainsSubstring("predicts the next token"));
}

TEST_CASE("packed weights that are not finite are refused by tensor and index", "[engine][packed][refusal]") {
  const temporary_folder folder;
  engine::save(realistic_weights(small(tiny_llama())), folder / "m");
  compress(folder / "m", folder / "p", {"affine4.g32"});
  const auto broken = [&](float scale) {
    const auto container = folder / "p/model.safetensors";
    std::string bytes = slurp(container);
    std::size_t at = 0;
    {
      const engine::safetensors file(container);
      at = file.find("layers.0.feed_forward.w1.weight")->first_byte;
    }
    // 96 x 48: the codes of whole blocks take 96 rows x 4 words x 4 bytes; the scales come after them.
    std::memcpy(&bytes[at + 96 * 16], &scale, 4);
    put(container, bytes);
    return refusal([&] { (void)load_packed(folder / "p"); });
  };
  CHECK_THAT(broken(std::numeric_limits<float>::infinity()),
             ContainsSubstring("layers.0.feed_forward.w1.weight holds"));
  CHECK_THAT(broken(3e38f), ContainsSubstring("layers.0.feed_forward.w1.weight holds infinity"));
  CHECK(broken(1.f).empty());
}

TEST_CASE("the shared models: packed perplexity equals decoded; byte activations add less than 1 %",
          "[engine][packed][golden][slow]") {
  const auto gpt2 = shared_path("models/imdb-gpt2"), stories = shared_path("models/stories260K/stories260K.bin");
  if (!gpt2 || !stories) return;
  for (const std::filesystem::path& path : {*gpt2, *stories}) {
    CAPTURE(path.string());
    const temporary_folder folder;
    compress(path, folder / "p", {"affine4.g32", "symmetric6.g64", "affine8.row", "symmetric_full5.g32.h"},
             "affine8.g32");
    const packed_transformer run(load_packed(folder / "p")), bytes(load_packed(folder / "p"), activation_type::int8);
    const engine::transformer decoded(engine::load(folder / "p", {.tokenizer = {}, .decoder = decoder}).weights);
    const auto source = engine::open_source(path);
    const engine::tokenizer tokens =
        engine::load_tokenizer(source.tokenizer.empty() ? path.parent_path() / "tok512.bin" : source.tokenizer);
    std::vector<token> ids = tokens.encode(
        "Once upon a time there was a little girl named Lily. She loved to play outside with her dog, and the movie "
        "she "
        "liked best was about a boy who found a key in the garden. He asked his mother what it was for, and she said "
        "that nobody knew.");
    const precis::token_batch batch = precis::next_token_batch(1, ids);
    const double expected = std::exp(decoded.loss(batch).mean());
    CHECK(std::exp(run.loss(batch).mean()) == Approx(expected).epsilon(1e-5));
    CHECK(std::exp(bytes.loss(batch).mean()) == Approx(expected).epsilon(1e-2));
  }
}
