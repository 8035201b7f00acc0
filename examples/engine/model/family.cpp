#include <engine/model/family.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <iterator>

namespace engine {
namespace {

using enum extent;

[[nodiscard]] constexpr block_part norm_part(std::string_view name, norm block::* member) noexcept {
  return {.name = name, .norm = member};
}
[[nodiscard]] constexpr block_part attention_part(std::string_view name, linear block::* member,
                                                  extent out = width) noexcept {
  return {.name = name, .map = member, .part = precis::part::attention, .out = out};
}
[[nodiscard]] constexpr block_part mlp_part(std::string_view name, linear block::* member) noexcept {
  const bool narrows = member == &block::down;
  return {.name = name,
          .map = member,
          .part = precis::part::mlp,
          .out = narrows ? width : hidden,
          .in = narrows ? hidden : width};
}

constexpr block_part gpt2_block[] = {norm_part("ln_1", &block::attention_norm),
                                     attention_part("attn.c_attn", &block::qkv, three_widths),
                                     attention_part("attn.c_proj", &block::attention_out),
                                     norm_part("ln_2", &block::mlp_norm),
                                     mlp_part("mlp.c_fc", &block::up),
                                     mlp_part("mlp.c_proj", &block::down)};

constexpr block_part llama_block[] = {norm_part("attention_norm", &block::attention_norm),
                                      attention_part("attention.wq", &block::query),
                                      attention_part("attention.wk", &block::key, kv_width),
                                      attention_part("attention.wv", &block::value, kv_width),
                                      attention_part("attention.wo", &block::attention_out),
                                      norm_part("ffn_norm", &block::mlp_norm),
                                      mlp_part("feed_forward.w1", &block::gate),
                                      mlp_part("feed_forward.w2", &block::down),
                                      mlp_part("feed_forward.w3", &block::up)};

constexpr block_part opt_block[] = {norm_part("self_attn_layer_norm", &block::attention_norm),
                                    attention_part("self_attn.q_proj", &block::query),
                                    attention_part("self_attn.k_proj", &block::key),
                                    attention_part("self_attn.v_proj", &block::value),
                                    attention_part("self_attn.out_proj", &block::attention_out),
                                    norm_part("final_layer_norm", &block::mlp_norm),
                                    mlp_part("fc1", &block::up),
                                    mlp_part("fc2", &block::down)};

constexpr block_part phi_block[] = {norm_part("input_layernorm", &block::attention_norm),
                                    attention_part("self_attn.q_proj", &block::query),
                                    attention_part("self_attn.k_proj", &block::key, kv_width),
                                    attention_part("self_attn.v_proj", &block::value, kv_width),
                                    attention_part("self_attn.dense", &block::attention_out),
                                    mlp_part("mlp.fc1", &block::up),
                                    mlp_part("mlp.fc2", &block::down)};

constexpr block_part bert_block[] = {attention_part("attention.self.query", &block::query),
                                     attention_part("attention.self.key", &block::key),
                                     attention_part("attention.self.value", &block::value),
                                     attention_part("attention.output.dense", &block::attention_out),
                                     norm_part("attention.output.LayerNorm", &block::attention_norm),
                                     mlp_part("intermediate.dense", &block::up),
                                     mlp_part("output.dense", &block::down),
                                     norm_part("output.LayerNorm", &block::mlp_norm)};

/// In the order of `architecture`.
constexpr family families[] = {{.name = "GPT-2",
                                .model_type = "gpt2",
                                .prefix = "transformer.",
                                .in_major = true,
                                .fused = true,
                                .token_embedding = "wte",
                                .position_embedding = "wpe",
                                .blocks = "h.",
                                .in_block = gpt2_block,
                                .final_norm = "ln_f",
                                .head = "lm_head"},
                               {.name = "Llama",
                                .model_type = "llama",
                                .prefix = "model.",
                                .biased = false,
                                .gated = true,
                                .rotary = true,
                                .shared_heads = true,
                                .token_embedding = "tok_embeddings",
                                .blocks = "layers.",
                                .in_block = llama_block,
                                .final_norm = "norm",
                                .head = "output"},
                               {.name = "OPT",
                                .model_type = "opt",
                                .prefix = "model.decoder.",
                                .first_position = 2,
                                .token_embedding = "embed_tokens",
                                .position_embedding = "embed_positions",
                                .blocks = "layers.",
                                .in_block = opt_block,
                                .final_norm = "final_layer_norm",
                                .head = "lm_head"},
                               {.name = "Phi",
                                .model_type = "phi",
                                .prefix = "model.",
                                .rotary = true,
                                .halves = true,
                                .parallel = true,
                                .shared_heads = true,
                                .biased_head = true,
                                .token_embedding = "embed_tokens",
                                .blocks = "layers.",
                                .in_block = phi_block,
                                .final_norm = "final_layernorm",
                                .head = "lm_head"},
                               {.name = "BERT",
                                .model_type = "bert",
                                .prefix = "bert.",
                                .causal = false,
                                .token_embedding = "embeddings.word_embeddings",
                                .position_embedding = "embeddings.position_embeddings",
                                .type_embedding = "embeddings.token_type_embeddings",
                                .embedding_norm = "embeddings.LayerNorm",
                                .blocks = "encoder.layer.",
                                .in_block = bert_block,
                                .pooler = "pooler.dense",
                                .classifier = "classifier"}};
static_assert(std::size(families) == static_cast<std::size_t>(architecture::bert) + 1);

}  // namespace

std::size_t size_of(extent e, const config& c) noexcept {
  switch (e) {
    case kv_width: return c.kv_width();
    case three_widths: return 3 * c.width;
    case hidden: return c.hidden;
    case width: break;
  }
  return c.width;
}

const family& family_of(architecture a) noexcept { return families[static_cast<std::size_t>(a)]; }

std::string stored_name(const config& c, std::string_view name) {
  const family& f = family_of(c);
  const bool plain = c.architecture == architecture::gpt2 || c.architecture == architecture::llama;
  const bool on_top =
      (!f.head.empty() && name.starts_with(f.head)) || (!f.classifier.empty() && name.starts_with(f.classifier));
  return (plain || on_top ? "" : std::string(f.prefix)) + std::string(name);
}

std::vector<block_part> maps_of(const family& f) {
  std::vector<block_part> maps;
  std::ranges::copy_if(f.in_block, std::back_inserter(maps), [](const block_part& p) { return p.map != nullptr; });
  return maps;
}

std::vector<precis::matrix_info> matrices_of(const config& c) {
  const family& f = family_of(c);
  std::vector<precis::matrix_info> matrices;
  for (std::size_t l = 0; l < c.layers; ++l)
    for (const block_part& p : maps_of(f))
      matrices.push_back({.name = std::string(f.blocks) + std::to_string(l) + "." + std::string(p.name),
                          .layer = l,
                          .part = p.part,
                          .out = size_of(p.out, c),
                          .in = size_of(p.in, c)});
  return matrices;
}

linear& map_of(weights& w, std::size_t matrix) {
  const std::vector<block_part> maps = maps_of(family_of(w.config));
  PRECIS_EXPECTS(matrix < maps.size() * w.blocks.size(), "no such matrix");
  return w.blocks[matrix / maps.size()].*maps[matrix % maps.size()].map;
}
const linear& map_of(const weights& w, std::size_t matrix) {
  const std::vector<block_part> maps = maps_of(family_of(w.config));
  PRECIS_EXPECTS(matrix < maps.size() * w.blocks.size(), "no such matrix");
  return w.blocks[matrix / maps.size()].*maps[matrix % maps.size()].map;
}

}  // namespace engine
