#include <precis/fit/compensation.hpp>

#include "fit/fixture_q.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <limits>
#include <vector>

using namespace precis;

TEST_CASE("compensation: the factor of fixture Q, by hand", "[fit][compensation][worked-example]") {
  const fit::compensation c = fit::compensate(fixture_q::gram(), {.damping = 0.01, .by_magnitude = false});
  CHECK(c.order == std::vector<std::size_t>{0, 1, 2, 3});
  CHECK(c.ridge == Approx(0.16));
  const std::vector<double> expected{1.034432, -0.555603, 0.617992, -0.447730, 0, 0.268044, -0.196124, 0.097421,
                                     0,        0,         0.306566, 0.173201,  0, 0,        0,         0.265747};
  REQUIRE(c.usable());
  for (std::size_t i = 0; i < 16; ++i)
    CHECK(static_cast<double>(c.factor.values[i]) == Approx(expected[i]).margin(1e-6));
}

TEST_CASE("compensation: columns of large inputs first", "[fit][compensation]") {
  CHECK(fit::compensate(fixture_q::gram(), {.damping = 0.01}).order == std::vector<std::size_t>{1, 2, 3, 0});
}

TEST_CASE("compensation: damping grows until the matrix can be factored, or nothing is usable",
          "[fit][compensation][bad-input]") {
  basic_matrix<double> indefinite(2, 2, {1, 1.05, 1.05, 1});  // eigenvalues 2.05 and -0.05
  const fit::compensation c = fit::compensate(indefinite, {.damping = 0.01});
  CHECK(c.usable());
  CHECK(c.damping == Approx(0.1));
  basic_matrix<double> hopeless(2, 2, {1, 9, 9, 1});
  CHECK_FALSE(fit::compensate(hopeless).usable());
  const basic_matrix<double> dead(3, 3);
  CHECK_FALSE(fit::compensate(dead).usable());
  CHECK(fit::compensate(dead).order == std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE("compensation: fewer tokens than inputs, and an input that is always zero",
          "[fit][compensation][bad-input]") {
  const std::vector<float> x{1, 2, 0, -1};  // one token
  const fit::compensation c = fit::compensate(measure::gram_of({std::span<const float>(x), 1, 1, 4}).sum);
  REQUIRE(c.usable());
  for (const float u : c.factor.values) CHECK(kernel::is_finite(u));
  CHECK(c.order.back() == 2);
  for (std::size_t j = 0; j < 3; ++j) CHECK(c.factor(j, 3) == 0.f);  // no error reaches the dead input
}

TEST_CASE("compensation refuses statistics that are not finite", "[fit][compensation][bad-input]") {
  basic_matrix<double> g = fixture_q::gram();
  g(2, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK(refusal([&] { static_cast<void>(fit::compensate(g)); }).find("element 2, 1 of the Gram matrix") !=
        std::string::npos);
  CHECK(refusal([&] { static_cast<void>(fit::compensate(fixture_q::gram(), {.damping = 0})); }).find("damping") !=
        std::string::npos);
}

TEST_CASE("compensation: with equal inputs the target is the original", "[fit][compensation]") {
  const fit::compensation c = fit::compensate(fixture_q::gram());
  const float_matrix same = fit::corrected_target(fixture_q::weights.view(), basic_matrix<double>(4, 4), c);
  CHECK(same == fixture_q::weights);
}

TEST_CASE("compensation: the corrected target is least squares on the outputs", "[fit][compensation][oracle]") {
  // Inputs y = x / 2: the target is 2 W where there is no damping; C = x y' - y y' = G / 4, H = G / 4.
  basic_matrix<double> g = fixture_q::gram();
  for (double& v : g.values) v /= 4;
  const fit::compensation c = fit::compensate(g, {.damping = 1e-9});
  const float_matrix target = fit::corrected_target(fixture_q::weights.view(), g, c);
  for (std::size_t i = 0; i < 8; ++i)
    CHECK(static_cast<double>(target.values[i]) ==
          Approx(2 * static_cast<double>(fixture_q::weights.values[i])).epsilon(1e-4));
}
