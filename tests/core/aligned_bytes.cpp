#include <precis/core/aligned_bytes.hpp>

#include "catch.hpp"

#include <cstdint>

TEST_CASE("packed bytes start at a cache line, also when they grow", "[core][property]") {
  precis::aligned_bytes bytes;
  for (std::size_t n = 1; n < 5000; n = 3 * n + 1) {
    bytes.resize(n);
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64 == 0);
  }
}
