#include <precis/evaluate/errors.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <vector>

using namespace precis;

TEST_CASE("errors of a matrix by hand", "[evaluate][errors][worked-example]") {
  const std::vector<float> x{3, -4, 0, 12}, y{3, -4.5f, 0.25f, 11};
  const auto e = evaluate::errors({x, 2, 2}, {y, 2, 2});
  CHECK(e.sse == 0.25 + 0.0625 + 1);
  CHECK(e.mse() == 1.3125 / 4);
  CHECK(e.max_error == 1);
  CHECK(e.signal == 169);
  CHECK(e.sqnr_db() == Approx(10 * std::log10(169 / 1.3125)).epsilon(1e-14));
  CHECK(std::isinf(evaluate::errors({x, 2, 2}, {x, 2, 2}).sqnr_db()));
  auto sum = e;
  sum += e;
  CHECK(sum.mse() == e.mse());
  CHECK(sum.sqnr_db() == e.sqnr_db());
}

TEST_CASE("errors do not depend on strides", "[evaluate][errors][property]") {
  const std::vector<float> x{1, 2, 3, 4, 5, 6}, transposed{1, 4, 2, 5, 3, 6};
  CHECK(evaluate::errors({x, 2, 3}, weight_view(transposed, 3, 2).transposed()).sse == 0);
}

TEST_CASE("matrices of different shapes are refused", "[evaluate][errors][refusal]") {
  const std::vector<float> x(6, 1.f);
  CHECK_THAT(refusal([&] { (void)evaluate::errors({x, 2, 3}, {x, 3, 2}); }), ContainsSubstring("2 x 3 against 3 x 2"));
}
