#include <engine/model_files/gguf_model.hpp>

#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "engine/float_bundle.hpp"
#include "engine/tiny_models.hpp"
#include "engine/tokenizers.hpp"
#include "refusal.hpp"
#include "shared.hpp"

#include <cmath>

using namespace support;
namespace fs = std::filesystem;
namespace codec = precis::codec;

namespace {

using formats = precis::menu<codec::q4_0, codec::q4_1, codec::q5_0, codec::q5_1, codec::q8_0, codec::float16,
                             codec::bfloat16, codec::float32>;
const engine::matrix_decoder decoder = engine::decoder_of<formats>();
const engine::load_options decoding{.tokenizer = {}, .decoder = decoder};

engine::config in_blocks(engine::config c) {  // rows of whole blocks, except in the MLP
  c.width = 32;
  c.hidden = 40;
  return c;
}

engine::compressed_matrix packed(std::string name, const std::string& format, precis::weight_view w) {
  const std::size_t entry = formats::index_of(format);
  return {.name = std::move(name),
          .codec = format,
          .bytes = formats::bytes(entry, w.rows, w.cols),
          .pack = [=](std::span<std::byte> into) { formats::encode(entry, w, into); }};
}

/// Every matrix packed in a different possible format, from weights `w` as decoded from the source.
std::vector<engine::compressed_matrix> mixed(const engine::weights& w) {
  std::vector<engine::compressed_matrix> all;
  const auto infos = engine::matrices_of(w.config);
  for (std::size_t m = 0; m < infos.size(); ++m)
    all.push_back(packed(infos[m].name, formats::names()[infos[m].in % 32 == 0 ? m % 8 : 5 + m % 3],
                         engine::map_of(w, m).view()));
  return all;
}

/// The expected weights after packing.
engine::weights decoded(engine::weights w, const std::vector<engine::compressed_matrix>& matrices) {
  const auto infos = engine::matrices_of(w.config);
  for (std::size_t m = 0; m < infos.size(); ++m)
    for (const engine::compressed_matrix& p : matrices) {
      if (p.name != infos[m].name) continue;
      std::vector<std::byte> bytes(p.bytes);
      p.pack(bytes);
      formats::decode(formats::index_of(p.codec), bytes, engine::map_of(w, m).view());
    }
  return w;
}

engine::weights random_weights(const engine::config& c) {
  engine::weights w = engine::zeros(c);
  const precis::random_stream random(5, precis::purpose("gguf"));
  std::uint64_t draw = 0;
  for (const engine::tensor<float>& t : engine::tensors(w))
    for (float& v : t.values) v = static_cast<float>(0.2 * random.normal(draw++));
  return w;
}

merge_list merges() { return {{"a", "b"}, {"ab", "c"}, {"\xC4\xA0", "t"}}; }
void put_gpt2_tokenizer(const fs::path& folder) {
  put(folder / "vocab.json", vocabulary_json(merges()));
  put(folder / "merges.txt", merges_text(merges()));
}

}  // namespace

TEST_CASE("a GPT-2 loads from GGUF: packed matrices as their format decodes, the rest unchanged",
          "[engine][gguf][property]") {
  const temporary_folder folder;
  for (const bool tied : {true, false}) {
    engine::config c = in_blocks(tiny_gpt2());
    c.tied_head = tied;
    const engine::weights w = random_weights(c);
    const fs::path source = folder / (tied ? "tied" : "untied"), file = folder / (tied ? "tied.gguf" : "untied.gguf");
    engine::save(w, source);
    put_gpt2_tokenizer(source);
    const engine::bundle original = engine::load(source);
    const auto matrices = mixed(w);
    const engine::compressed_sizes sizes = engine::write_gguf(
        source, file, matrices, {.tokenizer = {}, .made_from = "0123456789abcdef", .files = {{"plan", "p"}}});
    const engine::bundle back = engine::load(file, decoding);
    CHECK(back.format == engine::model_format::gguf);
    CHECK(back.config() == c);
    CHECK(same(back.weights, decoded(w, matrices)));
    CHECK(back.made_from == "0123456789abcdef");
    CHECK(back.stored_bytes() == sizes.after);
    CHECK(sizes.before == original.stored_bytes());
    CHECK(back.tokenizer.size() == original.tokenizer.size());
    for (const std::string text : {"abc the cab", "\xC3\xA9 \n\n ab", ""})
      CHECK(back.tokenizer.encode(text) == original.tokenizer.encode(text));

    // Packed inference gives the same result.
    const engine::packed_transformer run(engine::load_packed(engine::open_source(file), decoder));
    const precis::token_batch batch = precis::next_token_batch(1, std::vector<precis::token>{1, 5, 299, 7, 44, 9});
    CHECK(run.loss(batch).sum == Approx(engine::transformer(back.weights).loss(batch).sum).epsilon(1e-5));
    CHECK(run.parameters().bytes() < engine::packed(w).bytes());
  }
}

