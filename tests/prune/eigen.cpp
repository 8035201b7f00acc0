#include <precis/prune/eigen.hpp>

#include "catch.hpp"
#include "refusal.hpp"
#include "score/small_task.hpp"

#include <cstddef>
#include <string>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;

namespace {

score::eigen_attributions attributed(const small_task& task) {
  return score::eigen_attribution{.in_order = true}(
      task, small_samples(), std::vector<score::matrix_slice>{score::whole_matrix(task.infos, 0, "key")});
}

/// Mean squared change of an output, with biases for each token (or one row for both).
double change(const small_task& before, const small_task& after, const basic_matrix<double>& bias) {
  double sum = 0;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t t = 0; t < 2; ++t)
      for (std::size_t o = 0; o < 2; ++o) {
        double d = bias(bias.rows == 1 ? 0 : t, o);
        for (std::size_t c = 0; c < 3; ++c)
          d += (static_cast<double>(after.w(o, c)) - static_cast<double>(before.w(o, c))) *
               static_cast<double>(before.x[i][3 * t + c]);
        sum += d * d;
      }
  return sum / 12;
}

}  // namespace

TEST_CASE("the example of methods E10: weights, biases, and what each leaves", "[prune][eigen][worked-example]") {
  const small_task before;
  const auto found = attributed(before);
  const prune::eigen half{.share = 0.5};
  const prune::eigen_removal selected = half.select(found);
  CHECK(selected.removed == std::vector<std::vector<std::size_t>>{{0}});
  CHECK(selected.count() == 1);
  CHECK(selected.split_clusters.empty());
  small_task after = before;
  prune::eigen::apply(after, found, selected);
  const double w[6] = {0.167950, 0.277350, -0.193375, 0.554700, 0.916025, -0.638675};
  for (std::size_t i = 0; i < 6; ++i) CHECK(static_cast<double>(after.w.values[i]) == Approx(w[i]).margin(1e-6));

  const auto token = prune::eigen::bias_by_token(found, selected, 0, 2);
  CHECK(0.1 + token(0, 0) == Approx(2.848075).margin(1e-6));
  CHECK(-0.2 + token(0, 1) == Approx(-1.032050).margin(1e-6));
  CHECK(0.1 + token(1, 0) == Approx(1.228917).margin(1e-6));
  CHECK(-0.2 + token(1, 1) == Approx(-0.541809).margin(1e-6));
  const auto one = prune::eigen::bias(found, selected, 0, 2);
  CHECK(0.1 + one[0] == Approx(2.038496).margin(1e-6));
  CHECK(-0.2 + one[1] == Approx(-0.786929).margin(1e-6));

  CHECK(change(before, after, token) == Approx(0.7838555774).epsilon(1e-6));
  CHECK(change(before, after, basic_matrix<double>(1, 2, one)) == Approx(1.1416070289).epsilon(1e-6));
  CHECK(change(before, after, basic_matrix<double>(1, 2)) == Approx(3.1927337258).epsilon(1e-6));
}

TEST_CASE("nothing removed keeps every bit, everything leaves the mean", "[prune][eigen][property]") {
  const small_task before;
  const auto found = attributed(before);
  small_task after = before;
  const auto none = prune::eigen{.share = 0.49}.select(found);  // floor(0.98)
  CHECK(none.count() == 0);
  prune::eigen::apply(after, found, none);
  CHECK(after.w.values == before.w.values);
  const auto all = prune::eigen{.share = 1}.select(found);
  prune::eigen::apply(after, found, all);
  for (const float v : after.w.values) CHECK(static_cast<double>(v) == Approx(0).margin(1e-6));
  const auto bias = prune::eigen::bias_by_token(found, all, 0, 2);
  CHECK(bias(0, 0) == Approx(3));  // W (1, 1, 1)
  CHECK(bias(0, 1) == Approx(0).margin(1e-6));
}

TEST_CASE("pools: components, matrices, or all together", "[prune][eigen][property]") {
  const small_task task;
  auto found = attributed(task);
  auto other = found.slices[0];
  other.where.name = "value";
  other.where.component = "value";
  other.effects = {5, 6};
  found.slices.push_back(other);
  using pool = prune::eigen::pool;
  CHECK(prune::eigen{.share = 0.5, .within = pool::per_component}.select(found).removed ==
        std::vector<std::vector<std::size_t>>{{0}, {0}});
  CHECK(prune::eigen{.share = 0.5, .within = pool::all}.select(found).removed ==
        std::vector<std::vector<std::size_t>>{{0, 1}, {}});
  found.slices[1].where.component = "key";
  CHECK(prune::eigen{.share = 0.5}.select(found).removed == std::vector<std::vector<std::size_t>>{{0, 1}, {}});
  CHECK(prune::eigen{.share = 0.5, .within = pool::per_matrix}.select(found).removed ==
        std::vector<std::vector<std::size_t>>{{0}, {0}});
  found.slices[1].parts.values = {2, 2};
  CHECK(prune::eigen{.share = 0.75}.select(found).split_clusters == std::vector<std::string>{"value"});
  CHECK_THAT(refusal([&] { (void)prune::eigen{.share = 1.5}.select(found); }), ContainsSubstring("a share of 1.5"));
}
