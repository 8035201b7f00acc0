#include <precis/score/first_order_taylor.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "score/quadratic.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using namespace precis;
using score::first_order_taylor;
using score::taylor;
using score::weight_noise;

TEST_CASE("expected first-order variation in closed form", "[score][first_order_taylor][worked-example]") {
  CHECK(score::expected_variation(0.01, std::hypot(0.3, -0.4)) == Approx(0.0039894228).epsilon(1e-8));
  // 2 x .75 + .5 x -.5 + .25 = 1.5, .5 x .75 - .5 - 1.875 = -2: the norm is 2.5; rms(w) = sqrt((.5625 + .25) / 2).
  quadratic model;
  const std::vector<std::vector<double>> data{{0.25, -1.875}};
  const double rms = std::sqrt((0.5625 + 0.25) / 2);
  CHECK(first_order_taylor{}(model, data).values[0] ==
        Approx(0.01 * rms * 2.5 * std::sqrt(2 / 3.14159265358979)).epsilon(1e-12));
}

TEST_CASE("taylor's variation with small noise and many draws tends to the closed form",
          "[score][first_order_taylor][property]") {
  // 4000 draws of |normal|, whose deviation is 0.756 of its mean: three standard errors are 3.6 %, or 5 % for
  // antithetic pairs, which count as one draw. The quadratic term is about e'Ae / 2 ~ 1e-6 against 1e-3.
  quadratic model;
  const std::vector<std::vector<double>> data{{0.25, -1.875}};
  const weight_noise small{.size = 1e-3};
  const double closed = first_order_taylor{.noise = small}(model, data).values[0];
  CHECK(taylor{.noise = small, .draws = 4000}(model, data).values[0] == Approx(closed).epsilon(0.05));
  CHECK(taylor{.noise = small, .draws = 4000, .draw = taylor::signs::independent}(model, data).values[0] ==
        Approx(closed).epsilon(0.036));
}

TEST_CASE("the squared effects of a unit's matrices add up", "[score][first_order_taylor][property]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  const scores blocks = first_order_taylor{}(model, batches),
               matrices = first_order_taylor{.units = unit_kind::matrix}(model, batches);
  for (std::size_t b = 0; b < 2; ++b)
    CHECK(blocks.values[b] == Approx(std::hypot(matrices.values[2 * b], matrices.values[2 * b + 1])));
  // Attention of block 0: rms sqrt(.625 / 4), squared gradient 7.1362978919 (tests/score/gradient_magnitude.cpp).
  CHECK(matrices.values[0] ==
        Approx(0.01 * std::sqrt(0.625 / 4) * std::sqrt(7.1362978919) * 0.7978845608).epsilon(1e-5));
}

TEST_CASE("first_order_taylor refuses batches without targets", "[score][first_order_taylor][refusal]") {
  CHECK_THROWS_WITH(first_order_taylor{}(micro_transformer{}, std::vector<token_batch>{}),
                    ContainsSubstring("no targets"));
}