TEST_CASE("a Llama loads from GGUF, for either row order of the source", "[engine][gguf][property]") {
  const temporary_folder folder;
  for (const bool tied : {true, false}) {
    const engine::config c = in_blocks(tiny_llama(tied));
    const engine::weights w = random_weights(c);
    std::vector<entry> entries = entries_of(w);
    for (entry& e : entries) e.name = hugging_face_name(e.name);
    put_folder(folder / "hf", c, entries);
    put(folder / "hf/tokenizer.bin", score_file({{" ", 0}, {"a", 0}, {" a", 1}, {"b", 0}, {" ab", 3}, {"ab", 2}}));
    put(folder / "m.bin", llama2c_text(w));
    put(folder / "tok300.bin", slurp(folder / "hf/tokenizer.bin"));
    for (const std::string name : {"hf", "m.bin"}) {
      const engine::bundle original = support::float_bundle(folder / name);
      const auto matrices = mixed(original.weights);
      engine::write_gguf(folder / name, folder / "m.gguf", matrices,
                         {.existing = engine::atomic_folder::existing::replace, .tokenizer = {}, .made_from = {}});
      const engine::bundle back = engine::load(folder / "m.gguf", decoding);
      CHECK(back.config() == original.config());
      CHECK(same(back.weights, decoded(original.weights, matrices)));
      CHECK(back.tokenizer.size() == original.tokenizer.size());
      for (const std::string text : {"ab a b", "a\n\xC3\xA9", ""})
        CHECK(back.tokenizer.encode(text) == original.tokenizer.encode(text));
      CHECK(back.bos == original.bos);
      // Without packed matrices, every matrix keeps its type and values.
      engine::write_gguf(folder / name, folder / "plain.gguf", {},
                         {.existing = engine::atomic_folder::existing::replace, .tokenizer = {}, .made_from = {}});
      CHECK(same(engine::load(folder / "plain.gguf").weights, original.weights));
    }
  }
}

