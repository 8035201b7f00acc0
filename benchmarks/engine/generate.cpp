// Tokens per second of a packed model: one token after another (generate) and a prompt of 256 tokens (prefill), on one
// thread. PRECIS_MODEL names the model's file or folder; without it, a Llama with the extents of Gemma 3 270M in q8_0 and
// q5_0 has random codes.
//
// Counters: medians of tokens_per_s, in processor time; limit: tokens per second if a token took as long as reading the bytes of
// all weights once, measured in the same round; of_limit: the median of their ratio. A prompt reads the weights once per
// 32 tokens; its limit is the FMA peak: two operations per weight and token.

#include <engine/model_files/load.hpp>
#include <engine/model_files/source.hpp>
#include <engine/packed/packed_transformer.hpp>

#include <precis/core/view.hpp>
#include <precis/kernel/packed_format.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace {

/// Sizes of every format that has a name. Matrices stay packed, so none is decoded.
engine::matrix_decoder decoder() {
  return {.bytes = [](std::string_view codec, std::size_t out,
                      std::size_t in) { return precis::kernel::parse_format(codec).value().bytes(out, in); },
          .decode = [](std::string_view, std::span<const std::byte>, precis::mutable_weight_view) { std::abort(); }};
}

/// Blocks with a scale of 2^-9 and random codes.
std::vector<std::byte> random_blocks(std::size_t count, std::size_t bytes) {
  std::vector<std::byte> out(count * bytes);
  std::uint64_t state = 1;
  for (std::byte& b : out) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    b = static_cast<std::byte>(state >> 56);
  }
  constexpr std::uint16_t scale = 0x1800;
  for (std::size_t i = 0; i < out.size(); i += bytes) std::memcpy(out.data() + i, &scale, sizeof scale);
  return out;
}

engine::packed_weights random_weights() {
  engine::model_source s;
  s.config = {.architecture = engine::architecture::llama,
              .layers = 18,
              .width = 640,
              .heads = 5,
              .kv_heads = 1,
              .hidden = 2048,
              .vocabulary = 262144,
              .context = 512,
              .norm_epsilon = 1e-6f,
              .rope_theta = 10000.f,
              .tied_head = true,
              .activation = engine::activation::silu};
  std::vector<std::vector<std::byte>> held;
  for (const engine::tensor_shape& t : engine::expected_tensors(s.config)) {
    engine::source_tensor& to = s.tensors.emplace_back();
    to.name = to.stored_name = t.name;
    to.shape = t.shape;
    to.in_major = t.in_major;
    if (t.shape.size() == 2) {
      const bool table = t.shape[0] == s.config.vocabulary;
      to.codec = table ? "q8_0" : "q5_0";
      held.push_back(random_blocks(to.elements() / 32, table ? 34 : 22));
    } else {
      const std::vector<float> ones(to.elements(), 1.f);
      held.emplace_back(ones.size() * sizeof(float));
      std::memcpy(held.back().data(), ones.data(), held.back().size());
    }
    to.bytes = held.back();
  }
  return engine::load_packed(s, decoder());
}

const engine::packed_transformer& model() {
  static const engine::packed_transformer m([] {
    const char* const path = std::getenv("PRECIS_MODEL");
    return path == nullptr ? random_weights() : engine::load_packed(engine::open_source(path), decoder());
  }());
  return m;
}

std::vector<precis::token> prompt(std::size_t tokens) {
  std::vector<precis::token> ids(tokens);
  for (std::size_t i = 0; i < tokens; ++i)
    ids[i] = static_cast<precis::token>((1000 + i * 37) % model().shape().vocabulary);
  return ids;
}

void generate(benchmark::State& state) {
  const std::vector<std::byte> weights(model().parameters().bytes(), std::byte{3});
  auto sequence = model().begin(std::min<std::size_t>(model().shape().context, 64));
  (void)model().append(sequence, prompt(6));
  std::vector<double> rate, limit, of_limit;
  precis::token next = 1;
  for (auto _ : state) {
    const double time = yardstick::seconds([&] {
      const std::span<const float> logits = model().append(sequence, {&next, 1});
      next = static_cast<precis::token>(std::ranges::max_element(logits) - logits.begin());
    });
    const double read = yardstick::seconds([&] { yardstick::read(weights.data(), weights.size()); });
    rate.push_back(1 / time);
    limit.push_back(1 / read);
    of_limit.push_back(read / time);
    state.SetIterationTime(time);
  }
  state.counters["tokens_per_s"] = yardstick::median(rate);
  state.counters["limit"] = yardstick::median(limit);
  state.counters["of_limit"] = yardstick::median(of_limit);
}
BENCHMARK(generate)->UseManualTime()->Iterations(32)->Unit(benchmark::kMillisecond);

void prefill(benchmark::State& state) {
  const std::vector<precis::token> ids = prompt(256);
  double weights = 0;  // of the blocks; the head runs once
  for (const engine::packed_block& b : model().parameters().blocks)
    for (const auto& [map, matrix] : b.maps) weights += static_cast<double>(matrix.out() * matrix.in());
  std::vector<double> rate, limit, of_limit;
  for (auto _ : state) {
    auto sequence = model().begin(256);
    const double peak = yardstick::fma_peak();
    const double time = yardstick::seconds([&] { benchmark::DoNotOptimize(model().append(sequence, ids)); });
    rate.push_back(static_cast<double>(ids.size()) / time);
    limit.push_back(peak / (2 * weights));
    of_limit.push_back(rate.back() / limit.back());
    state.SetIterationTime(time);
  }
  state.counters["tokens_per_s"] = yardstick::median(rate);
  state.counters["limit"] = yardstick::median(limit);
  state.counters["of_limit"] = yardstick::median(of_limit);
}
BENCHMARK(prefill)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond);

}  // namespace
