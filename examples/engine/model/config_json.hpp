#pragma once

#include <engine/files/json.hpp>
#include <engine/model/config.hpp>

#include <precis/model/batch.hpp>

#include <string>
#include <string_view>
#include <vector>

/// A model's shape as Hugging Face's config.json states it.
namespace engine {

/// Reads a Hugging Face config.json of model type gpt2, llama, opt, phi or bert.
///
/// Errors   a missing or mistyped key, by name; a feature that the engine does not support (scaled rotary positions,
///          another activation, biases in a Llama, norms after the residual in an OPT ...), by key and value. The keys
///          that the engine knows are those of known_keys.hpp.
[[nodiscard]] config parse_config(std::string_view json_text, std::string_view where);

/// A config.json that parse_config reads back as `c` and that Hugging Face's transformers can load.
[[nodiscard]] std::string config_json(const config& c);

enum class metadata_file { config, generation_config };

/// The keys of a file whose effect is unknown, or on generated text alone and not applied. Null asks for nothing.
[[nodiscard]] std::vector<std::string> unapplied_keys(const json& root, const config& c, metadata_file file);

/// The ids under a key that holds one or a list; none if it is absent. Errors: anything else, by name.
[[nodiscard]] std::vector<precis::token> token_ids(const json_object& keys, std::string_view key);

/// The names of a classifier's labels (id2label), by id; "LABEL_0" and so on if the file has none.
[[nodiscard]] std::vector<std::string> label_names(const json_object& keys);

}  // namespace engine
