#include <precis/evaluate/interval.hpp>

#include <catch.hpp>

#include <array>
#include <cmath>
#include <vector>

namespace evaluate = precis::evaluate;

TEST_CASE("the 95 % quantile of Student's t equals the tabulated one", "[evaluate][interval][worked-example]") {
  // Abramowitz and Stegun, table 26.10, and closed forms: tan(0.475 pi) for 1, 0.95 sqrt(2 / (1 - 0.95^2)) for 2.
  CHECK(evaluate::student_95(1) == Approx(std::tan(0.475 * 3.14159265358979323846)).epsilon(1e-12));
  CHECK(evaluate::student_95(2) == Approx(0.95 * std::sqrt(2 / (1 - 0.95 * 0.95))).epsilon(1e-12));
  CHECK(evaluate::student_95(3) == Approx(3.182446305).epsilon(1e-9));
  CHECK(evaluate::student_95(4) == Approx(2.776445105).epsilon(1e-9));
  CHECK(evaluate::student_95(19) == Approx(2.093024054).epsilon(1e-9));
  CHECK(evaluate::student_95(120) == Approx(1.979930405).epsilon(1e-9));
  CHECK(evaluate::student_95(1'000'000'000) == Approx(1.959963985).epsilon(2e-4));
  CHECK(std::isinf(evaluate::student_95(0)));
}

TEST_CASE("the interval of a mean by hand", "[evaluate][interval][worked-example]") {
  // mean 3, variance 2.5, t(4) = 2.776445: 2.776445 * sqrt(2.5 / 5) = 1.963243
  const std::array<double, 5> samples{1, 2, 3, 4, 5};
  const evaluate::interval i = evaluate::mean_interval(samples);
  CHECK(i.mean == Approx(3).epsilon(1e-15));
  CHECK(i.half_width == Approx(1.963243).epsilon(1e-6));
  CHECK(i.sure());
  CHECK(i.low() == Approx(3 - 1.963243).epsilon(1e-6));
}

TEST_CASE("fewer than two samples give an infinite interval", "[evaluate][interval][property]") {
  CHECK_FALSE(evaluate::mean_interval({}).sure());
  CHECK(evaluate::mean_interval({}).mean == 0);
  const std::vector<double> one{5};
  CHECK_FALSE(evaluate::mean_interval(one).sure());
  CHECK(evaluate::mean_interval(one).mean == 5);
  const std::vector<double> equal{2, 2, 2};
  CHECK(evaluate::mean_interval(equal).half_width == 0);
  CHECK(evaluate::mean_interval(equal).sure());
}
