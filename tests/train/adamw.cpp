#include "catch.hpp"

#include <train/adamw.hpp>

#include <array>
#include <cmath>

TEST_CASE("two steps of AdamW by hand", "[train][adamw][worked-example]") {
  // b1 = b2 = 1/2, eps = 0, rate = 0.1, decay = 0.5, w = 1, gradients 2 and then -1 (as g = 4 and -2, scaled by 1/2).
  // Step 1: m = 1, v = 2; corrected 2 and 4: the ratio is 2 / 2 = 1.   w = (1 - 0.05) 1 - 0.1 = 0.85
  // Step 2: m = 1/2 - 1/2 = 0, v = 1 + 1/2 = 1.5: the ratio is 0.      w = 0.95 * 0.85 = 0.8075
  const train::adamw step{.first_decay = 0.5f, .second_decay = 0.5f, .epsilon = 0};
  std::array<float, 1> w{1}, m{0}, v{0};
  step(w, std::array{4.f}, m, v, 1, 0.1f, 0.5f, 0.5f);
  CHECK(w[0] == Approx(0.85).epsilon(1e-6));
  CHECK(m[0] == 1.f);
  CHECK(v[0] == 2.f);
  step(w, std::array{-2.f}, m, v, 2, 0.1f, 0.5f, 0.5f);
  CHECK(w[0] == Approx(0.8075).epsilon(1e-6));
  CHECK(m[0] == 0.f);
  CHECK(v[0] == 1.5f);
}

TEST_CASE("AdamW's first step has the size of the rate for any gradient", "[train][adamw][property]") {
  const float slope = GENERATE(1e-3f, 1.f, -250.f);
  std::array<float, 1> w{0}, m{0}, v{0};
  train::adamw{}(w, std::array{slope}, m, v, 1, 0.01f, 0.f, 1.f);
  CHECK(w[0] == Approx(slope > 0 ? -0.01 : 0.01).epsilon(1e-4));
}

TEST_CASE("weight decay does not affect the moments", "[train][adamw][property]") {
  std::array<float, 2> w{8, -4}, m{}, v{};
  train::adamw{}(w, std::array{0.f, 0.f}, m, v, 1, 0.5f, 0.25f, 1.f);
  CHECK(w == std::array<float, 2>{7, -3.5});  // one eighth less
  CHECK(m == std::array<float, 2>{});
  CHECK(v == std::array<float, 2>{});
}

TEST_CASE("the schedule rises linearly and decays by a cosine", "[train][schedule][worked-example]") {
  const train::schedule rate{.steps = 14, .warm_up = 4, .peak = 2, .last = 0.1};
  CHECK(rate(0) == Approx(0.5));
  CHECK(rate(3) == Approx(2));
  CHECK(rate(4) == Approx(2));
  CHECK(rate(9) == Approx(2 * (0.1 + 0.9 / 2)));  // halfway, where the cosine is zero
  CHECK(rate(13) > 0.2);
  CHECK(rate(13) < 0.3);
}
