#pragma once

#include <engine/files/json.hpp>
#include <engine/model/config.hpp>

#include <nlohmann/json.hpp>

#include <concepts>
#include <string>
#include <string_view>

/// Keys of config.json that several families share.
namespace engine {

/// A positive number that fits a float. Errors: any other value.
[[nodiscard]] float positive_number(const json_object& keys, std::string_view key, double otherwise);

/// Refuses a feature that changes the result and that the engine does not support.
void must_be(const json_object& keys, std::string_view key, bool wanted);

enum class relu_support { no, yes };

/// The activation that a key names. Errors: an unknown one, and ReLU where the family does not use it.
[[nodiscard]] activation read_activation(const json_object& keys, std::string_view key, std::string_view otherwise,
                                         relu_support relu = relu_support::no);
/// The name that Hugging Face gives to an activation.
[[nodiscard]] std::string_view activation_name(activation a) noexcept;

struct rotary_settings {
  float base = 10000;  ///< of the frequencies
  double share = 1;    ///< of a head's features that are rotated
};
/// Rotary positions, from rope_parameters, rope_scaling, and the keys outside. `share` is the family's.
/// Errors   scaled positions, by key and value; keys that contradict each other; a share that is not in (0, 1].
[[nodiscard]] rotary_settings read_rotary(const json_object& keys, double share);

/// The extents that every family but GPT-2 stores under the same keys. Sets kv_heads to heads.
[[nodiscard]] config read_usual_extents(const json_object& keys, architecture a);
void write_usual_extents(const config& c, nlohmann::ordered_json& keys);

/// A number with the fewest digits that read back as the same float or double: 1e-05, not 9.999999747378752e-06.
template<std::floating_point Number>
[[nodiscard]] nlohmann::ordered_json shortest(Number value);
extern template nlohmann::ordered_json shortest(float);
extern template nlohmann::ordered_json shortest(double);

}  // namespace engine