TEST_CASE("a GGUF file has the keys that llama.cpp requires", "[engine][gguf][worked-example]") {
  const temporary_folder folder;
  const engine::config gpt2 = in_blocks(tiny_gpt2()), llama = in_blocks(tiny_llama(false));
  engine::save(random_weights(gpt2), folder / "gpt2", engine::dtype::f16);
  put_gpt2_tokenizer(folder / "gpt2");
  engine::save(random_weights(llama), folder / "llama", engine::dtype::f32);
  put(folder / "llama/tokenizer.bin", score_file({{" a", -1.5f}}));
  engine::write_gguf(folder / "gpt2", folder / "gpt2.gguf", {});
  engine::write_gguf(folder / "llama", folder / "llama.gguf", {});
  {
    const engine::mapped_file file(folder / "gpt2.gguf");
    const engine::gguf_header h = engine::parse_gguf(file.bytes(), "gpt2.gguf");
    const engine::gguf_keys keys(h, "gpt2.gguf");
    CHECK(keys.text("general.architecture") == "gpt2");
    CHECK(keys.text("general.name") == "gpt2");
    CHECK(keys.whole_number("general.file_type") == 1);  // mostly F16
    CHECK(keys.whole_number("gpt2.context_length") == 6);
    CHECK(keys.whole_number("gpt2.embedding_length") == 32);
    CHECK(keys.whole_number("gpt2.feed_forward_length") == 40);
    CHECK(keys.whole_number("gpt2.block_count") == 2);
    CHECK(keys.whole_number("gpt2.attention.head_count") == 2);
    CHECK(keys.number_or("gpt2.attention.layer_norm_epsilon", 0) == Approx(1e-5));
    CHECK(keys.text("tokenizer.ggml.model") == "gpt2");
    CHECK(keys.text("tokenizer.ggml.pre") == "gpt-2");
    const auto tokens = keys.texts("tokenizer.ggml.tokens");
    REQUIRE(tokens.size() == 300);  // as many as the embedding has rows
    CHECK(tokens[299] == "[PAD299]");
    CHECK(keys.integers("tokenizer.ggml.token_type")[299] == 5);
    CHECK(keys.texts("tokenizer.ggml.merges") == std::vector<std::string_view>{"a b", "ab c", "\xC4\xA0 t"});
    std::map<std::string, std::pair<std::string, std::vector<std::size_t>>> found;
    for (const engine::gguf_tensor& t : h.tensors) found[t.name] = {std::string(t.format), t.shape};
    using line = std::pair<std::string, std::vector<std::size_t>>;
    CHECK(found.at("token_embd.weight") == line{"float16", {300, 32}});
    CHECK(found.at("position_embd.weight") == line{"float32", {6, 32}});
    CHECK(found.at("blk.1.attn_qkv.weight") == line{"float16", {96, 32}});
    CHECK(found.at("blk.1.attn_qkv.bias") == line{"float32", {96}});
    CHECK(found.at("blk.0.attn_output.weight") == line{"float16", {32, 32}});
    CHECK(found.at("blk.0.ffn_up.weight") == line{"float16", {40, 32}});
    CHECK(found.at("blk.0.ffn_down.weight") == line{"float16", {32, 40}});
    CHECK(found.at("blk.0.attn_norm.bias") == line{"float32", {32}});
    CHECK(found.at("blk.0.ffn_norm.weight") == line{"float32", {32}});
    CHECK(found.at("output_norm.weight") == line{"float32", {32}});
    CHECK(found.count("output.weight") == 0);  // tied
  }
  const engine::mapped_file file(folder / "llama.gguf");
  const engine::gguf_header h = engine::parse_gguf(file.bytes(), "llama.gguf");
  const engine::gguf_keys keys(h, "llama.gguf");
  CHECK(keys.text("general.architecture") == "llama");
  CHECK(keys.whole_number("general.file_type") == 0);
  CHECK(keys.whole_number("llama.attention.head_count_kv") == 1);
  CHECK(keys.whole_number("llama.rope.dimension_count") == 16);
  CHECK(keys.number_or("llama.rope.freq_base", 0) == 10000);
  CHECK(keys.number_or("llama.attention.layer_norm_rms_epsilon", 0) == Approx(1e-5));
  CHECK(keys.whole_number("llama.vocab_size") == 300);
  CHECK(keys.text("tokenizer.ggml.model") == "llama");
  const auto tokens = keys.texts("tokenizer.ggml.tokens");
  const auto types = keys.integers("tokenizer.ggml.token_type");
  REQUIRE(tokens.size() == 300);
  CHECK(tokens[0] == "<unk>");
  CHECK(tokens[1] == "<s>");
  CHECK(tokens[3 + 0x0A] == "<0x0A>");
  CHECK(tokens[259] ==
        "\xE2\x96\x81"
        "a");  // a blank is stored as a visible character here
  CHECK(std::vector<std::int32_t>{types[0], types[1], types[2], types[3], types[259], types[299]} ==
        std::vector<std::int32_t>{2, 3, 3, 6, 1, 5});
  CHECK(keys.floats("tokenizer.ggml.scores")[259] == -1.5f);
  std::vector<std::string> names;
  for (const engine::gguf_tensor& t : h.tensors) names.push_back(t.name);
  std::vector<std::string> expected{"token_embd.weight"};
  for (const std::string l : {"blk.0.", "blk.1."})
    for (const std::string n :
         {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_down", "ffn_up"})
      expected.push_back(l + n + ".weight");
  expected.insert(expected.end(), {"output_norm.weight", "output.weight"});
  CHECK(names == expected);
}

TEST_CASE("write_gguf substitutes no format, and leaves nothing behind after an error", "[engine][gguf][refusal]") {
  const temporary_folder folder;
  const engine::weights w = random_weights(in_blocks(tiny_gpt2()));
  engine::save(w, folder / "m");
  const auto refused = [&](const fs::path& source, std::vector<engine::compressed_matrix> matrices = {}) {
    return refusal([&] { engine::write_gguf(source, folder / "out.gguf", matrices); });
  };
  const precis::weight_view up = w.blocks[0].up.view(), down = w.blocks[0].down.view();
  CHECK_THAT(refused(folder / "m", {packed("h.0.mlp.c_proj", "q4_0", down)}),
             ContainsSubstring("matrix h.0.mlp.c_proj: rows of 40 weights do not fill the blocks of q4_0; expected "
                               "float16, bfloat16 or float32"));
  engine::compressed_matrix ours = packed("h.0.mlp.c_fc", "q4_0", up);
  ours.codec = "affine4.g32";
  CHECK_THAT(
      refused(folder / "m", {ours}),
      ContainsSubstring("affine4.g32 is not a GGUF format; expected q4_0, q4_1, q5_0, q5_1, q8_0, iq4_nl, float16"));
  CHECK_THAT(refused(folder / "m", {packed("h.9.mlp.c_fc", "q4_0", up)}), ContainsSubstring("no such matrix"));
  engine::compressed_matrix throwing = packed("h.0.mlp.c_fc", "q8_0", up);
  throwing.pack = [](std::span<std::byte>) { throw std::runtime_error("interrupted"); };
  CHECK_THROWS_AS(refused(folder / "m", {throwing}), std::runtime_error);
  engine::save(random_weights(tiny_opt()), folder / "opt");
  CHECK_THAT(refused(folder / "opt"), ContainsSubstring("type opt, for which llama.cpp has no architecture"));
  engine::config exact = in_blocks(tiny_gpt2());
  exact.activation = engine::activation::gelu_erf;
  engine::save(random_weights(exact), folder / "exact");
  CHECK_THAT(refused(folder / "exact"), ContainsSubstring("an exact GELU"));
  CHECK_FALSE(fs::exists(folder / "out.gguf"));

  CHECK(refused(folder / "m").empty());
  CHECK_THAT(refused(folder / "m"), ContainsSubstring("already exists"));
  engine::write_gguf(folder / "m", folder / "packed.gguf", std::vector{packed("h.0.mlp.c_fc", "q8_0", up)});
  CHECK_THAT(refused(folder / "packed.gguf", {packed("h.0.mlp.c_fc", "q4_0", up)}),
             ContainsSubstring("already exists"));
  CHECK_THAT(refusal([&] {
               engine::write_gguf(folder / "packed.gguf", folder / "again.gguf",
                                  std::vector{packed("h.0.mlp.c_fc", "q4_0", up)});
             }),
             ContainsSubstring("matrix h.0.mlp.c_fc is already packed as q8_0"));
  fs::remove(folder / "packed.gguf");
  CHECK_THAT(refusal([&] { engine::write_compressed(folder / "out.gguf", folder / "again", {}); }),
             ContainsSubstring("a GGUF file, which cannot become a folder"));
  CHECK_FALSE(engine::load(folder / "out.gguf").tokenizer);  // the source had none
  CHECK(folder.entries() == 4);
}

TEST_CASE("a model in every block type: written, read and multiplied from its blocks", "[engine][gguf][property]") {
  using blocks = precis::menu<codec::q2_k, codec::q3_k, codec::q4_k, codec::q5_k, codec::q6_k, codec::iq4_nl,
                              codec::iq4_xs, codec::iq3_s, codec::iq3_xxs, codec::iq2_s, codec::iq2_xs, codec::iq2_xxs,
                              codec::iq1_s, codec::iq1_m, codec::mxfp4, codec::nvfp4, codec::tq1_0, codec::tq2_0,
                              codec::q1_0, codec::q2_0, codec::q4_0>;
  const temporary_folder folder;
  engine::config c = tiny_llama(false);
  c.layers = 3;  // as many matrices as formats
  c.width = c.hidden = 256;
  engine::weights w = random_weights(c);
  engine::save(w, folder / "m");
  std::vector<engine::compressed_matrix> matrices;
  const auto infos = engine::matrices_of(c);
  REQUIRE(infos.size() == blocks::size);
  std::vector<std::vector<std::byte>> encoded(infos.size());
  for (std::size_t m = 0; m < infos.size(); ++m) {
    encoded[m].resize(blocks::bytes(m, infos[m].out, infos[m].in));
    blocks::encode(m, engine::map_of(w, m).view(), encoded[m]);
    matrices.push_back(
        {.name = infos[m].name,
         .codec = blocks::names()[m],
         .bytes = encoded[m].size(),
         .pack = [&encoded, m](std::span<std::byte> into) { std::ranges::copy(encoded[m], into.begin()); }});
  }
  engine::write_gguf(folder / "m", folder / "m.gguf", matrices);
  const engine::bundle back =
      engine::load(folder / "m.gguf", {.tokenizer = {}, .decoder = engine::decoder_of<blocks>()});
  std::size_t packed_bytes = 0;
  for (std::size_t m = 0; m < infos.size(); ++m) {
    const engine::stored_tensor* const stored = back.find(infos[m].name);
    REQUIRE(stored != nullptr);
    CHECK(stored->format == blocks::names()[m]);
    CHECK(stored->bytes == matrices[m].bytes);
    packed_bytes += stored->bytes;
    blocks::decode(m, encoded[m], engine::map_of(w, m).view());
  }
  CHECK(same(back.weights, w));
  const engine::packed_transformer run(
      engine::load_packed(engine::open_source(folder / "m.gguf"), engine::decoder_of<blocks>()));
  const precis::token_batch batch = precis::next_token_batch(1, std::vector<precis::token>{1, 5, 299, 7, 44, 9});
  CHECK(run.loss(batch).sum == Approx(engine::transformer(back.weights).loss(batch).sum).epsilon(1e-5));
  const std::size_t floats = 4 * (2 * 300 * 256 + 7 * 256);  // embedding, head and norms
  CHECK(run.parameters().bytes() < floats + 2 * packed_bytes);
}

TEST_CASE("a GGUF file of an unsupported model is refused by key or tensor", "[engine][gguf][refusal]") {
  const temporary_folder folder;
  engine::save(random_weights(in_blocks(tiny_llama())), folder / "m");
  put(folder / "m/tokenizer.bin", score_file({{" a", -1.5f}}));
  engine::write_gguf(folder / "m", folder / "m.gguf", {});
  const std::string good = slurp(folder / "m.gguf");
  const auto swapped = [&](std::string_view from, std::string_view to) {
    REQUIRE(from.size() == to.size());
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    REQUIRE(at != std::string::npos);
    bytes.replace(at, from.size(), to);
    put(folder / "x.gguf", bytes);
    return refusal([&] { (void)engine::load(folder / "x.gguf", decoding); });
  };
  const auto with = [](std::string_view key, std::uint32_t value) {
    return std::string(key) + raw(std::uint32_t{4}) + raw(value);
  };
  CHECK(swapped("general.name", "general.nome").empty());
  CHECK_THAT(swapped("general.architecture", "general.architexture"),
             ContainsSubstring("\"general.architecture\" is missing"));
  CHECK_THAT(swapped(std::string("\5\0\0\0\0\0\0\0llama", 13), std::string("\5\0\0\0\0\0\0\0falco", 13)),
             ContainsSubstring("\"falco\"; expected one of gpt2 llama"));
  CHECK_THAT(swapped("llama.block_count", "llama.block_cound"), ContainsSubstring("\"llama.block_count\" is missing"));
  CHECK_THAT(swapped(with("llama.block_count", 2), with("llama.block_count", 3)),
             ContainsSubstring("no tensor blk.2.attn_norm.weight"));
  CHECK_THAT(swapped(with("llama.block_count", 2), with("llama.block_count", 0xFFFFFF)),
             ContainsSubstring("tensors for 16777215 layers"));
  CHECK_THAT(swapped(with("llama.block_count", 2), with("llama.block_count", 1)),
             ContainsSubstring("unknown tensor blk.1"));
  CHECK_THAT(swapped(with("llama.feed_forward_length", 40), with("llama.feed_forward_length", 48)),
             ContainsSubstring("tensor \"blk.0.ffn_gate.weight\" is 40x32; expected 48x32 according to the metadata"));
  CHECK_THAT(swapped(with("llama.rope.dimension_count", 16), with("llama.rope.dimension_count", 8)),
             ContainsSubstring("\"llama.rope.dimension_count\" is 8; expected 16"));
  CHECK_THAT(swapped("blk.0.attn_q.weight", "blk.0.attn_x.weight"), ContainsSubstring("no tensor blk.0.attn_q.weight"));
  CHECK_THAT(swapped(std::string("\5\0\0\0\0\0\0\0llama\x15", 14), std::string("\5\0\0\0\0\0\0\0other\x15", 14)),
             ContainsSubstring("tokenizer.ggml.model"));
}

TEST_CASE("the shared models in GGUF: logits bit-identical to the decoded plan's", "[engine][gguf][golden][slow]") {
  const auto gpt2 = shared_path("models/imdb-gpt2"), stories = shared_path("models/stories260K/stories260K.bin");
  if (!gpt2 || !stories) return;
  for (const fs::path& path : {*gpt2, *stories}) {
    CAPTURE(path.string());
    const temporary_folder folder;
    const engine::bundle original = support::float_bundle(
        path, {.tokenizer = path == *stories ? path.parent_path() / "tok512.bin" : "", .decoder = {}});
    const auto matrices = mixed(original.weights);
    engine::write_gguf(path, folder / "m.gguf", matrices,
                       {.tokenizer = path == *stories ? path.parent_path() / "tok512.bin" : "", .made_from = {}});
    const engine::bundle back = engine::load(folder / "m.gguf", decoding);
    const std::string text = "Once upon a time, Lily's movie wasn't good: 12 of \xC3\xA9t\xC3\xA9!\n\nThe end.";
    CHECK(back.tokenizer.encode(text) == original.tokenizer.encode(text));
    const precis::token_batch batch = precis::prompts(1, back.tokenizer.encode(text));
    const engine::transformer expected(decoded(original.weights, matrices)), found(back.weights);
    CHECK(found.logits(batch, precis::positions::all) == expected.logits(batch, precis::positions::all));
  }
}
