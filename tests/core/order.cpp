#include <precis/core/order.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

using namespace precis;

TEST_CASE("ascending_order @post: the order of std::stable_sort", "[core][order][oracle]") {
  std::vector<int> values;
  for (unsigned i = 0; i < 200; ++i) {
    values.push_back(static_cast<int>(i * 2654435761u >> 28));  // sixteen different ones
    std::vector<std::size_t> expected(values.size());
    for (std::size_t k = 0; k < expected.size(); ++k) expected[k] = k;
    std::stable_sort(expected.begin(), expected.end(),
                     [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    REQUIRE(ascending_order(values.size(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; }) ==
            expected);
  }
  CHECK(ascending_order(0, [](std::size_t, std::size_t) { return true; }).empty());
}
