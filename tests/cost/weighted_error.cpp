#include <precis/cost/weighted_error.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/thread_pool.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/score/weight_magnitude.hpp>

#include "catch.hpp"
#include "cost/written_model.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using namespace written;

TEST_CASE("weighted_error of three matrices, by hand", "[cost][weighted_error][worked-example]") {
  // affine2.row of (0, 1, 2, 4): range 0 ... 4, scale 4/3, codes 0, 1, 2 (1.5 -> 2), 3, decoded 0, 4/3, 8/3, 4.
  // The squared errors 0, 1/9, 4/9, 0 are 5/9 of 21. (3, 0, 0, 3) is exact.
  const written_model m{{{"a", 0, part::mlp, 1, 4}, {"b", 1, part::mlp, 1, 4}, {"c", 2, part::mlp, 1, 4}},
                        {{1, 4, std::vector<float>{0, 1, 2, 4}},
                         {1, 4, std::vector<float>{3, 0, 0, 3}},
                         {1, 4, std::vector<float>{0, 2, 4, 8}}}};
  using two_bits = menu<codec::affine<2>>;
  const cost_table t = cost::weighted_error<two_bits>{.floor = 0.25}(m, scores_of(m, {-1, 5, 2}));
  CHECK(t.entries == std::vector<std::string>{"affine2.row"});
  CHECK(t.bytes == std::vector<std::size_t>{6, 6, 6});  // scale 4, zero point 1, codes 1
  CHECK(t.original_bytes == 48);
  CHECK(t.model == "8c1f");
  CHECK(t.maker == "weighted_error relative of hand");
  // minmax (0, 1, 0.5) -> 0.25, 1, 0.625. The scale 4/3 has a relative error of 1e-7 in float32.
  CHECK(t.costs[0] == Approx(0.25 * 5 / 9 / 21).epsilon(1e-6));
  CHECK(t.costs[1] == 0);
  CHECK(t.costs[2] == Approx(0.625 * 5 / 9 / 21).epsilon(1e-6));
  using absolute = cost::weighted_error<two_bits>;
  const cost_table a = absolute{.by = absolute::scale::absolute, .floor = 0.25}(m, scores_of(m, {-1, 5, 2}));
  CHECK(a.costs[0] == Approx(0.25 * 5 / 9).epsilon(1e-6));
  CHECK(a.costs[2] == Approx(0.625 * 5 / 9 * 4).epsilon(1e-6));
}

TEST_CASE("weighted_error @post: S -> a S + b with a > 0 changes nothing; equal on any executor",
          "[cost][weighted_error][property]") {
  const written_model m = random_model();
  const cost::weighted_error<formats> method{};
  const cost_table t = method(m, scores_of(m, {1, 3}));
  CHECK(method(m, scores_of(m, {1, 3}), thread_pool{2}) == t);
  const cost_table moved = method(m, scores_of(m, {-8 + 4, -8 + 12}));  // exact, because these are powers of two
  CHECK(moved.costs == t.costs);
  // The lowest score has weight 1/1000, and equal scores have 0.5005: a ratio of 500.5.
  const cost_table equal = method(m, scores_of(m, {7, 7}));
  for (std::size_t e = 0; e < formats::size; ++e) CHECK(equal.costs_of(0)[e] == Approx(t.costs_of(0)[e] * 500.5));
}

TEST_CASE("weighted_error with another fit: the errors of what that fit packs", "[cost][weighted_error][oracle]") {
  const written_model m{{{"a", 0, part::mlp, 1, 8}},
                        {{1, 8, std::vector<float>{0.1f, -0.2f, 0.3f, 0.1f, -0.3f, 0.2f, -0.1f, 0.9f}}}};
  using two_bits = menu<codec::affine<2>>;
  using searched = cost::weighted_error<two_bits, fit::clip_search>;
  const searched absolute{.by = searched::scale::absolute, .floor = 1};
  float_matrix decoded(1, 8);
  cost::round_trip<two_bits>(m.weights(0), m.matrices()[0], 0, fit::clip_search{}, decoded.view());
  double sum = 0;
  for (std::size_t c = 0; c < 8; ++c)
    sum += std::pow(static_cast<double>(decoded(0, c)) - static_cast<double>(m.weights(0)(0, c)), 2);
  CHECK(absolute(m, scores_of(m, {1})).costs[0] == Approx(sum).epsilon(1e-6));  // errors are rounded to float
  CHECK(absolute(m, scores_of(m, {1})).costs[0] !=
        cost::weighted_error<two_bits>{.by = cost::weighted_error<two_bits>::scale::absolute, .floor = 1}(
            m, scores_of(m, {1}))
            .costs[0]);
}

TEST_CASE("the entries of a table are the requested ones, in their order", "[cost][weighted_error][worked-example]") {
  const written_model m = random_model();
  const cost_table all = cost::weighted_error<formats>{}(m, scores_of(m, {1, 2}));
  CHECK(all.entries.size() == formats::size);
  const cost_table chosen =
      cost::weighted_error<codec::standard>{.entries = {"float16", "affine4.g32"}}(m, scores_of(m, {1, 2}));
  CHECK(chosen.entries == std::vector<std::string>{"float16", "affine4.g32"});
  CHECK(chosen.costs_of(1)[0] == all.costs_of(1)[7]);
  CHECK(chosen.costs_of(1)[1] == all.costs_of(1)[1]);
  CHECK(chosen.bytes_of(0)[0] == 2 * (70 * 100 + 33 * 64));
}

TEST_CASE("weighted_error accepts the scores of a scorer", "[cost][weighted_error][worked-example]") {
  const micro_transformer m;
  const cost_table t = cost::weighted_error<codec::standard>{.entries = {"affine2.row", "float32"}}(
      m, score::weight_magnitude{.units = unit_kind::matrix}(m));
  REQUIRE(t.units.size() == 4);
  for (std::size_t u = 0; u < 4; ++u) CHECK(t.costs_of(u)[1] == 0);  // float32 is exact
  CHECK(t.costs_of(0)[0] > 0);
}

TEST_CASE("weighted_error refuses invalid scores, floors, entries and weights", "[cost][weighted_error][refusal]") {
  written_model m = random_model();
  const cost::weighted_error<formats> method{};
  CHECK_THAT(refusal([&] { (void)method(m, scores_of(m, {1, std::numeric_limits<double>::quiet_NaN()})); }),
             ContainsSubstring("cost::weighted_error: the score of unit block.1"));
  scores others = scores_of(m, {1, 2});
  others.units[1].name = "block.7";
  CHECK_THAT(refusal([&] { (void)method(m, others); }), ContainsSubstring("the units of the scores differ"));
  CHECK_THAT(refusal([&] { (void)cost::weighted_error<formats>{.floor = 0}(m, scores_of(m, {1, 2})); }),
             ContainsSubstring("a floor of 0"));
  CHECK_THAT(refusal([&] { (void)cost::weighted_error<formats>{.entries = {"affine9"}}(m, scores_of(m, {1, 2})); }),
             ContainsSubstring("no codec called 'affine9'"));
  m.maps[2](3, 1) = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal([&] { (void)method(m, scores_of(m, {1, 2})); }),
             ContainsSubstring("m2: ") && ContainsSubstring("row 3, column 1"));
}
