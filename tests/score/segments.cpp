#include <precis/score/segments.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;

namespace {

scores layered(const std::vector<double>& values, std::size_t units_per_layer = 1) {
  scores s{.scorer = "by hand", .measure = "nats", .units = {}, .values = {}};
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t u = 0; u < units_per_layer; ++u) {
      const double offset = units_per_layer == 1 ? 0.0 : u == 0 ? 1.0 : u + 1 == units_per_layer ? -1.0 : 0.0;
      s.units.push_back({.name = "u" + std::to_string(s.units.size()), .layer = i, .matrices = {s.units.size()}});
      s.values.push_back(values[i] + offset);
    }
  return s;
}

}  // namespace

TEST_CASE("twelve layers are split into three, three and six", "[score][segments][worked-example]") {
  const auto g = score::segments(layered({1, 2, 3, 4, 4, 4, 0, 10, 0, 10, 0, 10}));
  CHECK(g[0].layers == 3);
  CHECK(g[0].mean == Approx(2));
  CHECK(g[0].deviation.value() == Approx(1));
  CHECK(g[1].layers == 3);
  CHECK(g[1].mean == Approx(4));
  CHECK(g[1].deviation.value() == Approx(0).margin(1e-12));
  CHECK(g[2].layers == 6);
  CHECK(g[2].mean == Approx(5));
  CHECK(g[2].deviation.value() == Approx(std::sqrt(30.0)));
}

TEST_CASE("an undefined deviation has no value", "[score][segments][worked-example]") {
  const auto of_two = score::segments(layered({1, 2}));  // 30 % of two layers rounds down to none
  CHECK(of_two[0].layers == 0);
  CHECK(of_two[1].layers == 0);
  CHECK_FALSE(of_two[0].deviation);
  CHECK(of_two[2].mean == Approx(1.5));
  const auto of_four = score::segments(layered({1, 2, 3, 5}));
  CHECK(of_four[0].layers == 1);
  CHECK(of_four[0].mean == Approx(1));
  CHECK_FALSE(of_four[0].deviation);
  CHECK(of_four[2].layers == 2);
  CHECK(of_four[2].deviation.value() == Approx(std::sqrt(2.0)));
  CHECK(score::segments(scores{})[2].layers == 0);
}

TEST_CASE("a layer's score is the mean over its units", "[score][segments][property]") {
  const std::vector<double> values{3, 1, 4, 1, 5, 9, 2, 6};
  const auto whole = score::segments(layered(values)), split = score::segments(layered(values, 4));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(split[i].layers == whole[i].layers);
    CHECK(split[i].mean == Approx(whole[i].mean));
    CHECK(split[i].deviation.value_or(-1) == Approx(whole[i].deviation.value_or(-1)));
  }
  scores bad = layered(values);
  bad.values[2] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(refusal([&] { (void)score::segments(bad); }), ContainsSubstring("u2"));
}
