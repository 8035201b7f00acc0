#include <precis/kernel/input_vectors.hpp>

#include "packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cstring>

using namespace precis;
using namespace precis::kernel;
using namespace packed_tests;

TEST_CASE("input_vectors prepare what as_floats and as_bytes prepare, within their workspace", "[kernel][property]") {
  for (const std::size_t in : {1u, 31u, 32u, 100u, 128u, 300u}) {
    const std::size_t n = 3;
    const auto x = normal(n * in, in);
    const strided<const float> rows(x.data(), n, in, static_cast<std::ptrdiff_t>(in), 1);
    std::vector<float> of_floats(input_workspace<float>(n, in) + 1, 7.f),
        of_bytes(input_workspace<std::int8_t>(n, in) + 1, 7.f);
    input_vectors<float> floats(rows, std::span(of_floats).first(of_floats.size() - 1));
    input_vectors<std::int8_t> bytes(rows, std::span(of_bytes).first(of_bytes.size() - 1));
    for (const std::size_t segment : {32u, 64u, 96u, 128u})
      for (std::size_t i = 0; i < n; ++i) {
        CAPTURE(in, segment, i);
        const std::span<const float> vector(x.data() + i * in, in);
        const std::size_t count = (in + segment - 1) / segment;
        std::vector<float> one(float_activation_workspace(in, segment)), two(byte_activation_workspace(in, segment));
        const float_activations a = floats.prepared(i, segment), b = as_floats(vector, segment, one);
        CHECK(a.values == b.values);
        CHECK((a.in == in && a.segment == segment));
        CHECK(std::equal(a.sums, a.sums + count, b.sums));
        CHECK(std::equal(a.last_values, a.last_values + segment, b.last_values));
        const byte_activations c = bytes.prepared(i, segment), d = as_bytes(vector, segment, two);
        CHECK((c.in == in && c.segment == segment));
        CHECK(std::equal(c.sums, c.sums + count, d.sums));
        CHECK(std::equal(c.scales, c.scales + count, d.scales));
        CHECK(std::memcmp(c.codes, d.codes, (in + 31) / 32 * 32) == 0);
        (void)bytes.floats(i, codebook_segment);
        const auto rounded = bytes.rounded(i);
        const byte_activations e = bytes.prepared(i, 128);
        for (std::size_t k = 0; k < in; ++k) CHECK(rounded[k] == e.scales[k / 128] * static_cast<float>(e.codes[k]));
      }
    CHECK(of_floats.back() == 7.f);  // nothing was written beyond the workspace
    CHECK(of_bytes.back() == 7.f);
  }
}
