#include <precis/cost/plan_divergence.hpp>

#include <precis/allocate/evolve.hpp>
#include <precis/allocate/uniform.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/core/random.hpp>
#include <precis/core/thread_pool.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

using namespace precis;
using allocate::evaluation_sample;
using formats = codec::standard;

namespace {

const std::vector<token_batch> data{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 1),
                                    micro_transformer::labelled(2, 1), micro_transformer::labelled(3, 1),
                                    micro_transformer::labelled(4, 1)};

cost_table table_of(const micro_transformer& model) {
  return cost::blank_table<formats>(model.matrices(), unit_kind::matrix, {"affine2.row", "affine8.row", "affine16.row"},
                                    32, "test");
}

}  // namespace

TEST_CASE("the divergence of a plan is that of the packed model", "[cost][plan_divergence][oracle]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  const cost_table t = table_of(model);
  const std::vector<std::vector<std::size_t>> candidates{{0, 1, 2, 0}, {0, 1, 1, 2}, {2, 2, 2, 2}, {0, 1, 2, 0}};
  {
    cost::plan_divergence<formats, micro_transformer> fitness(model, data, t);
    const evaluation_sample all{{0, 1, 2, 3, 4}, fitness.tokens()[4]};
    const std::vector<double> losses = fitness(candidates, all);
    REQUIRE(losses.size() == 4);
    CHECK(losses[0] == losses[3]);
    for (std::size_t i = 0; i < 3; ++i) {
      plan p{.model = {}, .units = unit_kind::matrix, .notes = {}, .choices = {}};
      for (std::size_t u = 0; u < 4; ++u)
        p.choices.push_back({.unit = t.units[u].name, .codec = t.entries[candidates[i][u]]});
      micro_transformer packed;
      apply<formats>(packed, p);
      const micro_transformer original;
      CHECK(losses[i] == Approx(measure::kl_divergence{}(original, packed, std::span(data)).mean_nats()).epsilon(1e-9));
    }
    cost::plan_divergence<formats, micro_transformer, thread_pool> threads(model, data, t, thread_pool{3});
  }
  CHECK(all_weights(model) == before);
}

TEST_CASE("plan_divergence @post: a loss does not depend on other plans, layered_model or memory",
          "[cost][plan_divergence][property]") {
  micro_transformer model;
  const cost_table t = table_of(model);
  std::vector<std::vector<std::size_t>> candidates;
  for (std::size_t c = 0; c < 12; ++c) {
    candidates.emplace_back();
    for (std::size_t u = 0; u < 4; ++u) candidates.back().push_back(mix64(4 * c + u) % 3);
  }
  candidates.push_back(candidates[5]);
  candidates.push_back(candidates[0]);
  candidates.back()[3] = (candidates.back()[3] + 1) % 3;  // differs only in the last layer
  const evaluation_sample all{{0, 1, 2, 3, 4}, 1};
  const std::vector<double> losses = [&] {
    cost::plan_divergence<formats, micro_transformer> fitness(model, data, t);
    const std::vector<double> together = fitness(candidates, all);
    CHECK(fitness(candidates, all) == together);
    for (std::size_t c = candidates.size(); c-- > 0;)
      CHECK(fitness(std::span(candidates).subspan(c, 1), all).front() == together[c]);
    return together;
  }();
  CHECK(losses[5] == losses[12]);
  CHECK(losses[0] != losses[13]);
  {
    whole_forwards<micro_transformer> plain(model);
    cost::plan_divergence<formats, whole_forwards<micro_transformer>> fitness(plain, data, t);
    CHECK(fitness(candidates, all) == losses);
  }
  for (const std::size_t memory : {std::size_t{0}, std::size_t{200}}) {
    cost::plan_divergence<formats, micro_transformer, thread_pool> fitness(model, data, t, thread_pool{3}, {}, memory);
    CHECK(fitness(candidates, all) == losses);
  }
}

TEST_CASE("a sample contains its sequences and the first predictions of the last one", "[cost][plan_divergence]") {
  micro_transformer model;
  const cost_table t = table_of(model);
  std::vector<token_batch> longer = data;
  longer[1].targets.assign(longer[1].ids.size(), 1);  // every token has a prediction
  cost::plan_divergence<formats, micro_transformer> fitness(model, longer, t);
  REQUIRE(fitness.tokens()[1] == longer[1].ids.size());
  const std::vector<std::vector<std::size_t>> one{{0, 0, 1, 1}};
  token_batch cut = longer[1];
  cut.targets.back() = no_target;
  const std::vector<token_batch> two{longer[3], cut};
  const double expected = [&] {
    micro_transformer other;
    cost::plan_divergence<formats, micro_transformer> whole(other, two, t);
    return whole(one, evaluation_sample{{0, 1}, whole.tokens()[1]}).front();
  }();
  CHECK(fitness(one, evaluation_sample{{3, 1}, fitness.tokens()[1] - 1}).front() == expected);
}

TEST_CASE("evolving real plans is never worse than the start, on any executor", "[cost][plan_divergence][allocate]") {
  const auto run = [](auto executor) {
    micro_transformer model;
    const cost_table t = table_of(model);
    cost::plan_divergence<formats, micro_transformer, decltype(executor)> fitness(model, data, t, executor);
    const std::vector<std::size_t> start{1, 1, 1, 1};
    const double before =
        fitness(std::vector<std::vector<std::size_t>>{start}, evaluation_sample{{0, 1, 2, 3, 4}, 1}).front();
    const allocate::evolve how{.budget = at_most_bytes(1000),
                               .generations = 5,
                               .offspring = 6,
                               .stages = {{1, 5}},
                               .start_tokens = 5,
                               .from = start};
    const allocate::solution s = how.solve(t, fitness.tokens(), fitness);
    CHECK(s.objective <= before);
    return s.entries;
  };
  CHECK(run(sequential{}) == run(thread_pool{2}));
}
