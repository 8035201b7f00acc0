#include <engine/model_files/compressed.hpp>

#include <engine/model_files/load.hpp>

#include "catch.hpp"
#include "engine/tiny_models.hpp"
#include "engine/tokenizers.hpp"
#include "refusal.hpp"

#include <cstring>
#include <stdexcept>

using namespace support;
namespace fs = std::filesystem;

namespace {

/// A codec for tests: one signed byte per weight in units of 1/8, row-major.
struct eighths {
  static std::string name() { return "eighths"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in; }
  static void encode(precis::weight_view w, std::span<std::byte> packed) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        packed[r * w.cols + c] = static_cast<std::byte>(static_cast<std::int8_t>(w(r, c) * 8.f));
  }
  static void decode(std::span<const std::byte> packed, precis::mutable_weight_view w) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c)
        w(r, c) = static_cast<float>(static_cast<std::int8_t>(packed[r * w.cols + c])) / 8.f;
  }
};
using test_menu = precis::menu<eighths>;

engine::compressed_matrix packed(std::string name, const engine::linear& map) {
  return {.name = std::move(name),
          .codec = "eighths",
          .bytes = map.out * map.in,
          .pack = [&map](std::span<std::byte> into) { eighths::encode(map.view(), into); }};
}

engine::load_options decoding() { return {.tokenizer = {}, .decoder = engine::decoder_of<test_menu>()}; }

}  // namespace

TEST_CASE("a compressed GPT-2 loads with the requested matrices packed and all other bytes equal",
          "[engine][compressed][property]") {
  const temporary_folder folder;
  const engine::weights w = sample_weights(tiny_gpt2());
  std::vector<entry> entries = entries_of(w, engine::dtype::f16);
  for (entry& e : entries) e.name = "transformer." + e.name;
  put_folder(folder / "m", tiny_gpt2(), entries);
  put(folder / "m/vocab.json", vocabulary_json({{"a", "b"}}));
  put(folder / "m/merges.txt", merges_text({{"a", "b"}}));
  put(folder / "m/tokenizer_config.json", "{\"model_max_length\": 1}");
  put(folder / "m/chat_template.jinja", "{{ messages }}");
  put(folder / "m/generation_config.json", "{\"eos_token_id\": [1, 2]}");
  put(folder / "m/notes.txt", "not part of the model");

  const engine::bundle original = engine::load(folder / "m");
  const std::vector<engine::compressed_matrix> matrices{packed("h.1.mlp.c_fc", original.weights.blocks[1].up),
                                                        packed("h.0.attn.c_attn", original.weights.blocks[0].qkv)};
  const engine::compressed_sizes sizes = engine::write_compressed(
      folder / "m", folder / "out", matrices,
      {.tokenizer = {}, .made_from = original.fingerprint, .files = {{"plan.precis", "text"}}});
  CHECK(sizes.before == original.stored_bytes());
  CHECK(sizes.after == sizes.before - (12 * 8 + 24 * 8));  // two bytes per weight became one

  const engine::bundle back = engine::load(folder / "out", decoding());
  CHECK(same(back.weights, w));  // the test codec is exact on these weights
  CHECK(back.format == engine::model_format::compressed);
  CHECK(back.made_from == original.fingerprint);
  CHECK(back.fingerprint == original.fingerprint);
  CHECK(back.stored_bytes() == sizes.after);
  CHECK(back.tokenizer.encode("ab") == original.tokenizer.encode("ab"));
  CHECK(back.find("h.1.mlp.c_fc")->format == "eighths");
  CHECK(back.find("h.1.mlp.c_fc")->packed);
  CHECK(back.find("h.1.mlp.c_fc")->bytes == 96);
  CHECK(back.find("h.0.mlp.c_fc")->format == "F16");
  CHECK(back.eos == std::vector<precis::token>{1, 2});
  for (const std::string name : {"config.json", "vocab.json", "merges.txt", "tokenizer_config.json",
                                 "generation_config.json", "chat_template.jinja"})
    CHECK(slurp(folder.path() / "out" / name) == slurp(folder.path() / "m" / name));
  CHECK(slurp(folder / "out/plan.precis") == "text");
  CHECK_FALSE(fs::exists(folder / "out/notes.txt"));

  const engine::safetensors file(folder / "out/model.safetensors");
  const engine::tensor_entry* t = file.find("transformer.h.1.mlp.c_fc.weight");
  REQUIRE(t != nullptr);
  CHECK(t->type == engine::dtype::u8);
  CHECK(t->shape == std::vector<std::size_t>{96});
  CHECK(file.metadata().at("precis.codec:transformer.h.1.mlp.c_fc.weight") == "eighths 12x8");
  CHECK(file.metadata().at("precis.format") == "2");
  for (const engine::tensor_entry& e : file.tensors()) {
    CAPTURE(e.name);
    const std::size_t divides = e.bytes & (~e.bytes + 1);  // the largest power of two that divides the size
    CHECK(e.first_byte % std::min<std::size_t>(divides, 64) == 0);
  }
  const engine::linear& up = original.weights.blocks[1].up;
  CHECK(file.bytes(*t)[1] ==
        static_cast<std::byte>(static_cast<std::int8_t>(up.view()(0, 1) * 8.f)));  // codes are contiguous along `in`
}

