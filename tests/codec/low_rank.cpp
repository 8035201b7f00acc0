#include <precis/codec/low_rank.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;

namespace {

/// Fills a view with the sum of `rank` outer products of small integers.
float_matrix of_rank(std::size_t rank, std::size_t rows, std::size_t cols) {
  float_matrix w(rows, cols);
  for (std::size_t k = 0; k < rank; ++k)
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < cols; ++c)
        w(r, c) += static_cast<float>(r * (k + 3) % 7) * (static_cast<float>(c * (k + 2) % 5) - 2.f);
  return w;
}

template<class Codec>
float_matrix through(weight_view w) {
  std::vector<std::byte> packed(Codec::bytes(w.rows, w.cols));
  Codec::encode(w, packed);
  float_matrix back(w.rows, w.cols);
  Codec::decode(packed, back.view());
  return back;
}

double distance(const float_matrix& a, weight_view b) {
  double squares = 0;
  for (std::size_t r = 0; r < a.rows; ++r)
    for (std::size_t c = 0; c < a.cols; ++c)
      squares += std::pow(static_cast<double>(a(r, c)) - static_cast<double>(b(r, c)), 2);
  return std::sqrt(squares);
}

}  // namespace

TEST_CASE("the size of low_rank is that of both factors", "[codec][low_rank][worked-example]") {
  using quarter = codec::low_rank<25, codec::float16>;
  static_assert(matrix_codec<quarter>);
  CHECK(quarter::name() == "rank25." + std::string(codec::float16::name()));
  // 25 % of 8 is 2: (8 + 12) * 2 halves of two bytes.
  CHECK(quarter::bytes(8, 12) == 80);
  CHECK(quarter::bytes(3, 50) == 2 * (3 + 50));  // never below rank 1
  CHECK(menu<codec::float16, quarter>::bytes(1, 8, 12) == 80);
}

TEST_CASE("low_rank @post: a matrix of rank at most r is exact up to the errors of Inner and float rounding",
          "[codec][low_rank][property]") {
  const float_matrix w = of_rank(2, 8, 12), t = of_rank(2, 12, 8);
  double norm = 0;
  for (const float v : w.values) norm += static_cast<double>(v * v);
  // Halves have eleven significant bits, so each factor has a relative error of 2^-11.
  CHECK(distance(through<codec::low_rank<25, codec::float16>>(w.view()), w.view()) < std::sqrt(norm) * 2 * 0x1p-11);
  CHECK(distance(through<codec::low_rank<25, codec::float16>>(t.view().transposed()), t.view().transposed()) <
        std::sqrt(norm) * 2 * 0x1p-10);
  CHECK(distance(through<codec::low_rank<25, codec::float16>>(float_matrix(8, 12).view()),
                 float_matrix(8, 12).view()) == 0);
}

TEST_CASE("the error of low_rank is that of the omitted singular values", "[codec][low_rank][oracle]") {
  const float_matrix w = of_rank(6, 9, 14);
  const linear_algebra::singular_system s = linear_algebra::singular_values(w.view());
  double tail = 0;
  for (std::size_t r = 3; r < s.count(); ++r) tail += s.values[r] * s.values[r];  // 34 % of 9: rank 3
  const double error = distance(through<codec::low_rank<34, codec::float16>>(w.view()), w.view());
  CHECK(error == Approx(std::sqrt(tail)).epsilon(2e-3));
}
