#pragma once

#include <engine/files/gguf.hpp>

#include <filesystem>
#include <string_view>

/// The provenance that a model card states: the front matter of README.md.
namespace engine {

/// Author, version, organization, description, license, base models, languages and tags of a card, under the keys of GGUF. Only plain values and lists of
/// them are read; everything else in a card is skipped.
[[nodiscard]] gguf_metadata model_card_keys(std::string_view card);
/// The same for README.md in a folder; nothing if there is none.
[[nodiscard]] gguf_metadata model_card_keys(const std::filesystem::path& folder);

}  // namespace engine
