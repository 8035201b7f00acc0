#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// The keys of a model's metadata that the engine knows, and what it does with each, as tables: config.json,
/// generation_config.json, and the keys of GGUF. A new family adds its keys here.
namespace engine {

/// What is done with a key.
enum class key_use {
  read,       ///< honoured, or refused by the code that reads it
  extent,     ///< read, and a whole number from 1 to 2^28
  window,     ///< refused unless it is 0 or at least the context: attention reaches that far
  neutral,    ///< refused unless it asks for nothing: every value in it is one of those in `neutral`
  unapplied,  ///< changes only generated text, and is not applied: named in a warning unless it asks for nothing
  ignored     ///< changes no result
};

/// Keys that are treated alike. Lists are separated by blanks.
struct key_row {
  key_use use = key_use::ignored;
  std::string_view neutral = {};  ///< values that ask for nothing, for instance "0 1"; null and empty lists always do
  std::string_view keys;          ///< names; in GGUF without the architecture, which a leading dot stands for
  std::string_view families =
      {};  ///< model types for which the row holds; "decoder": all that list their keys in families/; empty: the rest
};

/// The tables. A row that names the family goes before one that does not.
[[nodiscard]] std::span<const key_row> config_json_keys() noexcept;
[[nodiscard]] std::span<const key_row> generation_config_keys() noexcept;
[[nodiscard]] std::span<const key_row> gguf_model_keys() noexcept;

/// The row of a key; nullptr for an unknown one.
[[nodiscard]] const key_row* find_key(std::span<const key_row> rows, std::string_view key, std::string_view family);

/// Whether a list of words separated by blanks has this word.
[[nodiscard]] bool has_word(std::string_view list, std::string_view word) noexcept;

/// A plain value. Whole numbers that are not negative are std::uint64_t, all other numbers double.
using plain_value = std::variant<bool, std::uint64_t, double, std::string>;

/// What a key should be instead of these values (an array or object has all that it contains, null none); empty if
/// nothing is wrong. `context` is the model's.
[[nodiscard]] std::string expected_instead(const key_row& row, std::span<const plain_value> values,
                                           std::size_t context);

}  // namespace engine
