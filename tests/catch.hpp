#pragma once

// Catch2 in version 2 (one header, as in Debian 12) or version 3. Tests include this file and use only what both
// versions share: TEST_CASE, CHECK*, REQUIRE*, SECTION, GENERATE, Approx, and the matchers below.

#if __has_include(<catch2/catch_all.hpp>)

#include <catch2/catch_all.hpp>
using Catch::Approx;

#else

#define CATCH_CONFIG_FAST_COMPILE  // a CHECK does not catch what its expression throws: the test case does
#include <catch2/catch.hpp>

namespace Catch::Matchers {
inline auto ContainsSubstring(const std::string& part) { return Contains(part); }  // v3's name for it
}  // namespace Catch::Matchers

#endif

using Catch::Matchers::ContainsSubstring;