TEST_CASE("a compressed Llama loads, from Hugging Face's row order and from llama2.c",
          "[engine][compressed][property]") {
  const temporary_folder folder;
  const engine::weights w = sample_weights(tiny_llama(false));
  std::vector<entry> entries = entries_of(w, engine::dtype::bf16);
  for (entry& e : entries) e.name = hugging_face_name(e.name);
  put_folder(folder / "hf", tiny_llama(false), entries);
  put(folder / "hf/tokenizer.bin", score_file({{" ", 0}, {"a", 0}}));
  put(folder / "m.bin", llama2c_text(w));
  put(folder / "tok300.bin", score_file({{" ", 0}, {"b", 0}}));

  for (const std::string name : {"hf", "m.bin"}) {
    const engine::bundle original = engine::load(folder / name);
    CHECK(original.tokenizer.size() == 261);
    // One rotary map is packed and the other is not: both must have the same row order.
    const engine::block& b = original.weights.blocks[0];
    const std::vector<engine::compressed_matrix> matrices{packed("layers.0.attention.wq", b.query),
                                                          packed("layers.0.feed_forward.w2", b.down)};
    engine::write_compressed(folder / name, folder / (name + ".out"), matrices);
    const engine::bundle back = engine::load(folder / (name + ".out"), decoding());
    CHECK(same(back.weights, original.weights));
    CHECK(back.tokenizer.encode("ab") == original.tokenizer.encode("ab"));
    CHECK(back.config() == original.config());
    CHECK(back.made_from.empty());
  }
}

TEST_CASE("write_compressed leaves nothing behind after an error", "[engine][compressed][refusal]") {
  const temporary_folder folder;
  const engine::weights w = sample_weights(tiny_gpt2());
  engine::save(w, folder / "m");
  const engine::linear& up = w.blocks[0].up;
  const auto refused = [&](const fs::path& to, std::vector<engine::compressed_matrix> matrices) {
    return refusal([&] { engine::write_compressed(folder / "m", to, matrices); });
  };
  CHECK_THAT(refused(folder / "out", {packed("h.2.mlp.c_fc", up)}),
             ContainsSubstring("matrix h.2.mlp.c_fc: the model has no such matrix"));
  CHECK_THAT(refused(folder / "out", {packed("h.0.ln_1", up)}), ContainsSubstring("no such matrix"));
  CHECK_THAT(refused(folder / "out", {packed("h.0.mlp.c_fc", up), packed("h.0.mlp.c_fc", up)}),
             ContainsSubstring("packed twice"));
  CHECK_THAT(refused(folder / "m", {}), ContainsSubstring("the destination contains the source"));
  CHECK_THAT(refused(folder / "none/out", {}), ContainsSubstring("cannot be created"));
  engine::compressed_matrix words = packed("h.0.mlp.c_fc", up);
  words.codec = "two words";
  CHECK_THAT(refused(folder / "out", {words}), ContainsSubstring("one word"));
  engine::compressed_matrix throwing = packed("h.0.mlp.c_fc", up);
  throwing.pack = [](std::span<std::byte>) { throw std::runtime_error("interrupted"); };
  CHECK_THROWS_AS(refused(folder / "out", {throwing}), std::runtime_error);
  CHECK(folder.entries() == 1);

  engine::write_compressed(folder / "m", folder / "out", {});
  CHECK_THAT(refused(folder / "out", {}), ContainsSubstring("already exists"));
  CHECK_NOTHROW(engine::write_compressed(
      folder / "m", folder / "out", {},
      {.existing = engine::atomic_folder::existing::replace, .tokenizer = {}, .made_from = {}}));
  CHECK_THAT(refusal([&] { engine::write_compressed(folder / "out", folder / "again", {}); }),
             ContainsSubstring("out: a folder whose matrices are packed already"));
  CHECK(folder.entries() == 2);
}

