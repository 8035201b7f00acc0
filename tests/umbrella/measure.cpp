#include <precis/measure.hpp>

#include "catch.hpp"

#include <cmath>
#include <vector>

using namespace precis;

TEST_CASE("precis/measure.hpp: the divergence of a fair coin from a biased one", "[precis][measure][oracle]") {
  // Logits {0, 0} are the probabilities 1/2, 1/2; {log 3, 0} are 3/4, 1/4: KL = -log(3) / 2 + log(2).
  const std::vector<float> fair{0, 0}, biased{std::log(3.f), 0};
  CHECK(measure::kl_of_logits(fair, biased) == Approx(std::log(2.0) - std::log(3.0) / 2).epsilon(1e-6));
  CHECK(measure::log_sum_exp(biased) == Approx(std::log(4.0)).epsilon(1e-6));
}
