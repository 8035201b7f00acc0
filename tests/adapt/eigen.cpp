#include <precis/adapt/eigen.hpp>

#include "catch.hpp"

#include <concepts>
#include <numeric>
#include <utility>
#include <vector>

using namespace precis;

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using column_major = Eigen::MatrixXf;

template<class M>
M counted(Eigen::Index rows, Eigen::Index cols) {
  M m(rows, cols);
  for (Eigen::Index r = 0; r < rows; ++r)
    for (Eigen::Index c = 0; c < cols; ++c) m(r, c) = static_cast<typename M::Scalar>(10 * r + c);
  return m;
}

/// Every element of the view is the element of the expression itself, not a copy of it.
template<class View, class Expression>
bool same_memory(const View& view, Expression& m) {
  if (view.rows != static_cast<std::size_t>(m.rows()) || view.cols != static_cast<std::size_t>(m.cols())) return false;
  for (std::size_t r = 0; r < view.rows; ++r)
    for (std::size_t c = 0; c < view.cols; ++c)
      if (&view(r, c) != &m.coeffRef(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c))) return false;
  return true;
}

template<class E>
concept becomes_matrix = requires(E e) { adapt::matrix(static_cast<E>(e)); };
template<class E>
concept becomes_activations = requires(E e) { adapt::activations(static_cast<E>(e), 1); };

}  // namespace

TEMPLATE_TEST_CASE("an Eigen matrix and its precis view are the same memory", "[adapt][eigen][property]", row_major,
                   column_major) {
  auto m = counted<TestType>(3, 4);
  const auto view = adapt::matrix(m);
  STATIC_REQUIRE(std::same_as<decltype(view), const matrix_view<float>>);
  CHECK(same_memory(view, m));
  CHECK(view.dense() == bool(TestType::IsRowMajor));
  view(2, 1) = -5.f;
  CHECK(m(2, 1) == -5.f);
  CHECK(same_memory(adapt::matrix(m.transpose()).transposed(), m));
}

TEMPLATE_TEST_CASE("blocks, maps with strides and references keep their strides", "[adapt][eigen][property]", row_major,
                   column_major) {
  auto m = counted<TestType>(5, 6);
  auto block = m.block(1, 2, 3, 2);
  CHECK(same_memory(adapt::matrix(block), block));
  CHECK(adapt::matrix(m.block(1, 2, 3, 2))(2, 1) == 33.f);  // a temporary that does not own its memory
  auto row = m.row(2);
  CHECK(same_memory(adapt::matrix(row), row));

  Eigen::Ref<TestType> reference = m;
  CHECK(same_memory(adapt::matrix(reference), m));
  Eigen::Map<TestType, 0, Eigen::Stride<Eigen::Dynamic, 2>> map(m.data(), 2, 3, {7, 2});
  CHECK(same_memory(adapt::matrix(map), map));
}

TEST_CASE("vectors and arrays are matrices too", "[adapt][eigen][property]") {
  Eigen::VectorXd column = Eigen::VectorXd::LinSpaced(4, 0, 3);
  CHECK(same_memory(adapt::matrix(column), column));
  CHECK(adapt::matrix(column).cols == 1);
  Eigen::ArrayXXi array = Eigen::ArrayXXi::Constant(2, 3, 7);
  CHECK(same_memory(adapt::matrix(array), array));
}

TEST_CASE("constant Eigen memory gives constant views", "[adapt][eigen][property]") {
  const row_major fixed = counted<row_major>(2, 3);
  STATIC_REQUIRE(std::same_as<decltype(adapt::matrix(fixed)), weight_view>);
  STATIC_REQUIRE(std::same_as<decltype(adapt::matrix(fixed.row(0))), weight_view>);
  STATIC_REQUIRE(
      std::same_as<decltype(adapt::matrix(std::declval<const Eigen::Map<const row_major>&>())), weight_view>);
  CHECK(adapt::matrix(fixed).data == fixed.data());
}

