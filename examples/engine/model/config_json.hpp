#pragma once

#include <engine/model/config.hpp>

#include <string>
#include <string_view>
#include <vector>

/// A model's shape as Hugging Face's config.json states it.
namespace engine {

class json_object;

/// Reads a Hugging Face config.json of model type gpt2, llama, opt, phi or bert.
///
/// Errors   a missing or mistyped key, by name; a feature that the engine does not support (scaled rotary positions,
///          another activation, biases in a Llama, norms after the residual in an OPT ...), by key.
[[nodiscard]] config parse_config(std::string_view json_text, std::string_view where);

/// A config.json that parse_config reads back as `c` and that Hugging Face's transformers can load.
[[nodiscard]] std::string config_json(const config& c);

/// The names of a classifier's labels (id2label), by id; "LABEL_0" and so on if the file has none.
[[nodiscard]] std::vector<std::string> label_names(const json_object& keys);

}  // namespace engine
