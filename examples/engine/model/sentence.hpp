#pragma once

#include <engine/model/weights.hpp>

#include <precis/core/view.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// How an encoder's rows become one embedding of a text, as a sentence-transformers folder says.
namespace engine {

enum class pooling {
  mean,
  first,     ///< the first token's row ([CLS])
  largest,   ///< per feature
  root_mean  ///< the sum divided by the root of the number of tokens
};
[[nodiscard]] std::string_view to_string(pooling p) noexcept;

struct sentence_settings {
  engine::pooling pooling = pooling::mean;
  bool normalize = false;      ///< to length 1
  std::size_t max_tokens = 0;  ///< of a text, special tokens included; 0: the model's context
  std::string from = {};       ///< the file that states them; empty: none does
  bool operator==(const sentence_settings&) const = default;
};

/// Reads modules.json, the pooling's config.json and sentence_bert_config.json. A folder without modules.json: the mean,
/// not normalized, as sentence-transformers does. A GGUF file: its pooling_type.
///
/// Errors   a module or a way of pooling that the engine does not support, by name; a width other than the model's.
[[nodiscard]] sentence_settings read_sentence_settings(const std::filesystem::path& folder, std::size_t width);

/// The files of a folder that state these settings, relative to it; none in other folders.
[[nodiscard]] std::vector<std::filesystem::path> sentence_files(const std::filesystem::path& folder);

/// Pools rows [tokens x width] to `out` [width]. Requires at least one row.
void pool(const sentence_settings& s, precis::matrix_view<const float> rows, std::span<float> out);
/// The gradient at the rows, overwritten, given that at the embedding.
void pool_backward(const sentence_settings& s, precis::matrix_view<const float> rows, std::span<const float> d_out,
                   precis::matrix_view<float> d_rows);

/// 1 - cosine of two vectors, exact to about 1e-16 for nearly equal ones. A zero vector has distance 1 to others.
[[nodiscard]] double cosine_distance(std::span<const float> a, std::span<const float> b) noexcept;
/// The gradient of that with respect to `a`, overwritten; 0 if one of them is zero.
void cosine_distance_gradient(std::span<const float> a, std::span<const float> b, std::span<float> d) noexcept;

}  // namespace engine
