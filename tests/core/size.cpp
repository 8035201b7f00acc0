#include <precis/core/size.hpp>

#include "catch.hpp"

#include <cmath>

using precis::size_report;

TEST_CASE("ratio, reduction and effective bits of 1000 float weights in 4160 bits", "[core][size][worked-example]") {
  const size_report s{.weights = 1000, .original_bytes = 4000, .packed_bytes = 4160 / 8};
  CHECK(s.compression_ratio() == Approx(7.6923).epsilon(1e-5));
  CHECK(s.percent_reduction() == Approx(87.0).epsilon(1e-12));
  CHECK(s.bits_per_weight() == Approx(4.16).epsilon(1e-12));
}

TEST_CASE("sizes add up, and an empty size is defined", "[core][size][property]") {
  size_report sum{.weights = 10, .original_bytes = 40, .packed_bytes = 5};
  sum += {.weights = 30, .original_bytes = 120, .packed_bytes = 75};
  CHECK(sum == size_report{.weights = 40, .original_bytes = 160, .packed_bytes = 80});
  CHECK(sum.compression_ratio() == 2);
  CHECK(std::isinf(size_report{}.compression_ratio()));
  CHECK(size_report{}.percent_reduction() == 0);
  CHECK(size_report{}.bits_per_weight() == 0);
  CHECK(size_report{.weights = 1, .original_bytes = 4, .packed_bytes = 8}.percent_reduction() ==
        -100);  // the model grew
}
