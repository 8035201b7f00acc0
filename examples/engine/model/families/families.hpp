#pragma once

#include <engine/model/family.hpp>
#include <engine/model/gguf_family.hpp>

#include <string_view>

/// The supported families, one source file each, and what those files use to describe a block.
///
/// To add a family, add an enumerator to config.hpp, write NAME.cpp in this folder, and declare and list it here.
namespace engine {

extern const family gpt2_family, llama_family, opt_family, phi_family, bert_family, qwen2_family, qwen3_family,
    mistral_family, gemma3_family, olmoe_family, qwen3_moe_family, mixtral_family, gpt_oss_family, gemma2_family,
    phi3_family, olmo2_family, granite_family, smollm3_family, gpt_neox_family, ministral3_family, gemma4_family,
    lfm2_family, qwen3_5_family, qwen3_next_family, granite_hybrid_family, bamba_family, falcon_h1_family,
    roberta_family, xlm_roberta_family, distilbert_family, mpnet_family, modernbert_family, t5_family;

/// In the order of `architecture`.
inline constexpr const family* families[] = {
    &gpt2_family,      &llama_family,      &opt_family,     &phi_family,         &bert_family,
    &qwen2_family,     &qwen3_family,      &mistral_family, &gemma3_family,      &olmoe_family,
    &qwen3_moe_family, &mixtral_family,    &gpt_oss_family, &gemma2_family,      &phi3_family,
    &olmo2_family,     &granite_family,    &smollm3_family, &gpt_neox_family,    &ministral3_family,
    &gemma4_family,    &lfm2_family,       &qwen3_5_family, &qwen3_next_family,  &granite_hybrid_family,
    &bamba_family,     &falcon_h1_family,  &roberta_family, &xlm_roberta_family, &distilbert_family,
    &mpnet_family,     &modernbert_family, &t5_family};

[[nodiscard]] constexpr slot norm_part(std::string_view name, norm block::* member) noexcept {
  return {.name = name, .norm = member};
}
[[nodiscard]] constexpr slot attention_part(std::string_view name, linear block::* member, extent out = extent::width,
                                            extent in = extent::width) noexcept {
  return {.name = name, .map = member, .part = precis::part::attention, .out = out, .in = in};
}
[[nodiscard]] constexpr slot norm_part(std::string_view name, norm block::* member, extent size) noexcept {
  return {.name = name, .norm = member, .out = size};
}
[[nodiscard]] constexpr slot expert_part(std::string_view name, linear expert::* member) noexcept {
  const bool narrows = member == &expert::down;
  return {.name = name,
          .of_expert = member,
          .part = precis::part::mlp,
          .out = narrows ? extent::width : extent::expert_hidden,
          .in = narrows ? extent::expert_hidden : extent::width};
}
/// The router of a mixture is no matrix of the model: it is small, and a token's experts hang on it.
[[nodiscard]] constexpr slot router_part(std::string_view name) noexcept {
  return {.name = name, .map = &block::router, .part = precis::part::mlp, .out = extent::experts, .listed = false};
}
/// The expert that every token uses, and the row that gates it.
[[nodiscard]] constexpr slot shared_part(std::string_view name, linear block::* member) noexcept {
  const bool narrows = member == &block::shared_down;
  return {.name = name,
          .map = member,
          .part = precis::part::mlp,
          .out = narrows ? extent::width : extent::shared_hidden,
          .in = narrows ? extent::shared_hidden : extent::width};
}
[[nodiscard]] constexpr slot shared_scale_part(std::string_view name) noexcept {
  return {.name = name, .map = &block::shared_scale, .part = precis::part::mlp, .out = extent::one, .listed = false};
}
[[nodiscard]] constexpr slot mlp_part(std::string_view name, linear block::* member) noexcept {
  const bool narrows = member == &block::down;
  return {.name = name,
          .map = member,
          .part = precis::part::mlp,
          .out = narrows ? extent::width : extent::hidden,
          .in = narrows ? extent::hidden : extent::width};
}

}  // namespace engine
