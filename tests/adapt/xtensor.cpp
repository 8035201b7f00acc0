#include <precis/adapt/xtensor.hpp>

#include "catch.hpp"

#if __has_include(<xtensor/views/xview.hpp>)
#include <xtensor/views/xview.hpp>
#else
#include <xtensor/xview.hpp>
#endif

#include <concepts>
#include <numeric>
#include <utility>
#include <vector>

using namespace precis;

namespace {

template<class View, class Expression>
bool same_memory(const View& view, Expression& m) {
  if (view.rows != m.shape()[0] || view.cols != m.shape()[1]) return false;
  for (std::size_t r = 0; r < view.rows; ++r)
    for (std::size_t c = 0; c < view.cols; ++c)
      if (&view(r, c) != &m(r, c)) return false;
  return true;
}

template<class View, class Expression>
bool same_activations(const View& view, Expression& x) {
  if (view.sequences != x.shape()[0] || view.tokens != x.shape()[1] || view.features != x.shape()[2]) return false;
  for (std::size_t s = 0; s < view.sequences; ++s)
    for (std::size_t t = 0; t < view.tokens; ++t)
      for (std::size_t f = 0; f < view.features; ++f)
        if (&view(s, t)[f] != &x(s, t, f)) return false;
  return true;
}

template<class E>
concept becomes_matrix = requires(E e) { adapt::matrix(static_cast<E>(e)); };
template<class E>
concept becomes_activations = requires(E e) { adapt::activations(static_cast<E>(e)); };

using fixed_rank = xt::xtensor<float, 2>;
using column_major = xt::xtensor<float, 2, xt::layout_type::column_major>;
using any_rank = xt::xarray<float>;
using any_layout = xt::xarray<float, xt::layout_type::dynamic>;

}  // namespace

TEMPLATE_TEST_CASE("an xtensor container and its precis view are the same memory", "[adapt][xtensor][property]",
                   fixed_rank, column_major, any_rank, any_layout) {
  TestType m = xt::ones<float>({3, 4});
  const auto view = adapt::matrix(m);
  STATIC_REQUIRE(std::same_as<decltype(view), const matrix_view<float>>);
  CHECK(same_memory(view, m));
  view(2, 1) = -5.f;
  CHECK(m(2, 1) == -5.f);
  CHECK(same_memory(view.transposed().transposed(), m));

  const TestType& fixed = m;
  STATIC_REQUIRE(std::same_as<decltype(adapt::matrix(fixed)), weight_view>);
  CHECK(adapt::matrix(fixed).data == m.data());
}

TEST_CASE("slices, adaptors and single rows keep their offsets and strides", "[adapt][xtensor][property]") {
  fixed_rank m = xt::ones<float>({5, 6});
  auto slice = xt::view(m, xt::range(1, 4), xt::range(2, 6, 2));
  CHECK(same_memory(adapt::matrix(slice), slice));
  CHECK(adapt::matrix(slice).col_stride == 2);
  auto row = xt::view(m, xt::range(3, 4), xt::all());
  CHECK(same_memory(adapt::matrix(row), row));

  std::vector<double> values(12);
  auto adaptor = xt::adapt(values, std::array<std::size_t, 2>{4, 3});
  CHECK(same_memory(adapt::matrix(adaptor), adaptor));
  CHECK(adapt::matrix(adaptor).data == values.data());
}

TEST_CASE("xtensor temporaries are rejected, lvalues of the wrong rank refused", "[adapt][xtensor][refusal]") {
  STATIC_REQUIRE(becomes_matrix<fixed_rank&>);
  STATIC_REQUIRE(becomes_matrix<const any_rank&>);
  STATIC_REQUIRE(!becomes_matrix<fixed_rank>);
  STATIC_REQUIRE(!becomes_matrix<const fixed_rank>);
  STATIC_REQUIRE(!becomes_matrix<any_rank>);
  STATIC_REQUIRE(!becomes_matrix<decltype(std::declval<fixed_rank&>() + std::declval<fixed_rank&>())&>);
  STATIC_REQUIRE(becomes_activations<any_rank&>);
  STATIC_REQUIRE(!becomes_activations<any_rank>);

  any_rank three = xt::ones<float>({2, 3, 4});
  CHECK_THROWS_WITH(adapt::matrix(three), ContainsSubstring("3 dimensions; expected 2"));
  any_rank two = xt::ones<float>({2, 3});
  CHECK_THROWS_WITH(adapt::activations(two), ContainsSubstring("2 dimensions; expected 3"));
}

