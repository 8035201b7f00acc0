#include <precis/measure/lane_sum.hpp>

#include "catch.hpp"

#include <cstddef>

using precis::measure::lane_sum;

TEST_CASE("lane_sum adds every addend once", "[measure][lane_sum][oracle]") {
  for (const std::size_t count : {0u, 1u, 15u, 16u, 17u, 100u}) {
    lane_sum sum;
    sum.add(count, [](std::size_t i) { return static_cast<double>(i * i); });
    double expected = 0;  // integers below 2^53: exact in any order
    for (std::size_t i = 0; i < count; ++i) expected += static_cast<double>(i * i);
    CHECK(sum.value() == expected);
  }
}

TEST_CASE("lane_sum has a fixed order of addition: lane i mod 16, then a tree", "[measure][lane_sum][worked-example]") {
  // In double 1 + 2^-53 rounds to 1, but 2^-53 + 2^-53 is exact. Addends 0 and 16 share a lane, addends 1 and 9 meet in
  // the first level of the tree.
  const auto sum_of = [](std::size_t one_at, std::size_t small_at, std::size_t small_too_at) {
    lane_sum sum;
    sum.add(32, [&](std::size_t i) { return i == one_at ? 1.0 : i == small_at || i == small_too_at ? 0x1p-53 : 0.0; });
    return sum.value();
  };
  CHECK(sum_of(0, 16, 1) == 1);            // 1 absorbs each in turn
  CHECK(sum_of(0, 1, 17) == 1 + 0x1p-52);  // the small ones share a lane
  CHECK(sum_of(0, 1, 9) == 1 + 0x1p-52);   // the small ones meet before the 1
  lane_sum twice;
  twice.add(1, [](std::size_t) { return 1.5; });
  twice.add(2, [](std::size_t) { return 2.0; });
  CHECK(twice.value() == 5.5);
}
