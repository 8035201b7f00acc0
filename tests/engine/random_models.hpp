#pragma once

#include <engine/model/transformer.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/// Small models of every family with random weights, and random text for them.
namespace random_models {

using namespace precis;
using engine::architecture;
using engine::transformer;

/// Random numbers in [-1, 1) that depend only on the seed.
struct numbers {
  std::uint64_t state;
  float next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 0x1p-31f;
  }
  std::size_t below(std::size_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(state >> 33) % n;
  }
};

[[nodiscard]] inline engine::config tiny(architecture a, engine::activation f) {
  return {.architecture = a,
          .layers = 3,
          .width = 24,
          .heads = 6,
          .kv_heads = a == architecture::llama ? 2u
                      : a == architecture::phi ? 3u
                                               : 6u,
          .hidden = 40,
          .vocabulary = 29,
          .context = 80,
          .rotary_width = a == architecture::phi ? 2u : 0u,
          .tied_head = a != architecture::llama && a != architecture::phi,
          .activation = f};
}

[[nodiscard]] inline transformer random_model(const engine::config& shape, std::uint64_t seed, float size = 0.4f) {
  engine::weights w = zeros(shape);
  numbers random{seed};
  for (engine::tensor<float>& t : tensors(w)) {
    const bool scale = t.shape.size() == 1 && t.name.find("bias") == std::string::npos;
    for (float& x : t.values) x = size * random.next() + (scale ? 1.f : 0.f);
  }
  return transformer(std::move(w));
}

struct named_model {
  const char* name;
  transformer model;
};
[[nodiscard]] inline std::vector<named_model> models() {
  std::vector<named_model> all;
  all.push_back({"GPT-2", random_model(tiny(architecture::gpt2, engine::activation::gelu_tanh), 1)});
  all.push_back({"GPT-2 with erf", random_model(tiny(architecture::gpt2, engine::activation::gelu_erf), 2)});
  all.push_back({"OPT", random_model(tiny(architecture::opt, engine::activation::relu), 4)});
  all.push_back({"Llama", random_model(tiny(architecture::llama, engine::activation::silu), 3)});
  all.push_back({"Phi", random_model(tiny(architecture::phi, engine::activation::gelu_tanh), 5)});
  return all;
}

[[nodiscard]] inline token_batch random_batch(const transformer& m, std::size_t sequences, std::size_t tokens,
                                              std::uint64_t seed) {
  numbers random{seed};
  std::vector<token> ids(sequences * (tokens + 1));
  for (token& id : ids) id = static_cast<token>(random.below(m.shape().vocabulary));
  return next_token_batch(sequences, ids);
}

}  // namespace random_models
