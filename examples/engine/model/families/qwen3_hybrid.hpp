#pragma once

#include <engine/model/families/hybrid_keys.hpp>

#include <cstddef>

/// What Qwen3-Next and Qwen3.5 share: attention with an output gate, and gated delta nets.
namespace engine {

/// Reads what both have. `kv_heads` is what an absent key means.
[[nodiscard]] config read_qwen3_hybrid(const json_object& keys, architecture a, std::size_t kv_heads);

/// The keys of a delta net in a GGUF file, in the words of config.json.
void complete_delta_net(const gguf_reader& file, json& config);

}  // namespace engine
