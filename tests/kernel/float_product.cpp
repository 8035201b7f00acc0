#include <precis/kernel/float_product.hpp>
#include <precis/kernel/lanes_scalar.hpp>

#include "catch.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

using precis::kernel::strided;

enum class order { rows, columns, spread };  ///< which index is contiguous; spread: neither

/// A matrix in its own buffer. Gaps after every row (or column) hold NaN, so reading one into a sum is detected.
template<class T>
struct stored {
  std::vector<T> values;
  std::size_t rows, cols;
  std::ptrdiff_t row_stride, col_stride;

  stored(std::size_t r, std::size_t c, order o, std::uint64_t seed) : rows(r), cols(c) {
    const auto height = static_cast<std::ptrdiff_t>(r), breadth = static_cast<std::ptrdiff_t>(c);
    row_stride = o == order::rows ? breadth + 3 : o == order::columns ? 1 : 2 * breadth + 1;
    col_stride = o == order::rows ? 1 : o == order::columns ? height + 2 : 2;
    values.assign(static_cast<std::size_t>(height * row_stride + breadth * col_stride + 1),
                  std::numeric_limits<T>::quiet_NaN());
    std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (std::size_t i = 0; i < r; ++i)
      for (std::size_t j = 0; j < c; ++j) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const auto mantissa = static_cast<T>(static_cast<std::int32_t>(state >> 32)) * static_cast<T>(0x1p-31);
        (*this)(i, j) = std::ldexp(mantissa, static_cast<int>(state >> 20 & 7) - 4);
      }
  }
  T& operator()(std::size_t i, std::size_t j) {
    return values[i * static_cast<std::size_t>(row_stride) + j * static_cast<std::size_t>(col_stride)];
  }
  [[nodiscard]] strided<const T> view() const { return {values.data(), rows, cols, row_stride, col_stride}; }
  [[nodiscard]] strided<T> mutable_view() { return {values.data(), rows, cols, row_stride, col_stride}; }
};

/// The definition: one fused sum per element, in order.
template<class T>
T element(strided<const T> a, strided<const T> b, std::size_t i, std::size_t j, T start) {
  T sum = start;
  for (std::size_t k = 0; k < a.cols; ++k) sum = std::fma(*a.at(i, k), *b.at(k, j), sum);
  return sum;
}

template<class T>
bool same(T x, T y) {
  return x == y ? std::signbit(x) == std::signbit(y) : std::isnan(x) && std::isnan(y);
}

struct shape {
  std::size_t rows, inner, cols;
};

template<class Lanes>
std::size_t wrong_elements(shape s, order oa, order ob, order oc, std::size_t workspace_size) {
  using value = typename Lanes::value;
  const stored<value> a(s.rows, s.inner, oa, 1), b(s.inner, s.cols, ob, 2), bias(1, s.cols, order::rows, 4);
  stored<value> zero(s.rows, s.cols, oc, 3), onto = zero, biased = zero;
  const stored<value> before = onto;
  std::vector<value> workspace(workspace_size, std::numeric_limits<value>::quiet_NaN());

  precis::kernel::product<Lanes>(a.view(), b.view(), zero.mutable_view(), workspace);
  precis::kernel::product_add<Lanes>(a.view(), b.view(), onto.mutable_view(), workspace);
  precis::kernel::product_onto<Lanes>({bias.values.data(), s.rows, s.cols, 0, 1}, a.view(), b.view(),
                                      biased.mutable_view(), workspace);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < s.rows; ++i)
    for (std::size_t j = 0; j < s.cols; ++j) {
      wrong += !same(zero(i, j), element(a.view(), b.view(), i, j, value{0}));
      wrong += !same(onto(i, j), element(a.view(), b.view(), i, j, *before.view().at(i, j)));
      wrong += !same(biased(i, j), element(a.view(), b.view(), i, j, *bias.view().at(0, j)));
    }
  // Gaps between the elements of c must not be written.
  std::size_t gaps = 0;
  for (const value x : zero.values) gaps += std::isnan(x);
  return wrong + (gaps == zero.values.size() - s.rows * s.cols ? 0 : 1);
}

