#include <engine/files/messages.hpp>
#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>
#include <engine/model_files/source.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace engine {
namespace {

/// The rows of Mamba-2's in-projection: z, x, b, c and dt have multipliers of their own.
[[nodiscard]] std::vector<float> mixer_in_factors(const knobs& k, float of_inputs) {
  const mamba2_settings& m = k.mamba;
  const std::size_t state = m.groups * m.state_width;
  const std::size_t rows[] = {m.inner(), m.inner(), state, state, m.heads};
  std::vector<float> all;
  for (std::size_t part = 0; part < 5; ++part) all.insert(all.end(), rows[part], of_inputs * m.scales[part]);
  return all;
}

/// What a map and its bias are multiplied by. A multiplier of inputs does not reach the bias.
struct map_factors {
  std::vector<float> weight, bias;
};
[[nodiscard]] map_factors factors_of(const slot& s, const knobs& k) {
  if (s.map == &block::query || s.map == &block::value) return {{k.attention_in_scale}, {}};
  if (s.map == &block::key) return {{k.key_scale * k.attention_in_scale}, {k.key_scale}};
  if (s.map == &block::attention_out) return {{k.attention_out_scale}, {k.attention_out_scale}};
  if (s.map == &block::gate) return {{k.gate_scale}, {k.gate_scale}};
  if (s.map == &block::down) return {{k.down_scale}, {k.down_scale}};
  if (s.map == &block::mixer_out) return {{k.mixer_out_scale}, {k.mixer_out_scale}};
  if (s.map == &block::mixer_in) return {mixer_in_factors(k, k.mixer_in_scale), mixer_in_factors(k, 1)};
  return {};
}

[[nodiscard]] bool is_one(std::span<const float> factors) {
  return std::ranges::all_of(factors, [](float f) { return f == 1; });
}

}  // namespace

void fold_scales(model_source& source) {
  config& c = source.config;
  const family& f = family_of(c);
  if (f.gguf == nullptr || !f.gguf->folds_scales || !c.knobs) return;
  knobs& k = *c.knobs;
  std::map<std::string, std::vector<float>, std::less<>> factors;
  for (const place& p : places_of(c, k)) {
    if (p.slot->map == nullptr) continue;
    map_factors of_map = factors_of(*p.slot, k);
    const std::string name = name_of(c, p);
    factors[name + ".weight"] = std::move(of_map.weight);
    factors[name + ".bias"] = std::move(of_map.bias);
  }
  if (c.tied_head && k.embedding_scale != k.logit_scale)
    refuse_input(source.path.string(), "one matrix as the embedding and the head, with multipliers of their own",
                 "a folder as the output, because llama.cpp has no keys for them");
  factors[std::string(f.token_embedding) + ".weight"] = {k.embedding_scale};
  factors[std::string(f.head) + ".weight"] = {k.logit_scale};
  for (source_tensor& t : source.tensors)
    if (const auto at = factors.find(t.name); at != factors.end() && !is_one(at->second)) {
      if (!t.codec.empty())
        refuse_input(t.file, "tensor " + t.stored_name + " is packed, and its family's GGUF files have it multiplied",
                     "the original model");
      t.factors = at->second;
    }
  k.embedding_scale = k.logit_scale = k.key_scale = 1;
  k.attention_in_scale = k.attention_out_scale = k.mixer_in_scale = k.mixer_out_scale = 1;
  k.gate_scale = k.down_scale = 1;
  k.mamba.scales.fill(1);
}

}  // namespace engine
