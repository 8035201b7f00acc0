#pragma once

#include <engine/files/gguf.hpp>
#include <engine/model_files/compressed.hpp>
#include <engine/model_files/source.hpp>

#include <string_view>

/// The keys of a GGUF file that are not the tokenizer's.
namespace engine {

/// The keys of a GGUF source that hold for what is made of it: all but those of its storage.
[[nodiscard]] gguf_metadata kept_keys(const gguf_header& header, std::string_view most_format,
                                      const compress_options& options);

/// The keys of a model that was not in GGUF: its name and card, how to sample, and `settings`, the architecture first.
[[nodiscard]] gguf_metadata model_keys(const model_source& source, std::string_view most_format,
                                       gguf_metadata settings);

}  // namespace engine
