#include <precis/codec/weight_checks.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <limits>

using namespace precis;

TEST_CASE("check_finite names the first weight that is not finite", "[codec][checks][refusal]") {
  float_matrix w(2, 3);
  CHECK_NOTHROW(codec::check_finite(w.view(), "here"));
  w(1, 2) = -std::numeric_limits<float>::infinity();
  CHECK(refusal([&] { codec::check_finite(w.view(), "here"); }) ==
        "here: the weight in row 1, column 2 is -infinity; expected finite weights");
}

TEST_CASE("check_not_negative names the first weight below zero", "[codec][checks][refusal]") {
  float_matrix w(2, 3);
  CHECK_NOTHROW(codec::check_not_negative(w.view(), "here"));
  w(1, 0) = -2;
  CHECK_THROWS_WITH(codec::check_not_negative(w.view(), "here"), ContainsSubstring("row 1, column 0"));
}

TEST_CASE("check_size states the size and the expected size", "[codec][checks][refusal]") {
  const float_matrix w(2, 3);
  CHECK_NOTHROW(codec::check_size("float16", 12, 12, w.view()));
  CHECK(refusal([&] { codec::check_size("float16", 11, 12, w.view()); }) ==
        "codec float16: 11 bytes for a matrix of 2 x 3; expected 12 bytes");
}
