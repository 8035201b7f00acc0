#pragma once

#include <engine/files/gguf.hpp>
#include <engine/model/config.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// A model's shape and settings as llama.cpp's keys state them.
namespace engine {

/// A tensor of rotary divisors, which files hold instead of settings.
struct gguf_divisors {
  std::string name;  ///< "rope_freqs.weight"
  std::vector<float> values;
};

/// What a file says of a model beside its weights.
struct gguf_settings {
  gguf_metadata keys;  ///< "general.architecture" first
  std::vector<gguf_divisors> divisors;
  std::vector<std::string> warnings;  ///< what llama.cpp does otherwise, as sentences for the user
};

/// How llama.cpp makes one embedding of an encoder's rows: their mean, or the first of them ([CLS]).
enum class gguf_pooling { mean = 1, first = 2 };

/// Keys that read_gguf_config reads back as `c`.
///
/// Errors   a family that llama.cpp does not know; settings for which its architecture has no keys, by name.
[[nodiscard]] gguf_settings gguf_settings_of(const config& c, std::string_view where,
                                             gguf_pooling pooled = gguf_pooling::mean);

/// The keys and divisors of rotary positions alone.
[[nodiscard]] gguf_settings gguf_rope_of(const config& c);

/// The settings that a file states. `warnings` gets the keys that the engine does not know.
///
/// Errors   another architecture; a key that is missing, or asks for what the engine does not do, by name and value.
[[nodiscard]] config read_gguf_config(const gguf_header& header, std::string_view where,
                                      std::vector<std::string>& warnings);

}  // namespace engine
