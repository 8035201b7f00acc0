#include <precis/kernel/dense_format.hpp>

#include "catch.hpp"

using namespace precis::kernel;

TEST_CASE("bytes per element of uncompressed floats", "[kernel][worked-example]") {
  CHECK(bytes_of(dense_type::float32) == 4);
  CHECK(bytes_of(dense_type::float16) == 2);
  CHECK(bytes_of(dense_type::bfloat16) == 2);
}
