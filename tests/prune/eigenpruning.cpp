#include <precis/prune/eigenpruning.hpp>

#include <precis/score/eigen_attribution.hpp>

#include "catch.hpp"
#include "refusal.hpp"
#include "score/linear_map.hpp"

#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using absorption = prune::eigenpruning::absorption;
using pool = prune::eigenpruning::pool;

namespace {

const score::eigen_attribution in_order{.pairs = score::eigen_attribution::pairing::cycle};

/// The example map with bias (0.1, -0.2), of which the lower-scored of two singular values is pruned.
struct example {
  map_model model = example_map();
  std::vector<map_batch> samples{example_samples()};
  spectra scored;
  measure::input_means means;
  std::vector<prune::pruned_slice> pruned;

  explicit example(const prune::eigenpruning& how) {
    model.bias = {0.1, -0.2};
    scored = in_order(model, samples, slices_of(model));
    const std::size_t matrices[] = {0};
    means = measure::gather_means(model, samples, matrices);
    pruned = how(model, scored, means);
  }

  /// Mean over samples, tokens and outputs of the squared change.
  [[nodiscard]] double change() const {
    map_model original = example_map();
    original.bias = {0.1, -0.2};
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      const std::vector<double> y = model.output(samples[0].inputs[i], i % 2),
                                z = original.output(samples[0].inputs[i], i % 2);
      for (std::size_t o = 0; o < 2; ++o) sum += (y[o] - z[o]) * (y[o] - z[o]) / 12;
    }
    return sum;
  }
};

spectra by_hand(const std::vector<std::pair<role, std::vector<double>>>& scores) {
  spectra s{.model = {}, .scorer = "by hand", .measure = "nats", .slices = {}};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    spectrum one{
        .slice = {.name = "s" + std::to_string(i), .matrix = i, .role = scores[i].first}, .values = {}, .scores = {}};
    one.slice.out = one.slice.in = scores[i].second.size();
    one.scores = scores[i].second;
    for (std::size_t r = 0; r < one.scores.size(); ++r)
      one.values.push_back(static_cast<double>(one.scores.size() - r));
    s.slices.push_back(std::move(one));
  }
  return s;
}

}  // namespace

TEST_CASE("prune::eigenpruning: one of two singular values removed, in every bias mode",
          "[prune][eigenpruning][worked-example]") {
  // The expected values have six decimals (an error of 5e-7), and rounding weights to float adds up to 1e-6.
  const auto near = [](double found, double expected) { return std::abs(found - expected) < 2e-6; };
  const absorption mode = GENERATE(absorption::none, absorption::global, absorption::token, absorption::author_sum);
  const example e({.portion = 0.5, .bias = mode});
  REQUIRE(e.pruned.size() == 1);
  CHECK(e.pruned[0].removed == std::vector<std::size_t>{0});
  const double expected[] = {0.167950, 0.277350, -0.193375, 0.554700, 0.916025, -0.638675};
  for (std::size_t i = 0; i < 6; ++i) CHECK(near(static_cast<double>(e.model.weight.values[i]), expected[i]));
  CHECK(e.means.by_token[0].values[0] == Approx(1));
  CHECK(e.means.by_token[0].values[3] == Approx(2 / 3.0));

  if (mode == absorption::none) {
    CHECK(e.model.bias == std::vector<double>{0.1, -0.2});
    CHECK(e.change() == Approx(3.1927337258).epsilon(2e-6));
  }
  if (mode == absorption::global) {
    CHECK(near(e.model.bias[0], 2.038496));
    CHECK(near(e.model.bias[1], -0.786929));
    CHECK(e.change() == Approx(1.1416070289).epsilon(2e-6));
  }
  if (mode == absorption::token) {
    REQUIRE(e.model.bias_by_token.size() == 2);
    CHECK(near(0.1 + e.model.bias_by_token[0][0], 2.848075));
    CHECK(near(-0.2 + e.model.bias_by_token[0][1], -1.032050));
    CHECK(near(0.1 + e.model.bias_by_token[1][0], 1.228917));
    CHECK(near(-0.2 + e.model.bias_by_token[1][1], -0.541809));
    CHECK(e.model.later.empty());
    CHECK(e.change() == Approx(0.7838555774).epsilon(2e-6));
  }
  if (mode == absorption::author_sum) {
    CHECK(near(e.model.bias[0], 3.976992));
    CHECK(near(e.model.bias[1], -1.373859));
  }
}

TEST_CASE("prune::eigenpruning @post: portion == 0 leaves every weight bit-identical, and 1 leaves the mean output",
          "[prune][eigenpruning][property]") {
  const example none({.portion = 0});
  CHECK(none.model.weight == example_map().weight);
  CHECK(none.model.bias == std::vector<double>{0.1, -0.2});
  CHECK(none.pruned[0].removed.empty());

  const example all({.portion = 1, .bias = absorption::token});
  CHECK(all.model.weight.values == std::vector<float>(6, 0.f));
  map_model original = example_map();
  original.bias = {0.1, -0.2};
  for (std::size_t t = 0; t < 2; ++t)  // the output is the mean over the training set for every input
    for (std::size_t o = 0; o < 2; ++o) {
      double mean = 0;
      for (std::size_t s = 0; s < 3; ++s) mean += original.output(all.samples[0].inputs[2 * s + t], t)[o] / 3;
      CHECK(all.model.output({5, -7, 9}, t)[o] == Approx(mean).epsilon(1e-6));
    }
}

