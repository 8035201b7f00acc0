#include <precis/fit/gptq.hpp>

#include <precis/codec/standard_menu.hpp>

#include "codec/encoded.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <string>
#include <vector>

using namespace precis;
using codec::standard;

namespace {

constexpr std::size_t out = 20, in = 256;

measure::gram correlated() {
  const float_matrix noise = encoded::weights(2 * in, in);
  std::vector<float> x(noise.values);
  for (std::size_t t = 0; t < 2 * in; ++t)
    for (std::size_t i = 1; i < in; ++i) x[t * in + i] += 0.9f * x[t * in + i - 1];
  return measure::gram_of({std::span<const float>(x), 1, 2 * in, in});
}

}  // namespace

TEST_CASE("gptq @post: never worse than nearest rounding, in every format that it serves", "[fit][gptq][property]") {
  const measure::gram g = correlated();
  const fit::compensation by = fit::compensate(g.sum), by_eights = fit::compensate(g.sum, {.unit = 8});
  const float_matrix w = encoded::weights(out, in);
  std::size_t served = 0, compensated = 0;
  for (const std::string& name : standard::names()) {
    const std::size_t entry = standard::index_of(name);
    const auto format = standard::packed_format(entry);
    if (!format || !fit::gptq::serves(*format)) continue;
    if (name.starts_with("affine") && name.find(".g64") == std::string::npos) continue;  // one group is enough
    CAPTURE(name);
    std::vector<std::byte> packed(standard::bytes(entry, out, in)), plain(packed.size());
    const fit::fitted report = fit::gptq{}(*format, w.view(), {&g, &by, &by_eights}, packed);
    float_matrix decoded(out, in), nearest(out, in);
    standard::decode(entry, packed, decoded.view());
    standard::encode(entry, w.view(), plain);
    standard::decode(entry, plain, nearest.view());
    const double stored = fit::compensated_error(w.view(), decoded.view(), g.sum, by.ridge);
    CHECK(stored == Approx(report.error).epsilon(1e-2));
    CHECK(stored <= fit::compensated_error(w.view(), nearest.view(), g.sum, by.ridge) * (1 + 1e-5));
    CHECK(report.error <= report.nearest_error);
    served += 1;
    compensated += report.compensated ? 1u : 0u;
  }
  CHECK(served > 60);
  CHECK(compensated > 55);
}

TEST_CASE("gptq lowers the error of points of code books", "[fit][gptq]") {
  const measure::gram g = correlated();
  const fit::compensation by = fit::compensate(g.sum), by_eights = fit::compensate(g.sum, {.unit = 8});
  const float_matrix w = encoded::weights(out, in);
  for (const char* name : {"iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s"}) {
    CAPTURE(name);
    const std::size_t entry = standard::index_of(name);
    std::vector<std::byte> packed(standard::bytes(entry, out, in));
    const fit::fitted report = fit::gptq{}(*standard::packed_format(entry), w.view(), {&g, &by, &by_eights}, packed);
    float_matrix decoded(out, in);
    standard::decode(entry, packed, decoded.view());
    CHECK(report.compensated);
    CHECK(report.error < 0.75 * report.nearest_error);
    CHECK(report.error == Approx(fit::compensated_error(w.view(), decoded.view(), g.sum, by.ridge)).epsilon(1e-2));
  }
}

TEST_CASE("gptq halves the error of K-quants on correlated inputs", "[fit][gptq]") {
  const measure::gram g = correlated();
  const fit::compensation by = fit::compensate(g.sum);
  const float_matrix w = encoded::weights(out, in);
  for (const char* name : {"q2_k", "q3_k", "q4_k", "q4_0", "iq4_xs", "affine3.g128.h"}) {
    CAPTURE(name);
    const std::size_t entry = standard::index_of(name);
    std::vector<std::byte> packed(standard::bytes(entry, out, in));
    const fit::fitted report = fit::gptq{}(*standard::packed_format(entry), w.view(), {&g, &by}, packed);
    CHECK(report.compensated);
    CHECK(report.error < 0.6 * report.nearest_error);
  }
}

TEST_CASE("gptq without data rounds to nearest", "[fit][gptq][bad-input]") {
  const measure::gram dead{.tokens = 0, .sum = basic_matrix<double>(in, in)};
  const fit::compensation none = fit::compensate(dead.sum);
  const float_matrix w = encoded::weights(out, in);
  for (const char* name : {"q3_k", "affine4.g32.h"}) {
    const std::size_t entry = standard::index_of(name);
    std::vector<std::byte> packed(standard::bytes(entry, out, in)), plain(packed.size());
    CHECK_FALSE(fit::gptq{}(*standard::packed_format(entry), w.view(), {&dead, &none}, packed).compensated);
    standard::encode(entry, w.view(), plain);
    CHECK(packed == plain);
  }
}

TEST_CASE("gptq refuses statistics of another number of inputs", "[fit][gptq][bad-input]") {
  const measure::gram g{.tokens = 1, .sum = basic_matrix<double>(4, 4, 1.0)};
  const fit::compensation by = fit::compensate(g.sum);
  const float_matrix w = encoded::weights(out, in);
  std::vector<std::byte> packed(standard::bytes(standard::index_of("q4_0"), out, in));
  CHECK(refusal([&] {
          fit::gptq{}(kernel::ggml_type::q4_0, w.view(), {&g, &by}, packed);
        }).find("statistics of 4 inputs") != std::string::npos);
}
