#include <precis/core/algorithms.hpp>

#include "catch.hpp"

#include <vector>

TEST_CASE("core/algorithms declares the algorithms on iterators", "[core][algorithms][worked-example]") {
  std::vector<int> v(5);
  std::iota(v.begin(), v.end(), 3);  // 3 4 5 6 7
  CHECK(std::accumulate(v.begin(), v.end(), 0) == 25);
  std::reverse(v.begin(), v.end());
  CHECK(v == std::vector{7, 6, 5, 4, 3});
  std::stable_sort(v.begin(), v.end(), [](int a, int b) { return a % 3 < b % 3; });
  CHECK(v == std::vector{6, 3, 7, 4, 5});
  std::nth_element(v.begin(), v.begin() + 2, v.end());
  CHECK(v[2] == 5);
  CHECK(*std::max_element(v.begin(), v.end()) == 7);
  CHECK(std::clamp(9, 0, 4) == 4);
}