TEST_CASE("precis views as xtensor expressions", "[adapt][xtensor][property]") {
  float_matrix m(3, 4);
  std::iota(m.values.begin(), m.values.end(), 0.f);
  const mutable_weight_view views[] = {m.view(), m.view().transposed(), m.view().col_range(1, 2),
                                       m.view().row_range(1, 1), m.view().col_range(2, 1)};
  for (const mutable_weight_view& v : views) {
    auto expression = adapt::xtensor(v);
    CHECK(same_memory(v, expression));
    CHECK(same_memory(adapt::matrix(expression), expression));
  }
  auto transposed = adapt::xtensor(m.view().transposed());
  const fixed_rank doubled = 2.f * transposed;  // computes with the strides
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t c = 0; c < 3; ++c) CHECK(doubled(r, c) == 2.f * m(c, r));
  auto part = adapt::xtensor(m.view().row_range(1, 2));
  part = xt::zeros<float>({2, 4});
  CHECK(m.values == std::vector<float>{0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0});

  const float_matrix& fixed = m;
  auto constant = adapt::xtensor(fixed.view());
  STATIC_REQUIRE(std::same_as<decltype(constant(0, 0)), const float&>);
  CHECK(same_memory(fixed.view(), constant));

  float_matrix none(0, 4);
  CHECK(adapt::xtensor(none.view()).size() == 0);
}

TEST_CASE("an axis of one element broadcasts", "[adapt][xtensor][property]") {
  float_matrix row(1, 3, std::vector<float>{1, 2, 3});
  const fixed_rank sum = adapt::xtensor(row.view()) + xt::ones<float>({2, 3});
  CHECK(sum == fixed_rank{{2, 3, 4}, {2, 3, 4}});
}

TEST_CASE("activations and xtensor share memory both ways", "[adapt][xtensor][property]") {
  xt::xtensor<float, 3> x = xt::ones<float>({2, 3, 4});
  const auto view = adapt::activations(x);
  STATIC_REQUIRE(std::same_as<decltype(view), const activations_view<float>>);
  CHECK(view.dense());
  CHECK(same_activations(view, x));
  view(1, 2)[3] = 7.f;
  CHECK(x(1, 2, 3) == 7.f);

  auto tokens = xt::view(x, xt::all(), xt::range(1, 3), xt::all());
  CHECK(same_activations(adapt::activations(tokens), tokens));
  auto suffix = adapt::xtensor(view.token_range(1, 2));
  CHECK(same_activations(view.token_range(1, 2), suffix));
  suffix(0, 1, 0) = -3.f;
  CHECK(x(0, 2, 0) == -3.f);

  activations owned(1, 2, 3);
  auto mine = adapt::xtensor(owned.view());
  CHECK(same_activations(owned.view(), mine));
  CHECK(adapt::activations(mine).data == owned.values.data());
  const activations& fixed = owned;
  auto constant = adapt::xtensor(fixed.view());
  STATIC_REQUIRE(std::same_as<decltype(adapt::activations(constant)), activations_view<const float>>);
}

TEST_CASE("features that are not neighbours, and negative strides, are refused", "[adapt][xtensor][refusal]") {
  xt::xtensor<float, 3, xt::layout_type::column_major> x = xt::ones<float>({2, 3, 4});
  CHECK_THROWS_WITH(adapt::activations(x), ContainsSubstring("features 6 elements apart"));
  xt::xtensor<float, 3, xt::layout_type::column_major> lone = xt::ones<float>({2, 3, 1});
  CHECK(adapt::activations(lone).features == 1);

  float_matrix m(2, 3);
  CHECK_THROWS_WITH(adapt::xtensor(matrix_view<float>(m.values.data() + 2, 2, 3, 3, -1)),
                    ContainsSubstring("a stride of -1"));
}
