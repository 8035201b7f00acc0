#include <engine/model/relative_positions.hpp>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

/// Calls use(index of a distance, row of the table) for all distances of a sequence.
template<class Use>
void for_each_distance(const relative_bias& b, std::size_t positions, Use&& use) {
  const auto last = static_cast<std::ptrdiff_t>(positions) - 1;
  for (std::ptrdiff_t ahead = -last; ahead <= last; ++ahead)
    use(static_cast<std::size_t>(ahead + last), bucket_of(b, ahead));
}

}  // namespace

std::size_t bucket_of(const relative_bias& b, std::ptrdiff_t ahead) noexcept {
  const std::size_t half = b.buckets / 2, exact = half / 2, side = ahead > 0 ? half : 0;
  const auto distance = static_cast<std::size_t>(ahead > 0 ? ahead : -ahead);
  if (distance < exact) return side + distance;
  const auto ratio = static_cast<float>(std::log(static_cast<double>(b.distance) / static_cast<double>(exact)));
  const float share = std::log(static_cast<float>(distance) / static_cast<float>(exact)) / ratio;
  const auto beyond = static_cast<std::size_t>(share * static_cast<float>(half - exact));
  return side + std::min(exact + beyond, half - 1);
}

std::vector<float> by_distance(const relative_bias& b, std::span<const float> table, std::size_t heads,
                               std::size_t positions) {
  const std::size_t count = 2 * positions - 1;
  std::vector<float> all(heads * count);
  for_each_distance(b, positions, [&](std::size_t i, std::size_t row) {
    for (std::size_t h = 0; h < heads; ++h) all[h * count + i] = table[row * heads + h];
  });
  return all;
}

void add_by_distance(const relative_bias& b, std::span<const double> gradient, std::size_t heads, std::size_t positions,
                     std::span<float> table) {
  const std::size_t count = 2 * positions - 1;
  std::vector<double> sums(table.size());
  for_each_distance(b, positions, [&](std::size_t i, std::size_t row) {
    for (std::size_t h = 0; h < heads; ++h) sums[row * heads + h] += gradient[h * count + i];
  });
  for (std::size_t i = 0; i < sums.size(); ++i) table[i] += static_cast<float>(sums[i]);
}

}  // namespace engine
