#include <precis/kernel/dispatch_level.hpp>

#include "catch.hpp"

using namespace precis;
using dispatch::level;

TEST_CASE("the level in use is the best that is supported, until another one is chosen", "[kernel][dispatch]") {
  CHECK(dispatch::supports(level::baseline));
  CHECK(dispatch::supports(dispatch::best()));
  dispatch::use(dispatch::best());
  CHECK(dispatch::current() == dispatch::best());
  dispatch::use(level::baseline);
  CHECK(dispatch::current() == level::baseline);
  dispatch::use(dispatch::best());
}

TEST_CASE("no level above the best one is supported", "[kernel][dispatch]") {
  for (const level l : {level::sse4, level::avx2, level::avx_vnni, level::avx512, level::avx512_vnni, level::dotprod})
    if (l > dispatch::best()) CHECK_FALSE(dispatch::supports(l));
}