const std::vector<shape> shapes{{1, 1, 1},     {1, 7, 5},     {8, 32, 48},   {9, 33, 49},   {7, 300, 17}, {16, 256, 64},
                                {3, 513, 97},  {23, 31, 101}, {40, 257, 15}, {13, 19, 400}, {65, 5, 33},  {2, 600, 1},
                                {1, 40, 1000}, {100, 1, 16},  {11, 64, 112}, {17, 20, 63},  {5, 0, 9}};

}  // namespace

TEMPLATE_TEST_CASE("product is the fused sum in order, bit for bit, for every shape and stride",
                   "[kernel][product][oracle]", precis::kernel::native_lanes, precis::kernel::scalar_lanes,
                   precis::kernel::native_double_lanes, precis::kernel::scalar_double_lanes) {
  for (const shape s : shapes)
    for (const order oa : {order::rows, order::columns, order::spread})
      for (const order ob : {order::rows, order::columns, order::spread})
        for (const order oc : {order::rows, order::columns}) {
          CAPTURE(s.rows, s.inner, s.cols, static_cast<int>(oa), static_cast<int>(ob), static_cast<int>(oc));
          CHECK(wrong_elements<TestType>(s, oa, ob, oc, precis::kernel::product_workspace) == 0);
        }
}

TEST_CASE("product does not depend on the size of the workspace", "[kernel][product][property]") {
  for (const shape s : {shape{20, 300, 500}, shape{50, 100, 200}})
    for (const std::size_t more : {0u, 1u, 5000u, 30000u})
      CHECK(wrong_elements<precis::kernel::native_lanes>(s, order::columns, order::columns, order::rows,
                                                         precis::kernel::least_product_workspace + more) == 0);
}

TEST_CASE("product @post: any subset of the rows of a gives the same subset of the rows of c",
          "[kernel][product][property]") {
  const shape s{37, 130, 90};
  const stored<float> a(s.rows, s.inner, order::rows, 5), b(s.inner, s.cols, order::columns, 6);
  stored<float> all(s.rows, s.cols, order::rows, 7);
  std::vector<float> workspace(precis::kernel::product_workspace);
  precis::kernel::product(a.view(), b.view(), all.mutable_view(), workspace);

  for (std::size_t first = 0; first < s.rows; first += 5)
    for (std::size_t count = 1; first + count <= s.rows; count += 7) {
      stored<float> part(count, s.cols, order::rows, 8);
      const strided<const float> rows{a.view().at(first, 0), count, s.inner, a.row_stride, a.col_stride};
      precis::kernel::product(rows, b.view(), part.mutable_view(), workspace);
      bool equal = true;
      for (std::size_t i = 0; i < count; ++i)
        for (std::size_t j = 0; j < s.cols; ++j) equal = equal && same(part(i, j), all(first + i, j));
      CHECK(equal);
    }
}

TEMPLATE_TEST_CASE("lanes transpose a tile, and partial loads and stores touch only their elements",
                   "[kernel][lanes][worked-example]", precis::kernel::native_lanes,
                   precis::kernel::native_double_lanes) {
  using lanes = TestType;
  using value = typename lanes::value;
  constexpr std::size_t n = lanes::width;
  std::vector<value> tile(n * n), turned(n * n);
  for (std::size_t i = 0; i < n * n; ++i) tile[i] = static_cast<value>(i);
  typename lanes::vector rows[n];
  for (std::size_t i = 0; i < n; ++i) rows[i] = lanes::load(tile.data() + i * n);
  lanes::transpose(rows);
  for (std::size_t i = 0; i < n; ++i) lanes::store(turned.data() + i * n, rows[i]);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) CHECK(turned[i * n + j] == tile[j * n + i]);

  for (std::size_t part = 0; part < n; ++part) {
    std::vector<value> to(n, value{-1});
    lanes::store_part(to.data(), lanes::load(tile.data()), part);
    for (std::size_t i = 0; i < n; ++i) CHECK(to[i] == (i < part ? tile[i] : value{-1}));
    lanes::store(to.data(), lanes::load_part(tile.data(), part));
    for (std::size_t i = 0; i < n; ++i) CHECK(to[i] == (i < part ? tile[i] : value{0}));
  }
}
