#include <precis/measure/positions.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
using measure::predicts;

TEST_CASE("with targets, the positions that have one count", "[measure][positions][worked-example]") {
  const token_batch b{.sequences = 2, .tokens = 2, .ids = {0, 1, 2, 0}, .targets = {no_target, 2, 0, no_target}};
  const std::vector<bool> expected{false, true, true, false};
  for (std::size_t row = 0; row < 4; ++row) CHECK(predicts(b, row) == expected[row]);
}

TEST_CASE("without targets, all positions but the last of each sequence count",
          "[measure][positions][worked-example]") {
  const token_batch b = prompts(2, {0, 1, 2, 2, 1, 0});
  const std::vector<bool> expected{true, true, false, true, true, false};
  for (std::size_t row = 0; row < 6; ++row) CHECK(predicts(b, row) == expected[row]);
}

TEST_CASE("in batches of other types every row counts", "[measure][positions][worked-example]") {
  CHECK(predicts(std::vector<double>{1, 2}, 0));
  CHECK(predicts(std::vector<double>{1, 2}, 7));
}