TEST_CASE("prune::eigenpruning @post: the mean output is unchanged, and a bias per token has the least error",
          "[prune][eigenpruning][property]") {
  const double portion = GENERATE(0.2, 0.5, 0.9);
  const auto pruned = [&](absorption mode) {
    map_model model(float_matrix(6, 8));
    const random_stream draw(5, purpose("pruned map"));
    for (std::size_t i = 0; i < 48; ++i) model.weight.values[i] = static_cast<float>(draw.normal(i));
    const map_model original = model;
    std::vector<map_batch> samples{random_samples(9, 3, 8, 6, 6)};
    samples[0].lengths = {3, 3, 2, 3, 1, 3, 3, 2, 3};
    const std::size_t matrices[] = {0};
    const spectra scored = in_order(model, samples, slices_of(model));
    const measure::input_means means = measure::gather_means(model, samples, matrices);
    CHECK(means.samples == std::vector<std::size_t>{9, 8, 6});
    prune::eigenpruning{.portion = portion, .bias = mode}(model, scored, means);

    std::vector<std::vector<double>> mean(3, std::vector<double>(6));
    std::vector<double> overall(6);
    double error = 0;
    for (std::size_t s = 0; s < 9; ++s)
      for (std::size_t t = 0; t < samples[0].lengths[s]; ++t) {
        const std::vector<double> y = model.output(samples[0].inputs[3 * s + t], t),
                                  z = original.output(samples[0].inputs[3 * s + t], t);
        for (std::size_t o = 0; o < 6; ++o) {
          mean[t][o] += y[o] - z[o];
          overall[o] += y[o] - z[o];
          error += (y[o] - z[o]) * (y[o] - z[o]);
        }
      }
    for (std::size_t o = 0; o < 6; ++o) {
      if (mode != absorption::none) CHECK(std::abs(overall[o]) < 1e-4);  // 23 outputs of size 10, weights of float
      for (std::size_t t = 0; t < 3; ++t)
        if (mode == absorption::token) CHECK(std::abs(mean[t][o]) < 1e-4);
    }
    return error;
  };
  const double token = pruned(absorption::token), global = pruned(absorption::global), none = pruned(absorption::none);
  CHECK(token <= global);
  CHECK(global <= none);
}

TEST_CASE("prune::eigenpruning: pools of a role, of a slice and of everything",
          "[prune][eigenpruning][worked-example]") {
  // Keys -1 5 2 | 0 1, and a query 9 8. Half of the five keys, rounded down, are two: -1 and 0.
  const spectra s = by_hand({{role::key, {-1, 5, 2}}, {role::key, {0, 1}}, {role::query, {9, 8}}});
  const auto removed = [&](const prune::eigenpruning& how) {
    std::vector<std::vector<std::size_t>> all;
    for (const prune::pruned_slice& r : how.select(s)) all.push_back(r.removed);
    return all;
  };
  using indices = std::vector<std::vector<std::size_t>>;
  CHECK(removed({.portion = 0.5}) == indices{{0}, {0}, {1}});
  CHECK(removed({.portion = 0.5, .among = pool::slice}) == indices{{0}, {0}, {1}});
  CHECK(removed({.portion = 0.7, .among = pool::slice}) == indices{{0, 2}, {0}, {1}});
  CHECK(removed({.portion = 0.5, .among = pool::everything}) == indices{{0}, {0, 1}, {}});
  CHECK(removed({.portion = 3 / 7.0, .among = pool::everything}) == indices{{0}, {0, 1}, {}});  // three, not two
  CHECK(removed({.portion = 1}) == indices{{0, 1, 2}, {0, 1}, {0, 1}});
}

TEST_CASE("prune::eigenpruning: clusters are removed as a whole, and the excess is counted",
          "[prune][eigenpruning][worked-example]") {
  spectra s = by_hand({{role::key, {3, 1, 2, 4}}});
  s.slices[0].values = {5, 2, 2, 1};
  const prune::pruned_slice r = prune::eigenpruning{.portion = 0.25}.select(s).at(0);
  CHECK(r.removed == std::vector<std::size_t>{1, 2});
  CHECK(r.beyond_the_portion == 1);
  CHECK(r.kept() == 2);
  CHECK(r.stored() == 16);  // two factors take 2 * (4 + 4), which is not less
  CHECK_FALSE(r.factored());
  CHECK(prune::eigenpruning{.portion = 0.75}.select(s).at(0).stored() == 8);  // one singular value is kept
}

TEST_CASE("prune::eigenpruning refuses invalid input and changes nothing", "[prune][eigenpruning][refusal]") {
  example e({.portion = 0});
  const auto says = [&](const prune::eigenpruning& how, const spectra& s, const measure::input_means& m) {
    return refusal([&] { how(e.model, s, m); });
  };
  CHECK(says({.portion = 1.5}, e.scored, e.means) == "prune::eigenpruning: a portion of 1.5; expected 0 to 1");
  CHECK(says({.portion = 1}, e.scored, {}) ==
        "prune::eigenpruning: no mean inputs for the matrix of slice map; expected mean inputs of every matrix that "
        "loses singular values, or absorption::none");
  spectra other = e.scored;
  other.slices[0].values[0] += 1;
  CHECK(says({.portion = 1}, other, e.means).find("expected spectra of the model's present weights") !=
        std::string::npos);
  CHECK(says({}, {}, e.means) == "prune::eigenpruning: no slices; expected at least one");
  CHECK(e.model.weight == example_map().weight);
}
