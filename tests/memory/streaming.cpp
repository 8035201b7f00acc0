#include <engine/model/family.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/gguf_model.hpp>
#include <engine/model_files/load.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/codec/ggml.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "counted.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <algorithm>

using namespace support;

namespace {

using formats = precis::menu<precis::codec::q4_0>;

engine::config shape(std::size_t layers) {
  return {.architecture = engine::architecture::llama,
          .layers = layers,
          .width = 128,
          .heads = 4,
          .kv_heads = 2,
          .hidden = 512,
          .vocabulary = 300,
          .context = 16,
          .tied_head = true,
          .activation = engine::activation::silu};
}
constexpr std::size_t largest = 512 * 128;  ///< weights of the largest tensor

std::vector<engine::compressed_matrix> all_packed(const engine::model_source& source) {
  std::vector<engine::compressed_matrix> matrices;
  for (const precis::matrix_info& m : engine::matrices_of(source.config)) {
    const auto& t = *std::ranges::find(source.tensors, m.name + ".weight", &engine::source_tensor::name);
    matrices.push_back({.name = m.name,
                        .codec = "q4_0",
                        .bytes = formats::bytes(0, m.out, m.in),
                        .pack = [&t](std::span<std::byte> packed) {
                          std::vector<float> values(t.elements());
                          engine::decode(t, {}, values);
                          formats::encode(0, {values, t.shape[0], t.shape[1]}, packed);
                        }});
  }
  return matrices;
}

/// Peak memory of `action` relative to the amount before it.
template<class Action>
std::size_t memory_of(Action&& action) {
  counted::start();
  action();
  return counted::most();
}

}  // namespace

TEST_CASE("packing needs the memory of one tensor and a header, not of the model", "[memory][property]") {
  const temporary_folder folder;
  constexpr std::size_t layers = 16;
  engine::save(engine::zeros(shape(layers)), folder / "m", engine::dtype::bf16);
  const engine::model_source source = engine::open_source(folder / "m");
  const auto matrices = all_packed(source);
  // One tensor as floats, as bytes and as codes; names, dimensions and offsets of 146 tensors, some of them several
  // times.
  constexpr std::size_t most = largest * (4 + 4 + 1) + 146 * 1024;
  static_assert(most < layers * 3 * largest / 2, "the model's codes alone would not fit");
  CHECK(memory_of([&] { engine::write_gguf(folder / "m", folder / "m.gguf", matrices); }) < most);
  CHECK(memory_of([&] { engine::write_compressed(folder / "m", folder / "p", matrices); }) < most);
  CHECK(memory_of([&] { (void)engine::fingerprint(source, {}); }) < most);
  // Loading leaves the weights in their file. The counter works: as floats they need more.
  CHECK(memory_of([&] { (void)engine::load(folder / "m"); }) < most);
  CHECK(memory_of([&] {
          engine::bundle floats = engine::load(folder / "m");
          engine::to_floats(floats.weights);
        }) > layers * largest * 4 * 3);
  // Running it takes activations and a panel of a matrix, not its floats; reading its matrices takes one at a time.
  const engine::transformer model(engine::load(folder / "m").weights);
  const precis::token_batch batch = precis::next_token_batch(1, std::vector<precis::token>{1, 5, 299, 7, 44, 9});
  constexpr std::size_t panel = std::size_t{6} << 20;
  static_assert(panel < layers * largest * 4 * 3, "not the floats of the model");
  CHECK(memory_of([&] { (void)model.loss(batch); }) < panel);
  CHECK(memory_of([&] { (void)model.backward(batch, [](const precis::linear_gradient&) {}); }) < panel);
  CHECK(memory_of([&] {
          for (std::size_t m = 0; m < model.matrices().size(); ++m) (void)model.weights(m);
        }) < most);
  // Packed inference holds the codes and one tensor.
  const engine::matrix_decoder decoder = engine::decoder_of<formats>();
  std::size_t held = 0;
  const std::size_t loading = memory_of([&] {
    const engine::model_source packed = engine::open_source(folder / "m.gguf");
    held = engine::load_packed(packed, decoder).bytes();
  });
  CHECK(loading < held + most);
  // A quantized GGUF file stays in its blocks where matrices are only multiplied.
  const engine::load_options decoding{.tokenizer = {}, .decoder = decoder};
  CHECK(memory_of([&] { (void)engine::load(folder / "m.gguf", decoding); }) < most);
  const engine::transformer quantized(engine::load(folder / "m.gguf", decoding).weights);
  CHECK(memory_of([&] { (void)quantized.loss(batch); }) < panel);
}

TEST_CASE("false counts in a GGUF file allocate no memory", "[memory][refusal]") {
  const auto u32 = [](std::uint32_t v) { return raw(v); };
  const auto u64 = [](std::uint64_t v) { return raw(v); };
  const std::string key = u64(1) + "k", filler(4096, '\1');
  for (const std::uint64_t count : {~0ull, 1ull << 62, 1ull << 40, 1ull << 32, 5000ull})
    for (const std::string& file :
         {"GGUF" + u32(3) + u64(count) + u64(0) + filler, "GGUF" + u32(3) + u64(0) + u64(count) + filler,
          "GGUF" + u32(3) + u64(0) + u64(1) + u64(count) + filler,
          "GGUF" + u32(3) + u64(0) + u64(1) + key + u32(8) + u64(count) + filler,
          "GGUF" + u32(3) + u64(0) + u64(1) + key + u32(9) + u32(8) + u64(count) + filler,
          "GGUF" + u32(3) + u64(0) + u64(1) + key + u32(9) + u32(4) + u64(count) + filler,
          "GGUF" + u32(3) + u64(1) + u64(0) + key + u32(2) + u64(count * 32) + u64(count) + u32(0) + u64(0) + filler}) {
      std::string why;
      CHECK(memory_of([&] { why = refusal([&] { (void)engine::parse_gguf(as_bytes(file), "x.gguf"); }); }) < 16384);
      CHECK_FALSE(why.empty());
    }
}
