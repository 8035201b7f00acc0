#include <precis/measure/statistics.hpp>

#include <precis/core/thread_pool.hpp>

#include "codec/encoded.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;

TEST_CASE("statistics of an input, by hand", "[measure][statistics][worked-example]") {
  const std::vector<float> x{1, -2, 3, 0};  // two tokens
  measure::input_statistics s;
  s.add({std::span<const float>(x), 1, 2, 2});
  s.finish("w");
  CHECK(s.tokens() == 2);
  CHECK(s.moments.sum.values == std::vector<double>{10, -2, -2, 4});
  CHECK(s.sums == std::vector<double>{4, -2});
  CHECK(s.absolute_sums == std::vector<double>{4, 2});
  CHECK(s.maxima == std::vector<float>{3, 2});
}

TEST_CASE("statistics: parts merge to the whole, on any executor", "[measure][statistics][property]") {
  const float_matrix x = encoded::weights(700, 150);
  const activations_view<const float> all{std::span<const float>(x.values), 1, 700, 150};
  measure::input_statistics whole, first, second;
  whole.add(all, thread_pool{3});
  first.add(all.token_range(0, 256));
  second.add(all.token_range(256, 444));
  first.merge(second);
  first.finish("w");
  whole.finish("w");
  CHECK(first.tokens() == 700);
  CHECK(first.maxima == whole.maxima);
  const measure::gram exact = measure::gram_of(all);
  for (std::size_t i = 0; i < exact.sum.values.size(); ++i) {
    const double scale = std::sqrt(exact.sum(i / 150, i / 150) * exact.sum(i % 150, i % 150));
    CHECK(std::abs(first.moments.sum.values[i] - exact.sum.values[i]) < 1e-6 * scale);
    CHECK(std::abs(whole.moments.sum.values[i] - exact.sum.values[i]) < 1e-6 * scale);
  }
}

TEST_CASE("statistics refuse inputs that are not finite, and of another width", "[measure][statistics][bad-input]") {
  const std::vector<float> x{1, std::numeric_limits<float>::infinity()};
  measure::input_statistics s;
  s.add({std::span<const float>(x), 1, 1, 2});
  CHECK(refusal([&] { s.finish("h.0.mlp"); }).find("input 1 is not finite") != std::string::npos);
  CHECK(refusal([&] { s.add({std::span<const float>(x), 1, 2, 1}); }).find("1 inputs") != std::string::npos);
}
