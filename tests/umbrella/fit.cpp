#include <precis/fit.hpp>

#include <precis/codec/symmetric.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;

TEST_CASE("precis/fit.hpp: nearest writes what the codec itself encodes", "[precis][fit][property]") {
  const std::vector<float> weights{1.f, -0.5f, 0.25f, 2.f, 0.f, -1.f, 0.75f, -2.f};
  const weight_view w(weights, 2, 4);
  using format = codec::symmetric<4>;
  std::vector<std::byte> fitted(format::bytes(2, 4)), encoded(format::bytes(2, 4), std::byte{0xFF});
  fit::nearest{}(format::format, w, fitted);
  format::encode(w, encoded);
  CHECK(fitted == encoded);
}
