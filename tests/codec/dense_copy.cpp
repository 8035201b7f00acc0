#include <precis/codec/dense_copy.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;

namespace {

/// A matrix whose elements are 0, 1, 2, ... row by row.
float_matrix counted(std::size_t rows, std::size_t cols) {
  float_matrix m(rows, cols);
  for (std::size_t i = 0; i < m.values.size(); ++i) m.values[i] = static_cast<float>(i);
  return m;
}

}  // namespace

TEST_CASE("copy_values copies element by element between any strides", "[codec][dense_copy][oracle]") {
  // One tile of 16 x 16, several, and partial ones; a single row, a single column, nothing.
  struct shape {
    std::size_t rows, cols;
  };
  for (const shape s : {shape{16, 16}, shape{40, 33}, shape{5, 17}, shape{1, 20}, shape{20, 1}, shape{0, 3}}) {
    CAPTURE(s.rows, s.cols);
    const float_matrix m = counted(s.rows, s.cols);
    float_matrix turned(s.cols, s.rows);
    codec::copy_values(m.view(), turned.view().transposed());
    for (std::size_t r = 0; r < s.rows; ++r)
      for (std::size_t c = 0; c < s.cols; ++c) REQUIRE(turned(c, r) == m(r, c));
    float_matrix back(s.rows, s.cols);
    codec::copy_values(turned.view().transposed(), back.view());
    CHECK(back == m);
  }
}

TEST_CASE("copy_values writes only elements of the target", "[codec][dense_copy][worked-example]") {
  std::vector<float> into(8, -1.f);  // rows of two, columns two apart
  codec::copy_values(counted(2, 2).view(), {into.data(), 2, 2, 4, 2});
  CHECK(into == std::vector<float>{0, -1, 1, -1, 2, -1, 3, -1});
}

TEST_CASE("with_contiguous_rows: the matrix itself if its rows are contiguous, otherwise a dense copy",
          "[codec][dense_copy][worked-example]") {
  const float_matrix m = counted(3, 4);
  CHECK(codec::with_contiguous_rows(m.view()).view().data == m.values.data());
  const weight_view part = m.view().col_range(1, 2);  // rows four floats apart are still contiguous
  CHECK(codec::with_contiguous_rows(part).view().data == part.data);
  CHECK(codec::with_contiguous_rows(part).view().row_stride == 4);

  const codec::with_contiguous_rows turned(m.view().transposed());
  CHECK(turned.view().data != m.values.data());
  REQUIRE((turned.view().rows == 4 && turned.view().cols == 3 && turned.view().dense()));
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t c = 0; c < 3; ++c) CHECK(turned.view()(r, c) == m(c, r));
}
