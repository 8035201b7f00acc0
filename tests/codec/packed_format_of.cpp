#include <precis/codec/packed_format_of.hpp>

#include <precis/codec.hpp>

#include "catch.hpp"

using namespace precis;
using namespace precis::codec;

namespace {

/// The name and the type of a codec must state the same format, of the same size.
template<class Codec>
void check() {
  CAPTURE(Codec::name());
  const auto stated = packed_format_of<Codec>(), read = kernel::parse_format(Codec::name());
  REQUIRE(stated.has_value());
  REQUIRE(read.has_value());
  CHECK(*stated == *read);
  for (const std::size_t out : {1u, 16u, 37u})
    for (const std::size_t in : {32u, 64u, 160u}) CHECK(read->bytes(out, in) == Codec::bytes(out, in));
}
template<class... Codecs>
void check_all() {
  (check<Codecs>(), ...);
}

struct nobody {
  static std::string name() { return "nobody"; }
};

}  // namespace

TEST_CASE("the name of every codec and its type state the same format and size", "[codec][property]") {
  check_all<float32, float16, bfloat16, q4_0, q4_1, q5_0, q5_1, q8_0>();
  check_all<affine<4, 32>, affine<3, 20, scale_type::float16>, symmetric<8>, symmetric_full<2, per_tensor>,
            min_anchored<5, 64>, e4m3<32>, e2m1<per_row>, codec::log2<4, 32>>();
  check_all<codebook<4>, codebook_with_zero<3, per_row>, codebook<2, per_row, scale_type::float16>>();
  check_all<keep_of<2, 4, float16>, keep_of<3, 7, affine<4, 20>>, keep_of<1, 4, codebook_with_zero<4>>,
            bitmap<50, symmetric<8, 32>>, bitmap<10, bfloat16>, bitmap<25, codebook_with_zero<2>>>();
  check_all<low_rank<50, float16>, low_rank<25, affine<8, 32>>, low_rank<100, keep_of<2, 4, symmetric<4, 32>>>>();
}

TEST_CASE("codecs that no kernel knows have no format", "[codec]") {
  CHECK_FALSE(packed_format_of<nobody>().has_value());
  CHECK_FALSE(packed_format_of<low_rank<50, low_rank<50, float16>>>().has_value());
  CHECK_FALSE(packed_format_of<keep_of<2, 4, keep_of<2, 4, float16>>>().has_value());
}

TEST_CASE("the standard menu states the format of every entry", "[codec][property]") {
  for (std::size_t i = 0; i < standard::size; ++i) {
    CAPTURE(standard::name(i));
    CHECK(standard::packed_format(i) == kernel::parse_format(standard::name(i)));
    CHECK(standard::packed_format(i)->bytes(48, 96) == standard::bytes(i, 48, 96));
  }
}
