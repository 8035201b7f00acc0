#include <engine/model/map_product.hpp>
#include <engine/model/scratch_arena.hpp>
#include <engine/model/shared_forward.hpp>

#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

using engine::linear;
using engine::map_view;
using precis::float_matrix;

namespace {

/// Rows that are held elsewhere, as if they were in a file.
class rows_of final : public engine::stored_rows {
 public:
  rows_of(std::vector<float> values, std::size_t cols) : values_(std::move(values)), cols_(cols) {}
  void decode(std::size_t first, std::size_t count, float* to) const override {
    std::copy_n(values_.data() + first * cols_, count * cols_, to);
  }

 private:
  std::vector<float> values_;
  std::size_t cols_;
};

std::vector<float> random_values(std::size_t n, std::uint64_t seed) {
  random_models::numbers random{seed};
  std::vector<float> values(n);
  for (float& v : values) v = random.next();
  return values;
}

linear map_of_floats(std::size_t out, std::size_t in, bool in_major) {
  linear map(out, in, in_major, true);
  map.values = random_values(out * in, 3);
  map.bias = random_values(out, 4);
  return map;
}

/// The same map whose values are stored.
linear stored_copy(const linear& map) {
  linear stored = map;
  const std::size_t rows = map.in_major ? map.in : map.out, cols = map.in_major ? map.out : map.in;
  const std::vector<float> values(map.values.begin(), map.values.end());
  stored.values = {std::make_shared<rows_of>(values, cols), rows, values.size()};
  return stored;
}

float_matrix matrix_of(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  float_matrix m(rows, cols);
  m.values = random_values(rows * cols, seed);
  return m;
}

}  // namespace

TEST_CASE("products with stored maps have the bits of products with floats", "[engine][map_product][property]") {
  const auto [out, in] =
      GENERATE(table<std::size_t, std::size_t>({{1, 1}, {7, 13}, {500, 900}, {1000, 130}, {3, 9000}}));
  const bool in_major = GENERATE(false, true);
  const std::size_t rows = GENERATE(1u, 2u, 11u);
  CAPTURE(out, in, in_major, rows);
  const linear floats = map_of_floats(out, in, in_major), stored = stored_copy(floats);
  REQUIRE(stored.values.are_stored());
  std::vector<float> workspace(precis::kernel::product_workspace);
  const float_matrix x = matrix_of(rows, in, 5), dy = matrix_of(rows, out, 6);

  float_matrix y(rows, out), expected(rows, out);
  apply(map_view(stored), stored.bias, x.view(), y.view(), workspace);
  // The definition: one product with all of the floats.
  precis::kernel::product_onto({floats.bias.data(), rows, out, 0, 1}, x.view(), floats.view().transposed(),
                               expected.view(), workspace);
  CHECK(y == expected);

  if (out >= 3) {
    float_matrix part(rows, out - 2);
    apply(map_view(stored).outputs(1, out - 2), std::span(stored.bias).subspan(1, out - 2), x.view(), part.view(),
          workspace);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t o = 0; o < out - 2; ++o) CHECK(part(r, o) == expected(r, o + 1));
  }

  float_matrix dx(rows, in), of_floats(rows, in);
  apply_transposed(stored, dy.view(), dx.view(), workspace);
  precis::kernel::product(dy.view(), floats.view(), of_floats.view(), workspace);
  CHECK(dx == of_floats);
  add_transposed(stored, dy.view(), dx.view(), workspace);
  precis::kernel::product_add(dy.view(), floats.view(), of_floats.view(), workspace);
  CHECK(dx == of_floats);
}

TEST_CASE("several threads that share a product compute the bits of one",
          "[engine][map_product][shared_forward][property]") {
  const bool in_major = GENERATE(false, true), is_stored = GENERATE(false, true);
  const std::size_t out = GENERATE(std::size_t{3000}, std::size_t{2881}), in = 300, rows = 40;
  linear map = map_of_floats(out, in, in_major);
  if (is_stored) map = stored_copy(map);
  std::vector<float> workspace(precis::kernel::product_workspace);
  const float_matrix x = matrix_of(rows, in, 5);
  float_matrix alone(rows, out), shared(rows, out);
  apply(map_view(map), map.bias, x.view(), alone.view(), workspace);
  const engine::shared_forward threads(3);
  REQUIRE(engine::worthwhile_pieces(static_cast<double>(rows * in * out), 1000) > 1);
  apply(map_view(map), map.bias, x.view(), shared.view(), workspace);
  CHECK(shared == alone);
}

TEST_CASE("stored values become floats to be changed, and are given up again if they were not",
          "[engine][map_product]") {
  const std::vector<float> values = random_values(300 * 7, 8);
  engine::matrix_values m(std::make_shared<rows_of>(values, 7), 300, values.size());
  CHECK(m.size() == values.size());
  CHECK(std::ranges::equal(m.floats(), values));
  CHECK(m.are_stored());
  m.to_floats();
  CHECK_FALSE(m.are_stored());
  CHECK(std::ranges::equal(m, values));
  m.release();
  CHECK(m.are_stored());
  m.to_floats();
  m[299 * 7] += 1;
  m.release();
  CHECK_FALSE(m.are_stored());
  CHECK(m[299 * 7] == values[299 * 7] + 1);
  float row[7];
  m.read(299, 1, 7, row);
  CHECK(row[0] == values[299 * 7] + 1);
}
