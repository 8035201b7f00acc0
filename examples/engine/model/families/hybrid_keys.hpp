#pragma once

#include <engine/files/json.hpp>
#include <engine/model/families/families.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What families with recurrent mixers share: slots and keys of config.json.
namespace engine {

/// Attention where a layer's type is "attention" or "full_attention", `other` elsewhere.
[[nodiscard]] std::vector<mixer> mixers_named(const std::vector<std::string>& types, mixer other);
/// A list of layers' indices; nothing if the key is absent. Errors: anything else; an index that is no layer's.
[[nodiscard]] std::optional<std::vector<std::size_t>> read_indices(const json_object& keys, std::string_view key,
                                                                   std::size_t layers);
/// A list of as many numbers as `otherwise` has; that if the key is absent.
[[nodiscard]] std::vector<double> read_numbers(const json_object& keys, std::string_view key,
                                               std::vector<double> otherwise);

/// layer_types of Bamba and Granite; later versions of transformers have the last two names.
inline constexpr std::string_view mamba_types = "attention mamba full_attention linear_attention";

/// Reads the keys of Mamba-2 that Bamba, Granite and Falcon-H1 share; `inner` is the mixer's inner width.
void read_mamba(const json_object& keys, std::size_t inner, config& c);

/// The width that a Mamba-2 mixer has by mamba_expand.
[[nodiscard]] std::size_t expanded_width(const json_object& keys, const config& c);

/// The keys of a Mamba-2 in a GGUF file, in the words of config.json. A layer without key-value heads is recurrent.
void complete_mamba(const gguf_reader& file, json& config);
inline constexpr std::string_view mamba_gguf_keys =
    ".ssm.conv_kernel .ssm.state_size .ssm.group_count .ssm.time_step_rank .ssm.inner_size .expert_count "
    ".expert_used_count .expert_feed_forward_length .expert_shared_feed_forward_length";

/// The mixers' tensors beside their maps: conv1d, A_log, D and so on.
[[nodiscard]] constexpr slot values_part(std::string_view name, std::vector<float> block::* member, extent out,
                                         extent in = extent::one) noexcept {
  return {.name = name, .values = member, .out = out, .in = in};
}

/// Maps so small that they are no matrices of the model: what a delta net writes and forgets hangs on them.
[[nodiscard]] constexpr slot small_part(std::string_view name, linear block::* member, extent out) noexcept {
  return {.name = name, .map = member, .part = precis::part::attention, .out = out, .listed = false};
}

/// The mixers' own activations are SiLU, and the key names both. Errors: another hidden_act.
void must_be_silu(const json_object& keys, const config& c);

/// Gives every layer its mixer. A layer without attention loses the settings of one; all take c.hidden.
void set_mixers(config& c, const std::vector<mixer>& mixers);

}  // namespace engine
