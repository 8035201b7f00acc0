#include <precis/fit/smooth.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <string>
#include <vector>

using namespace precis;

TEST_CASE("smooth: four inputs by hand", "[fit][smooth][worked-example]") {
  // max|x_j| of three tokens and max|W_:j| of two outputs.
  const std::vector<double> x{.2, 6, .3, .4}, w{.7, .35, .15, .9};
  const std::vector<double> s = fit::smooth{}(x, w);
  const double expected[] = {0.534522, 4.140393, 1.414214, 0.666667}, meet[] = {0.374166, 1.449138, 0.212132, 0.6};
  for (std::size_t j = 0; j < 4; ++j) {
    CHECK(s[j] == Approx(expected[j]).epsilon(1e-5));
    CHECK(x[j] / s[j] == Approx(meet[j]).epsilon(1e-5));  // @post: the maxima meet
    CHECK(w[j] * s[j] == Approx(meet[j]).epsilon(1e-5));
  }
}

TEST_CASE("smooth: the ends of the share, and inputs or columns of zeros", "[fit][smooth]") {
  const std::vector<double> x{4, 0}, w{0.5, 2};
  CHECK(fit::smooth{.share = 1}(x, w) == std::vector<double>{4, 1});
  CHECK(fit::smooth{.share = 0}(x, w) == std::vector<double>{2, 1});
  const std::vector<double> dead = fit::smooth{}(std::vector<double>{4}, std::vector<double>{0});
  CHECK(dead[0] == Approx(2 / 0.0031622776601683794));  // the floor of 1e-5 in place of 0
}

TEST_CASE("smooth refuses", "[fit][smooth][refusal]") {
  const auto message = [](const std::vector<double>& x, const std::vector<double>& w, double share) {
    return refusal([&] { static_cast<void>(fit::smooth{.share = share}(x, w)); });
  };
  CHECK(message({1}, {1, 2}, 0.5).find("maxima of 1 inputs and 2 columns") != std::string::npos);
  CHECK(message({-1}, {1}, 0.5).find("input 0") != std::string::npos);
  CHECK(message({1}, {1}, 1.5).find("a share of 1.5") != std::string::npos);
}
