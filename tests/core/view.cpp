#include <precis/core/view.hpp>

#include "catch.hpp"

#include <concepts>
#include <numeric>
#include <type_traits>
#include <vector>

using namespace precis;

namespace {

/// 0, 1, 2, ...
std::vector<float> counting(std::size_t n) {
  std::vector<float> values(n);
  std::iota(values.begin(), values.end(), 0.f);
  return values;
}

}  // namespace

TEST_CASE("a dense view is row-major", "[core][view][worked-example]") {
  const std::vector<float> values = counting(6);
  const weight_view w(values, 2, 3);
  CHECK(w(0, 0) == 0.f);
  CHECK(w(0, 2) == 2.f);
  CHECK(w(1, 0) == 3.f);
  CHECK(w.size() == 6);
  CHECK(w.dense());
  CHECK(w.rows_contiguous());
  CHECK(w.row(1).data() == values.data() + 3);
  CHECK(w.row(1).size() == 3);
}

TEST_CASE("a transposed view reads the same memory with rows and columns exchanged", "[core][view][property]") {
  std::vector<float> values = counting(6);
  const mutable_weight_view stored(values, 2, 3);  // in x out, as in Conv1D
  const mutable_weight_view w = stored.transposed();
  REQUIRE(w.rows == 3);
  REQUIRE(w.cols == 2);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c) CHECK(&w(r, c) == &stored(c, r));
  CHECK_FALSE(w.rows_contiguous());
  CHECK_FALSE(w.dense());
  CHECK(w.transposed().dense());
  w(2, 1) = 42.f;
  CHECK(values[5] == 42.f);
}

TEST_CASE("row and column ranges are windows of the same matrix", "[core][view][property]") {
  const std::vector<float> values = counting(20);
  const weight_view all(values, 4, 5);
  const bool transposed = GENERATE(false, true);
  const weight_view w = transposed ? weight_view(all.data, 5, 4, 1, 5) : all;
  const weight_view window = w.row_range(1, 2).col_range(2, 2);
  REQUIRE(window.rows == 2);
  REQUIRE(window.cols == 2);
  for (std::size_t r = 0; r < 2; ++r)
    for (std::size_t c = 0; c < 2; ++c) CHECK(&window(r, c) == &w(r + 1, c + 2));
  CHECK_FALSE(window.dense());
}

TEST_CASE("a negative stride walks backwards", "[core][view][worked-example]") {
  const std::vector<float> values = counting(6);
  const weight_view upside_down(values.data() + 3, 2, 3, -3, 1);
  CHECK(upside_down(0, 0) == 3.f);
  CHECK(upside_down(1, 2) == 2.f);
  CHECK(upside_down.row(1)[0] == 0.f);
}

TEST_CASE("one row, one column and an empty view are dense for every stride", "[core][view][worked-example]") {
  const std::vector<float> values = counting(4);
  CHECK(weight_view(values.data(), 1, 4, 99, 1).dense());
  CHECK(weight_view(values.data(), 4, 1, 1, 99).dense());
  CHECK_FALSE(weight_view(values.data(), 2, 2, 3, 1).dense());
  CHECK(weight_view{}.empty());
  CHECK(weight_view{}.dense());
  CHECK(weight_view(values.data(), 0, 4, 4, 1).empty());
}

TEST_CASE("a mutable view converts to a constant one, but not the reverse", "[core][view][property]") {
  STATIC_REQUIRE(std::convertible_to<mutable_weight_view, weight_view>);
  STATIC_REQUIRE_FALSE(std::constructible_from<mutable_weight_view, weight_view>);
  STATIC_REQUIRE(std::convertible_to<activations_view<float>, activations_view<const float>>);
  STATIC_REQUIRE_FALSE(std::constructible_from<activations_view<float>, activations_view<const float>>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<weight_view>);
}

TEST_CASE("activations are sequence x token x feature", "[core][view][worked-example]") {
  const std::vector<float> values = counting(24);
  const activations_view<const float> x(values, 2, 3, 4);
  CHECK(x(0, 0)[0] == 0.f);
  CHECK(x(0, 1)[0] == 4.f);
  CHECK(x(1, 0)[0] == 12.f);
  CHECK(x(1, 2)[3] == 23.f);
  CHECK(x.rows() == 6);
  CHECK(x.size() == 24);
  CHECK(x.dense());
  CHECK(x.as_matrix()(4, 1) == 17.f);
  CHECK(x.as_matrix().dense());
}

TEST_CASE("token and sequence ranges are windows of the same activations", "[core][view][property]") {
  const std::vector<float> values = counting(24);
  const activations_view<const float> x(values, 2, 3, 4);
  const auto tokens = x.token_range(1, 2);
  for (std::size_t s = 0; s < 2; ++s)
    for (std::size_t t = 0; t < 2; ++t) CHECK(tokens(s, t).data() == x(s, t + 1).data());
  CHECK_FALSE(tokens.dense());
  const auto last_sequence = x.sequence_range(1, 1);
  CHECK(last_sequence.sequences == 1);
  CHECK(last_sequence(0, 2).data() == x(1, 2).data());
  CHECK(last_sequence.dense());
  CHECK(last_sequence.token_range(1, 2).as_matrix()(1, 3) == 23.f);  // one sequence: its tokens are evenly spaced
}

TEST_CASE("owning matrices and activations are filled on construction and compare by value",
          "[core][view][worked-example]") {
  float_matrix m(2, 3, 7.f);
  CHECK(m.values == std::vector<float>(6, 7.f));
  m(1, 2) = 1.f;
  CHECK(m.view()(1, 2) == 1.f);
  CHECK(m.row(1)[2] == 1.f);
  CHECK(m.values[5] == 1.f);
  CHECK(m != float_matrix(2, 3, 7.f));
  CHECK(float_matrix(2, 3) != float_matrix(3, 2));  // same values, different shape

  activations x(2, 3, 4);
  CHECK(x.values == std::vector<float>(24, 0.f));
  x.view()(1, 2)[3] = 5.f;
  CHECK(x.values[23] == 5.f);
  CHECK(x != activations(2, 3, 4));
}

TEST_CASE("views work at compile time", "[core][view][property]") {
  static constexpr float values[] = {1, 2, 3, 4};
  constexpr weight_view w(values, 2, 2, 2, 1);
  STATIC_REQUIRE(w.transposed()(0, 1) == 3.f);
  STATIC_REQUIRE(w.dense());
}
