#include <precis/kernel/constants.hpp>

#include "catch.hpp"

#include <array>
#include <cstddef>
#include <vector>

using precis::kernel::for_constants;

TEST_CASE("for_constants calls f with the constants 0 ... N - 1, in order", "[kernel][constants][worked-example]") {
  std::vector<std::size_t> seen;
  for_constants<4>([&](auto i) {
    std::array<int, i + 1> of_that_size{};  // compiles only if i is a constant
    seen.push_back(of_that_size.size());
  });
  CHECK(seen == std::vector<std::size_t>{1, 2, 3, 4});
}

TEST_CASE("for_constants of no constants calls nothing", "[kernel][constants][worked-example]") {
  bool called = false;
  for_constants<0>([&](auto) { called = true; });
  CHECK_FALSE(called);
}
