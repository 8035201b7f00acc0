#pragma once

#include <engine/model/knobs.hpp>

#include <cstddef>
#include <span>
#include <vector>

/// Biases of attention scores that depend on the distance of key and query.
namespace engine {

/// The bucket of a key `ahead` positions after the query. The first half of a side's buckets hold one distance each,
/// the others ranges that grow with the distance.
/// Source   Raffel et al. 2020, arXiv:1910.10683; logarithms in float as in Hugging Face's implementation.
[[nodiscard]] std::size_t bucket_of(const relative_bias& b, std::ptrdiff_t ahead) noexcept;

/// [heads x 2 positions - 1] the table's biases by distance: entry ahead + positions - 1.
[[nodiscard]] std::vector<float> by_distance(const relative_bias& b, std::span<const float> table, std::size_t heads,
                                             std::size_t positions);

/// Adds gradients by distance, laid out like that, to those of the table.
void add_by_distance(const relative_bias& b, std::span<const double> gradient, std::size_t heads, std::size_t positions,
                     std::span<float> table);

}  // namespace engine
