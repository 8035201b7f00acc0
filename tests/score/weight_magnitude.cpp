#include <precis/score/weight_magnitude.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"

#include <limits>
#include <vector>

using namespace precis;

TEST_CASE("the squared norm by hand", "[score][weight_magnitude][worked-example]") {
  const std::vector<float> w{1.f, 2.f, -2.f, 0.5f};
  CHECK(score::squared_norm({w, 2, 2}, "w") == 9.25);
}

TEST_CASE("both blocks of the micro-transformer have the same norm", "[score][weight_magnitude][worked-example]") {
  const micro_transformer model;
  CHECK(score::weight_magnitude{}(model).values == std::vector<double>{3.125, 3.125});
  CHECK(score::weight_magnitude{.units = unit_kind::half}(model).values == std::vector<double>{0.625, 2.5, 0.625, 2.5});
  CHECK(score::weight_magnitude{.by = score::weight_magnitude::scale::per_weight}(model).values ==
        std::vector<double>{3.125 / 8, 3.125 / 8});
}

TEST_CASE("weights that are not finite are refused by position", "[score][weight_magnitude][refusal]") {
  micro_transformer model;
  model.weights(2)(1, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(score::weight_magnitude{}(model), ContainsSubstring("block.1.attn") && ContainsSubstring("[1, 0]"));
}
