#include <precis/fit/clip_search.hpp>
#include <precis/fit/nearest.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/symmetric.hpp>

#include "codec/encoded.hpp"

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace precis;

namespace {
template<class Fit>
float_matrix fitted(const Fit& fit, const codec::grid_format& f, weight_view w) {
  std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
  fit(f, w, packed);
  return encoded::decoded(f, packed, w.rows, w.cols);
}
double power_error(const float_matrix& a, const float_matrix& b, double power) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i)
    sum += std::pow(std::abs(static_cast<double>(a.values[i]) - static_cast<double>(b.values[i])), power);
  return sum;
}
}  // namespace

TEST_CASE("clip search clips an outlier in favour of the other weights", "[fit][clip_search][oracle]") {
  // 199 weights of +-0.5 and one of 1 with 2 bits (codes -1, 0, 1): on the spanning grid, the scale is 1 and every 0.5
  // becomes 0. An exhaustive search over the same 80 ranges must agree.
  std::vector<float> w(200);
  for (std::size_t i = 0; i < 200; ++i) w[i] = i == 0 ? 1.f : i % 2 == 0 ? 0.5f : -0.5f;
  double best = std::numeric_limits<double>::infinity(), best_scale = 0;
  for (int i = 0; i < 80; ++i) {
    const double s = 1.0 - i / 100.0;
    double e = 0;
    for (const float x : w) {
      const double q = std::clamp(std::nearbyint(static_cast<double>(x) / s), -1.0, 1.0);
      e += std::pow(std::abs(q * s - static_cast<double>(x)), 2.4);
    }
    if (e < best) best = e, best_scale = s;
  }
  const auto& f = codec::symmetric<2>::format;
  std::vector<std::byte> packed(f.layout_of(1, 200).bytes);
  fit::clip_search{}(f, {w, 1, 200}, packed);
  CHECK(static_cast<double>(codec::read_grids(f, packed, 1, 200)[0].scale) == Approx(best_scale).epsilon(1e-6));
  CHECK(best_scale < 0.6);
}

TEST_CASE("clip search @post: the error of a group is never larger than with fit::nearest; exact groups do not change",
          "[fit][clip_search][property]") {
  const float_matrix w = encoded::weights(3, 37);
  for (const codec::grid_format& f : encoded::every_format()) {
    if (f.code_bits == 5 || f.code_bits == 7 || f.group == 1) continue;  // the other widths suffice
    CAPTURE(to_string(f));
    const double power = f.code_bits == 3 ? 2.0 : 2.4;
    CHECK(power_error(w, fitted(fit::clip_search{.power = power}, f, w.view()), power) <=
          power_error(w, fitted(fit::nearest{}, f, w.view()), power) * (1 + 1e-12));
  }
  const std::vector<float> exact{-7.f, 3.f, 0.f, 7.f};  // scale 1: no error to reduce
  std::vector<std::byte> a(codec::symmetric<4>::bytes(1, 4)), b(a.size());
  fit::clip_search{}(codec::symmetric<4>::format, {exact, 1, 4}, a);
  fit::nearest{}(codec::symmetric<4>::format, {exact, 1, 4}, b);
  CHECK(a == b);
}

TEST_CASE("clip search refuses invalid parameters, and weights that are not finite", "[fit][clip_search][refusal]") {
  const std::vector<float> w{1.f, std::numeric_limits<float>::infinity()};
  std::vector<std::byte> packed(codec::affine<4>::bytes(1, 2));
  CHECK_THROWS_WITH((fit::clip_search{.steps = 101}(codec::affine<4>::format, {w, 1, 2}, packed)),
                    ContainsSubstring("below 1"));
  CHECK_THROWS_WITH((fit::clip_search{.steps = 0}(codec::affine<4>::format, {w, 1, 2}, packed)),
                    ContainsSubstring("at least one step"));
  CHECK_THROWS_WITH((fit::clip_search{}(codec::affine<4>::format, {w, 1, 2}, packed)),
                    ContainsSubstring("row 0, column 1"));
}

TEST_CASE("clip search finds the grids of an exhaustive search", "[fit][clip_search][oracle]") {
  // The definition: every range of every group, with sums in the order of the weights. Searching sixteen rows at a time
  // and one group at a time must both give the same grids.
  const auto searched = [](const codec::grid_format& f, weight_view w, const fit::clip_search& how) {
    std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
    codec::encode_on_grids(f, w, packed, [&](const codec::grid_format&, weight_view group, std::size_t) {
      const codec::extent range = codec::extent_of(group);
      codec::grid best;
      double least = std::numeric_limits<double>::infinity();
      std::vector<float> back(group.cols);
      for (std::size_t i = 0; i < how.steps; ++i) {
        const double p = std::fma(-static_cast<double>(i), how.step, 1.0);
        const codec::grid g = codec::spanning_grid(f, {.lo = p * range.lo, .hi = p * range.hi});
        double sum = 0;
        for (std::size_t r = 0; r < group.rows; ++r) {
          codec::fake_quantize(f, g, group.row(r), back);
          for (std::size_t c = 0; c < group.cols; ++c) {
            const double e = std::abs(static_cast<double>(back[c]) - static_cast<double>(group(r, c)));
            sum = how.power == 2 ? std::fma(e, e, sum) : sum + std::pow(e, how.power);
          }
        }
        if (sum < least) least = sum, best = g;
      }
      return best;
    });
    return packed;
  };
  for (const float unit : {1.f, 1e-6f, 1e-35f}) {
    float_matrix w = encoded::weights(19, 192, 7);
    for (float& x : w.values) x *= unit;
    for (std::size_t c = 0; c < 40; ++c) w(2, c) = 0;
    for (std::size_t c = 32; c < 64; ++c) w(4, c) = std::abs(w(4, c));
    for (const codec::grid_rule rule :
         {codec::grid_rule::affine, codec::grid_rule::symmetric, codec::grid_rule::symmetric_full})
      for (const unsigned bits : {2u, 4u, 8u})
        for (const std::size_t group : {std::size_t{32}, std::size_t{96}, codec::per_row, codec::per_tensor})
          for (const codec::scale_type scales : {codec::scale_type::float32, codec::scale_type::float16}) {
            const codec::grid_format f{.rule = rule, .code_bits = bits, .group = group, .scales = scales};
            for (const double power : {2.0, 2.4}) {
              if (power != 2 && unit != 1) continue;  // std::pow takes most of the test's time
              const fit::clip_search how{.steps = bits == 2 ? std::size_t{80} : std::size_t{30}, .power = power};
              CAPTURE(to_string(f), unit, power);
              std::vector<std::byte> packed(f.layout_of(19, 192).bytes);
              how(f, w.view(), packed);
              REQUIRE(packed == searched(f, w.view(), how));
            }
          }
    for (const codec::grid_format& f : encoded::every_format()) {
      if (f.code_bits == 3 || f.code_bits > 16 || f.group == 1 || f.group == 5) continue;
      for (const double power : {0.7, 2.0, 2.4}) {
        const weight_view few = w.view().row_range(1, 2).col_range(20, 60);
        const fit::clip_search how{.steps = 40, .step = 0.02, .power = power};
        CAPTURE(to_string(f), unit, power);
        std::vector<std::byte> packed(f.layout_of(few.rows, few.cols).bytes);
        how(f, few, packed);
        REQUIRE(packed == searched(f, few, how));
      }
    }
  }
}