TEST_CASE("a compressed folder that contradicts itself is refused", "[engine][compressed][refusal]") {
  const temporary_folder folder;
  const engine::config c = tiny_gpt2();
  const engine::weights w = sample_weights(c);
  using text_map = std::map<std::string, std::string, std::less<>>;
  const std::string key = "precis.codec:h.0.mlp.c_fc.weight";
  const auto refused = [&](const text_map& metadata, std::size_t bytes = 96, engine::dtype type = engine::dtype::u8,
                           const engine::load_options& options = decoding()) {
    std::vector<entry> entries = entries_of(w);
    for (entry& e : entries)
      if (e.name == "h.0.mlp.c_fc.weight") e = {e.name, type, {bytes}, std::vector<float>(bytes)};
    put_folder(folder / "m", c, {});
    put_container(folder / "m/model.safetensors", entries, metadata);
    return refusal([&] { (void)engine::load(folder / "m", options); });
  };
  CHECK(refused({{"precis.format", "2"}, {key, "eighths 12x8"}}).empty());
  CHECK_THAT(refused({{"precis.format", "1"}, {key, "eighths 12x8"}}),
             ContainsSubstring("of format 1; expected format 2"));
  CHECK_THAT(refused({{key, "eighths 12x8"}}), ContainsSubstring("a tensor that does not exist"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 12x8"}, {"precis.codec:x", "eighths 1x1"}}),
             ContainsSubstring("\"precis.codec:x\""));
  CHECK_THAT(refused({{"precis.format", "2"}}), ContainsSubstring("\"h.0.mlp.c_fc.weight\" is of type U8"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 8x12"}}),
             ContainsSubstring("is a packed 8x12; expected 12x8"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "ninths 12x8"}}), ContainsSubstring("no codec called 'ninths'"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 12x8"}}, 95),
             ContainsSubstring("95 bytes of eighths; expected 96"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 12x8"}}, 96, engine::dtype::i8),
             ContainsSubstring("packed, but of type I8"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 12x8"}}, 96, engine::dtype::u8, {}),
             ContainsSubstring("is packed with eighths"));
  for (const std::string line : {"", "eighths", "eighths 12", "eighths 12x", "eighths x8", "eighths 12x8 rotary=halves",
                                 "eighths 12x8 a b", "eighths -12x8", "eighths 99999999999999999999x8"})
    CHECK_THAT(refused({{"precis.format", "2"}, {key, line}}), ContainsSubstring("expected CODEC OUTxIN"));
  CHECK_THAT(refused({{"precis.format", "2"}, {key, "eighths 12x8"}, {"precis.codec:h.0.ln_1.bias", "eighths 8x1"}}),
             ContainsSubstring("a vector, which is not packed"));
}

TEST_CASE("load reads what save writes, and save refuses values that the type cannot represent",
          "[engine][load][property]") {
  const temporary_folder folder;
  for (const engine::config& c : {tiny_gpt2(), tiny_llama(), tiny_llama(false)}) {
    const engine::weights w = sample_weights(c);
    for (const engine::dtype type : {engine::dtype::f32, engine::dtype::f16, engine::dtype::bf16}) {
      engine::save(w, folder / "m", type, {{"tokenizer.bin", score_file({{"a", 0}})}},
                   engine::atomic_folder::existing::replace);
      const engine::bundle b = engine::load(folder / "m");
      CHECK(same(b.weights, w));
      CHECK(b.fingerprint == engine::fingerprint(w));
      CHECK(b.tokenizer.size() == 260);
    }
  }
  engine::weights large = sample_weights(tiny_gpt2());
  large.final_norm.scale[3] = 1e5f;
  CHECK_THAT(refusal([&] { engine::save(large, folder / "n", engine::dtype::f16); }),
             ContainsSubstring("tensor ln_f.weight holds 100000"));
  CHECK_FALSE(fs::exists(folder / "n"));
}

TEST_CASE("fingerprints differ if a weight, a shape or the family differs", "[engine][load][property]") {
  const engine::weights w = sample_weights(tiny_gpt2());
  engine::weights changed = w;
  changed.blocks[1].down.bias[7] += 0.125f;
  engine::config longer = tiny_gpt2(), deeper = tiny_gpt2();
  longer.context = 7;
  deeper.layers = 3;
  const std::vector<std::string> all{engine::fingerprint(w),
                                     engine::fingerprint(changed),
                                     engine::fingerprint(engine::zeros(tiny_gpt2())),
                                     engine::fingerprint(engine::zeros(longer)),
                                     engine::fingerprint(engine::zeros(deeper)),
                                     engine::fingerprint(engine::zeros(tiny_llama()))};
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) CHECK(all[i] != all[j]);
  CHECK(engine::fingerprint(engine::weights(w)) == all[0]);
}

TEST_CASE("a tokenizer larger than the model is refused", "[engine][load][refusal]") {
  const temporary_folder folder;
  engine::config c = tiny_gpt2();
  c.vocabulary = 256;
  engine::save(engine::zeros(c), folder / "m", engine::dtype::f32,
               {{"vocab.json", vocabulary_json({{"a", "b"}})}, {"merges.txt", merges_text({{"a", "b"}})}});
  CHECK_THAT(refusal([&] { (void)engine::load(folder / "m"); }),
             ContainsSubstring("a tokenizer of 257 tokens; expected at most 256"));
  put(folder / "tok", score_file({}));
  CHECK_THAT(refusal([&] { (void)engine::load(folder / "m", {.tokenizer = folder / "tok", .decoder = {}}); }),
             ContainsSubstring("259 tokens"));
  fs::remove(folder / "m/merges.txt");
  CHECK_THAT(refusal([&] { (void)engine::load(folder / "m"); }), ContainsSubstring("merges.txt: cannot be opened"));
}
