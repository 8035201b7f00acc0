#include <precis/fit/rounding_variables.hpp>

#include <precis/fit/gptq.hpp>

#include "codec/encoded.hpp"
#include "fit/encoded_matrix.hpp"

#include "catch.hpp"

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

using namespace precis;
using encoded::encoded_matrix;

TEST_CASE("rounding variables: one step by hand", "[fit][rounding_variables][worked-example]") {
  // Codes -2 ... 1 of step 4/3. The last two weights are 0.3 and 0.675 steps, which round to 0 and 1; after one step of
  // 1/4 along the signs of their gradients they are 0.55 and 0.425 and round to 1 and 0.
  const kernel::packed_format f(
      kernel::grid_format{.rule = codec::grid_rule::symmetric_full, .code_bits = 2, .group = 4});
  float_matrix w(1, 4);
  w.values = {-2.f, 0.f, 0.4f, 0.9f};
  std::vector<std::byte> packed(f.grid.layout_of(1, 4).bytes);
  codec::encode(f.grid, w.view(), packed);
  float_matrix decoded(1, 4);
  codec::decode(f.grid, packed, decoded.view());
  fit::rounding_variables v(f, w.view(), std::as_const(decoded).view(), packed);
  for (std::size_t c = 0; c < 4; ++c) CHECK(v.values(0, c) == Approx(decoded(0, c)).margin(1e-6));
  const float step = 2.f / 1.5f;
  CHECK(v.values(0, 2) == Approx(0.f).margin(1e-6));  // 0.4 / step = 0.3
  CHECK(v.values(0, 3) == Approx(step));              // 0.675 rounds to 1
  v.gradient.values = {1.f, 0.f, -3.f, 2.f};
  v.descend(0.25f);  // V = (-0.25, 0, 0.25, -0.25): -1.75 -> -2, 0, 0.55 -> 1, 0.425 -> 0
  CHECK(v.values(0, 1) == Approx(0.f).margin(1e-6));
  CHECK(v.values(0, 2) == Approx(step));
  CHECK(v.values(0, 3) == Approx(0.f).margin(1e-6));
  v.gradient.values = {0.f, 0.f, -1.f, -1.f};
  for (int i = 0; i < 8; ++i) v.descend(0.25f);  // V <= 1/2: 0.3 + 0.5 and 0.675 + 0.5 both round to 1
  CHECK(v.values(0, 2) == Approx(step));
  CHECK(v.values(0, 3) == Approx(step));
}

TEST_CASE("rounding variables start from codes that other fits chose", "[fit][rounding_variables][property]") {
  const float_matrix w = encoded::weights(4, 256);
  const measure::gram g = measure::gram_of({std::span<const float>(encoded::weights(512, 256).values), 1, 512, 256});
  const fit::compensation by = fit::compensate(g.sum);
  for (const char* const name :
       {"affine3.g64.h", "symmetric4.g32", "q3_k", "q4_k", "iq4_nl", "mxfp4", "q4_0", "q5_1"}) {
    CAPTURE(name);
    encoded_matrix m(name, w);
    fit::gptq{}(m.format, w.view(), {&g, &by, nullptr}, m.packed);
    m.decode();
    std::vector<std::byte> again(m.packed.size());
    const fit::rounding_variables v = m.variables(w);
    for (std::size_t i = 0; i < w.values.size(); ++i)
      REQUIRE(static_cast<double>(v.values.values[i]) == Approx(static_cast<double>(m.decoded.values[i])).margin(1e-6));
    again = m.packed;
    v.store(again);
    CHECK(again == m.packed);
  }
}