TEST_CASE("temporaries that own their memory, and expressions without memory, are rejected",
          "[adapt][eigen][refusal]") {
  STATIC_REQUIRE(becomes_matrix<row_major&>);
  STATIC_REQUIRE(becomes_matrix<const row_major&>);
  STATIC_REQUIRE(becomes_matrix<Eigen::Map<row_major>>);
  STATIC_REQUIRE(becomes_matrix<Eigen::Ref<row_major>>);
  STATIC_REQUIRE(!becomes_matrix<row_major>);
  STATIC_REQUIRE(!becomes_matrix<const row_major>);
  STATIC_REQUIRE(!becomes_matrix<Eigen::Ref<const row_major>>);           // may hold a copy
  STATIC_REQUIRE(!becomes_matrix<decltype(row_major() + row_major())&>);  // a sum has no memory
  STATIC_REQUIRE(becomes_activations<row_major&>);
  STATIC_REQUIRE(!becomes_activations<row_major>);
}

TEST_CASE("precis views as Eigen maps", "[adapt][eigen][property]") {
  float_matrix m(3, 4);
  std::iota(m.values.begin(), m.values.end(), 0.f);
  const mutable_weight_view views[] = {m.view(), m.view().transposed(), m.view().col_range(1, 2),
                                       m.view().row_range(1, 2).transposed()};
  for (const mutable_weight_view& v : views) {
    auto map = adapt::eigen(v);
    CHECK(same_memory(v, map));
    const auto back = adapt::matrix(map);
    CHECK((back.data == v.data && back.row_stride == v.row_stride && back.col_stride == v.col_stride));
  }
  adapt::eigen(m.view()).col(1).setConstant(-1.f);
  for (std::size_t r = 0; r < 3; ++r) CHECK(m(r, 1) == -1.f);

  const float_matrix& fixed = m;
  STATIC_REQUIRE(std::same_as<decltype(adapt::eigen(fixed.view())), adapt::eigen_map<const float>>);
  CHECK(adapt::eigen(fixed.view()).data() == m.values.data());
}

TEST_CASE("a view with contiguous rows multiplies as Eigen's own", "[adapt][eigen][worked-example]") {
  float_matrix a(2, 3, std::vector<float>{1, 2, 3, 4, 5, 6});
  const auto left = adapt::eigen_rows(a.view().col_range(1, 2));  // [[2, 3], [5, 6]]
  const row_major product = left.lazyProduct(left.transpose());   // left * ...: GCC 12 warns of its own intrinsics
  CHECK(product == (row_major(2, 2) << 13, 28, 28, 61).finished());
  STATIC_REQUIRE(decltype(left)::InnerStrideAtCompileTime == 1);
  CHECK_THROWS_WITH(adapt::eigen_rows(a.view().transposed()), ContainsSubstring("columns 3 elements apart"));
}

TEST_CASE("activations and Eigen share memory both ways", "[adapt][eigen][property]") {
  row_major rows = counted<row_major>(6, 4);  // 2 sequences of 3 tokens
  const auto x = adapt::activations(rows, 2);
  STATIC_REQUIRE(std::same_as<decltype(x), const activations_view<float>>);
  CHECK((x.sequences == 2 && x.tokens == 3 && x.features == 4 && x.dense()));
  CHECK(&x(1, 2)[3] == &rows(5, 3));
  x(1, 0)[0] = 99.f;
  CHECK(rows(3, 0) == 99.f);

  auto map = adapt::eigen(x);
  CHECK((map.data() == rows.data() && map.rows() == 6 && map.cols() == 4));
  map.row(4).setZero();
  CHECK(x(1, 1)[2] == 0.f);

  auto wide = rows.block(0, 1, 6, 2);  // rows with a gap behind them
  const auto part = adapt::activations(wide, 3);
  CHECK(part.token_stride == 4);
  CHECK(&part(2, 1)[1] == &rows(5, 2));
  CHECK(adapt::eigen(part).outerStride() == 4);
}

TEST_CASE("activations that Eigen cannot show are refused", "[adapt][eigen][refusal]") {
  column_major columns = counted<column_major>(6, 4);
  CHECK_THROWS_WITH(adapt::activations(columns, 2), ContainsSubstring("features 6 elements apart"));
  row_major rows = counted<row_major>(6, 4);
  CHECK_THROWS_WITH(adapt::activations(rows, 4), ContainsSubstring("6 rows in 4 sequences"));
  CHECK_THROWS_WITH(adapt::activations(rows, 0), ContainsSubstring("6 rows in 0 sequences"));
  const auto suffix = adapt::activations(rows, 2).token_range(1, 2);
  CHECK_THROWS_WITH(adapt::eigen(suffix), ContainsSubstring("sequences of 2 tokens that are 12 elements apart"));
  CHECK(adapt::eigen(suffix.sequence_range(1, 1)).data() == &rows(4, 0));
}
