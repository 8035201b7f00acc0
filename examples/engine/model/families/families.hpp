#pragma once

#include <engine/model/family.hpp>

#include <string_view>

/// The supported families, one source file each, and what those files use to describe a block.
///
/// To add a family, add an enumerator to config.hpp, write NAME.cpp in this folder, declare it here, and add a case to
/// family_of.
namespace engine {

extern const family gpt2_family, llama_family, opt_family, phi_family, bert_family;

[[nodiscard]] constexpr block_part norm_part(std::string_view name, norm block::* member) noexcept {
  return {.name = name, .norm = member};
}
[[nodiscard]] constexpr block_part attention_part(std::string_view name, linear block::* member,
                                                  extent out = extent::width) noexcept {
  return {.name = name, .map = member, .part = precis::part::attention, .out = out};
}
[[nodiscard]] constexpr block_part mlp_part(std::string_view name, linear block::* member) noexcept {
  const bool narrows = member == &block::down;
  return {.name = name,
          .map = member,
          .part = precis::part::mlp,
          .out = narrows ? extent::width : extent::hidden,
          .in = narrows ? extent::hidden : extent::width};
}

}  // namespace engine
