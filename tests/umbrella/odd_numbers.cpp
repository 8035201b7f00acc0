// Numbers that no caller means: NaN, infinity, nothing at all, budgets that cannot be met. Every public function that takes
// numbers either has a documented result for them or refuses them by name.

#include <precis/fit.hpp>
#include <precis/precis.hpp>

#include <precis/codec/log2.hpp>
#include <precis/codec/low_rank.hpp>
#include <precis/codec/standard_menu.hpp>

#include "catch.hpp"
#include "cost/written_model.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
constexpr double huge = 1e308;
constexpr auto no_float = std::numeric_limits<float>::quiet_NaN();

using numbers = std::vector<double>;
using written::written_model;

const std::vector<matrix_info> infos{
    {"a", 0, part::mlp, 2, 32}, {"b", 1, part::mlp, 2, 32}, {"c", 2, part::mlp, 2, 32}};

scores of(numbers values) {
  return {.model = {},
          .scorer = "hand",
          .measure = "m",
          .units = group_units(infos, unit_kind::block),
          .values = std::move(values)};
}
cost_table table(const budget& = {}) {
  return {.original_bytes = 100,
          .entries = {"small", "large"},
          .units = group_units(infos, unit_kind::block),
          .bytes = {1, 4, 1, 4, 1, 4},
          .costs = {2, 1, 2, 1, 2, 1}};
}
written_model with_weight(float value) {
  written_model m = written::random_model();
  m.maps[1].values[3] = value;
  return m;
}
std::vector<unit> blocks(const written_model& m) { return group_units(m.infos, unit_kind::block); }

struct refused_call {
  std::string name;
  std::function<void()> call;
  std::string says;
};

void check_refused(const std::vector<refused_call>& all) {
  for (const refused_call& c : all) {
    const std::string said = refusal(c.call);
    CAPTURE(c.name, said);
    CHECK(!said.empty());
    CHECK_THAT(said, ContainsSubstring(c.says));
    CHECK(said.find("; expected ") != std::string::npos);
  }
}

}  // namespace

TEST_CASE("odd numbers: scores, normalisers and combinations", "[precis][refusal]") {
  std::vector<refused_call> all;
  for (const double bad : {no_number, infinity, -infinity}) {
    const numbers values{1, bad, 2};
    const std::string one = "value 1 is ";
    all.insert(
        all.end(),
        {
            {"minmax", [=] { (void)normalise::minmax(values); }, "normalise::minmax: " + one},
            {"rank", [=] { (void)normalise::rank(values); }, "normalise::rank: " + one},
            {"zscore", [=] { (void)normalise::zscore(values); }, "normalise::zscore: " + one},
            {"sum1", [=] { (void)normalise::sum1(values); }, "normalise::sum1: " + one},
            {"quantile", [=] { (void)quantile_linear(std::span<const double>(values), 0.5); },
             "quantile_linear: a value is "},
            {"quantile level", [=] { (void)quantile_linear(std::span<const double>(numbers{1, 2}), bad); },
             "a quantile at "},
            {"exact_count", [=] { (void)exact_count(bad, 3); }, "exact_count: a fraction of "},
            {"to_text", [=] { (void)to_text(of(values)); }, "the score of unit block.1 is "},
            {"z_tiers", [=] { (void)allocate::z_tiers{}(of(values)); }, "allocate::z_tiers: the score of unit block.1"},
            {"kmeans_tiers", [=] { (void)allocate::kmeans_tiers{}(of(values)); },
             "allocate::kmeans_tiers: the score of"},
            {"combine",
             [=] {
               const std::vector<scores> two{of({1, 2, 3}), of(values)};
               (void)score::combine{}(two);
             },
             "the score of unit block.1"},
            {"combine weights",
             [=] {
               const std::vector<scores> one_table{of({1, 2, 3})};
               (void)score::combine{.weights = {bad}}(one_table);
             },
             "weight "},
        });
  }
  all.insert(
      all.end(),
      {
          {"sum1 overflow", [] { (void)normalise::sum1(numbers{huge, huge}); }, "the sum of the scores is inf"},
          {"z_tiers thresholds", [] { (void)allocate::z_tiers{.below = no_number}(of({1, 2, 3})); }, "thresholds nan"},
          {"combine weights overflow",
           [] {
             const std::vector<scores> two{of({1, 2, 3}), of({3, 2, 1})};
             (void)score::combine{.weights = {huge, huge}}(two);
           },
           "weights that sum to inf"},
          {"combine nothing", [] { (void)score::combine{}({}); }, "no scores"},
          {"kmeans without options", [] { (void)allocate::kmeans_tiers{.options = {}}(of({1, 2, 3})); }, "no options"},
      });
  check_refused(all);

  // Documented results: equal, single, no and very large values.
  CHECK(normalise::minmax(numbers{-huge, 0, huge}) == numbers{0, 0.5, 1});
  CHECK(normalise::rank(numbers{huge, -huge}) == numbers{1, 0});
  for (const double unit : {huge, 5e-170, 1.0}) {  // the unit does not matter, however large or small
    const numbers z = z_scores(numbers{-unit, 0, unit});
    CHECK(z[0] == Approx(-std::sqrt(1.5)));
    CHECK(z[1] == 0);
    CHECK(z[2] == Approx(std::sqrt(1.5)));
  }
  CHECK(allocate::z_tiers{}.tiers(numbers{-huge, 0, huge}) ==
        std::vector<allocate::tier>{allocate::tier::low, allocate::tier::medium, allocate::tier::high});
  CHECK(allocate::kmeans_tiers{}.tiers(numbers{-huge, 0, huge}) == std::vector<std::size_t>{0, 1, 2});
  CHECK(allocate::kmeans_tiers{}.tiers(numbers{5e-170, 0, -5e-170}) == std::vector<std::size_t>{2, 1, 0});
  CHECK(moments_of(numbers{}).standard_deviation == 0);
  CHECK(std::isnan(moments_of(numbers{1}, deviation::sample).standard_deviation));
}

TEST_CASE("odd numbers: budgets and allocators", "[precis][refusal]") {
  std::vector<refused_call> all;
  using unit_of = budget::measure;
  for (const unit_of unit :
       {unit_of::bits_per_weight, unit_of::bytes, unit_of::percent_of_original, unit_of::nanoseconds})
    for (const double value : {no_number, infinity, -infinity, 0.0, -1.0, -huge}) {
      const budget b{unit, value};
      CHECK((value == infinity || unit == unit_of::nanoseconds || b.bytes(100, 100) == 0));
      cost_table t = table();
      t.nanoseconds = {1, 2, 1, 2, 1, 2};
      all.insert(all.end(), {
                                {"knapsack", [=] { (void)allocate::knapsack{.budget = b}(t); }, "a budget of "},
                                {"lagrangian", [=] { (void)allocate::lagrangian{.budget = b}(t); }, "a budget of "},
                                {"greedy", [=] { (void)allocate::greedy{.budget = b}(t); }, "a budget of "},
                                {"minimax", [=] { (void)allocate::minimax{.budget = b}(t); }, "a budget of "},
                                {"norm_sweep", [=] { (void)allocate::norm_sweep{.budget = b}(t); }, "a budget of "},
                                {"uniform", [=] { (void)allocate::uniform{.budget = b}(t); }, "a budget of "},
                                {"also", [=] { (void)allocate::knapsack{.budget = bits_per_weight(8), .also = b}(t); },
                                 unit == unit_of::nanoseconds ? "a budget of " : ""},
                            });
    }
  for (const double cost : {no_number, -infinity})
    all.push_back({"a cost",
                   [=] {
                     cost_table t = table();
                     t.costs[2] = cost;
                     (void)allocate::knapsack{}(t);
                   },
                   "the cost of unit block.1 in small is "});
  all.insert(
      all.end(),
      {
          {"below the smallest", [] { (void)allocate::knapsack{.budget = at_most_bytes(2)}(table()); },
           "a budget of 2B"},
          {"no entry",
           [] {
             cost_table t = table();
             t.costs[2] = t.costs[3] = not_admitted;
             (void)allocate::knapsack{}(t);
           },
           "unit block.1 has no admissible entry"},
          {"costs overflow",
           [] {
             cost_table t = table();
             for (double& c : t.costs) c = huge;
             (void)allocate::knapsack{}(t);
           },
           "overflows"},
          {"powers", [] { (void)allocate::norm_sweep{.powers = {no_number}}(table()); }, "a power of nan"},
          {"no powers", [] { (void)allocate::norm_sweep{.powers = {}}(table()); }, "no powers"},
          {"percent of nothing",
           [] {
             cost_table t = table();
             t.original_bytes = 0;
             (void)allocate::knapsack{.budget = percent_of_original(40)}(t);
           },
           "no original size"},
          {"time without times", [] { (void)allocate::knapsack{.budget = at_most_nanoseconds(9)}(table()); }, "times"},
      });
  const std::vector<std::size_t> weights{4, 4};
  for (const double bad : {no_number, infinity, -1.0, 1.5})
    all.insert(
        all.end(),
        {
            {"owl", [=] { (void)allocate::owl{.sparsity = bad}(numbers{1, 2}, weights); }, "a sparsity of "},
            {"owl most", [=] { (void)allocate::owl{.sparsity = 0, .most = bad}(numbers{1, 2}, weights); },
             "a largest sparsity of "},
            {"softmax", [=] { (void)allocate::entropy_softmax{.sparsity = bad}(numbers{1, 2}, weights); },
             "a sparsity of "},
            {"softmax most",
             [=] { (void)allocate::entropy_softmax{.sparsity = 0, .most = bad}(numbers{1, 2}, weights); },
             "a largest sparsity of "},
            {"with_sparsity",
             [=] { (void)allocate::with_sparsity({.choices = {{"u", "float16"}}}, numbers{bad}, "hand"); },
             "a sparsity of "},
            {"ranks_by_energy", [=] { (void)allocate::ranks_by_energy{bad}(std::vector<allocate::rank_unit>{}); },
             "a lost share of "},
        });
  const auto rank_unit = [](numbers values, double weight) {
    return std::vector<allocate::rank_unit>{
        {.name = "u", .out = 2, .in = 2, .values = std::move(values), .weight = weight}};
  };
  all.insert(
      all.end(),
      {
          {"owl strength", [=] { (void)allocate::owl{.strength = no_number}(numbers{1, 2}, weights); },
           "the strength is nan"},
          {"owl counts", [=] { (void)allocate::owl{}(numbers{1}, weights); }, "1 values for 2 units"},
          {"softmax temperature",
           [=] { (void)allocate::entropy_softmax{.temperature = no_number}(numbers{1, 2}, weights); },
           "a temperature of nan"},
          {"rank values", [=] { (void)allocate::rank_items(rank_unit({no_number, 1}, 1)); }, "unit u of 2 x 2"},
          {"rank weight", [=] { (void)allocate::rank_items(rank_unit({2, 1}, infinity)); }, "weight inf"},
          {"rank squares", [=] { (void)allocate::rank_items(rank_unit({1e200, 1}, 1)); }, "squares of unit u is inf"},
          {"rank of no units", [] { (void)allocate::rank_costs(std::vector<allocate::rank_unit>{}); }, "no units"},
      });
  check_refused(all);

  const numbers large = allocate::owl{.sparsity = 0.5, .strength = 0.1}(numbers{-huge, huge}, weights);
  CHECK(large[0] == Approx(0.6));  // a = 0 and 0.2, of mean 0.1
  CHECK(large[1] == Approx(0.4));
  CHECK(allocate::owl{}({}, {}).empty());
}

TEST_CASE("odd numbers: weights", "[precis][refusal]") {
  std::vector<refused_call> all;
  for (const float bad : {no_float, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const written_model m = with_weight(bad);
    all.insert(
        all.end(),
        {
            {"weight_magnitude", [=] { (void)score::weight_magnitude{}(m); }, "m1"},
            {"joint_shares", [=] { (void)prune::joint_shares{}(m, blocks(m)); }, "m1"},
            {"weighted_error",
             [=] { (void)cost::weighted_error<written::formats>{}(m, written::scores_of(m, {1, 2})); }, "m1"},
            {"singular_values", [=] { (void)linear_algebra::singular_values(m.maps[1].view(), "m1"); }, "m1 holds "},
            {"errors", [=] { (void)evaluate::errors(m.maps[1].view(), written::random_model().maps[1].view()); },
             "evaluate::errors: the weight of the original in row 0, column 3 is "},
            {"errors of the compressed",
             [=] { (void)evaluate::errors(written::random_model().maps[1].view(), m.maps[1].view()); },
             "the compressed matrix in row 0, column 3"},
            {"magnitude",
             [=] {
               written_model copy = m;
               (void)prune::magnitude{}(copy.maps[1].view());
             },
             "row 0, column 3"},
            {"in groups",
             [=] {
               written_model copy = m;
               (void)prune::magnitude_in_groups{}(copy.maps[1].view());
             },
             "row 0, column 3"},
            {"pack",
             [=] {
               plan p{.units = unit_kind::matrix};
               for (const matrix_info& i : m.infos) p.choices.push_back({i.name, "affine4.g32"});
               (void)pack<codec::standard>(m, p);
             },
             "row 0, column 3"},
        });
    for (std::size_t e = 0; e < codec::standard::size; e += 7) {  // every family, width and granularity in turn
      const std::string name = codec::standard::names()[e];
      if (codec::standard::bytes(e, 2, 256) == 0) continue;
      all.push_back({name,
                     [=] {
                       std::vector<float> weights(512, 0.5f);
                       weights[261] = bad;
                       std::vector<std::byte> packed(codec::standard::bytes(e, 2, 256));
                       codec::standard::encode(e, {weights, 2, 256}, packed);
                     },
                     "row 1, column 5"});
    }
    const auto encode = [bad](auto codec) {
      using format = decltype(codec);
      return [bad] {
        std::vector<float> weights(64, 0.5f);
        weights[37] = bad;
        std::vector<std::byte> packed(format::bytes(2, 32));
        format::encode({weights, 2, 32}, packed);
      };
    };
    all.push_back({"low_rank", encode(codec::low_rank<50, codec::float16>{}), "holds "});
  }
  for (const double bad : {no_number, infinity, 0.0, -1.0}) {
    all.insert(all.end(), {
                              {"clip_search step",
                               [=] {
                                 std::vector<float> w(32, 1.f);
                                 std::vector<std::byte> p(codec::affine<4, 32>::bytes(1, 32));
                                 fit::clip_search{.step = bad}(codec::affine<4, 32>::format, {w, 1, 32}, p);
                               },
                               "fit::clip_search"},
                              {"clip_search power",
                               [=] {
                                 std::vector<float> w(32, 1.f);
                                 std::vector<std::byte> p(codec::affine<4, 32>::bytes(1, 32));
                                 fit::clip_search{.power = bad}(codec::affine<4, 32>::format, {w, 1, 32}, p);
                               },
                               "fit::clip_search"},
                          });
  }
  for (const double bad : {no_number, infinity, -0.5, 1.5})
    all.insert(all.end(), {
                              {"magnitude sparsity",
                               [=] {
                                 written_model m = written::random_model();
                                 (void)prune::magnitude{.sparsity = bad}(m.maps[1].view());
                               },
                               "a fraction of "},
                              {"joint_shares sparsity",
                               [=] {
                                 const written_model m = written::random_model();
                                 (void)prune::joint_shares{.sparsity = bad}(m, blocks(m));
                               },
                               "a "},
                              {"joint_shares cap",
                               [=] {
                                 const written_model m = written::random_model();
                                 (void)prune::joint_shares{.most = bad}(m, blocks(m));
                               },
                               "a cap of "},
                          });
  check_refused(all);
}

TEST_CASE("odd numbers: costs that run the model", "[precis][refusal]") {
  using formats = menu<codec::affine<4>, codec::float32>;
  const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 2)};
  std::vector<refused_call> all;
  for (const float bad : {no_float, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    const auto with = [bad](auto&& call) {
      return [bad, call] {
        micro_transformer model;
        mutable_weight_view w = model.weights(0);
        w(0, 0) = bad;
        call(model);
      };
    };
    all.insert(
        all.end(),
        {{"measured kl", with([=](micro_transformer& m) {
            (void)cost::measured<formats>{.by = cost::measured<formats>::loss::kl}(m, batches);
          }),
          "cost::measured"},
         {"measured nll", with([=](micro_transformer& m) { (void)cost::measured<formats>{}(m, batches); }),
          "cost::measured"},
         {"from weights", with([=](micro_transformer& m) { (void)cost::reconstruction<formats>{}.from_weights(m); }),
          micro_transformer{}.matrices()[0].name}});
  }
  check_refused(all);

  // Zero and huge weights are numbers like others: each cost is finite, or the entry is not admissible.
  for (const float odd : {0.f, 1e30f, -3e38f}) {
    micro_transformer model;
    mutable_weight_view w = model.weights(0);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = odd;
    const std::string said = refusal([&] {
      const cost_table t = cost::measured<formats>{.by = cost::measured<formats>::loss::kl}(model, batches);
      for (const double c : t.costs) CHECK((std::isfinite(c) || c == not_admitted));
    });
    CAPTURE(odd, said);
    CHECK((said.empty() || said.find("; expected ") != std::string::npos));
    for (const double c : cost::reconstruction<formats>{}.from_weights(model).costs)
      CHECK(((std::isfinite(c) && c >= 0) || c == not_admitted));
  }
}

TEST_CASE("odd numbers: the evolutionary search", "[precis][refusal]") {
  // A fitness that is not finite counts as infinite; a generation without any finite one is refused.
  cost_table t = table();
  const std::vector<std::size_t> tokens{4, 4};
  const auto search = [](const budget& b) {
    return allocate::evolve{.budget = b, .generations = 3, .offspring = 2, .stages = {{1, 8}}, .start_tokens = 8};
  };
  const auto fitness = [](double value) {
    return [value](std::span<const std::vector<std::size_t>> candidates, const allocate::evaluation_sample&) {
      return numbers(candidates.size(), value);
    };
  };
  std::vector<refused_call> all;
  for (const double bad : {no_number, infinity, -infinity})
    all.push_back({"fitness", [=] { (void)search(at_most_bytes(9)).solve(t, tokens, fitness(bad)); },
                   "no candidate has a finite fitness"});
  for (const double value : {no_number, infinity, -infinity, 0.0, -1.0, -huge})
    if (value != infinity)
      all.push_back({"budget", [=] { (void)search({budget::measure::bytes, value}).solve(t, tokens, fitness(1)); },
                     "a budget of "});
  all.insert(all.end(), {{"survivors",
                          [=] {
                            allocate::evolve e = search(at_most_bytes(9));
                            e.stages = {{2, 8}};
                            (void)e.solve(t, tokens, fitness(1));
                          },
                          "allocate::evolve"},
                         {"tokens",
                          [=] {
                            allocate::evolve e = search(at_most_bytes(9));
                            e.stages = {{1, 9}};
                            (void)e.solve(t, tokens, fitness(1));
                          },
                          "allocate::evolve"},
                         {"a cost",
                          [=] {
                            cost_table bad = t;
                            bad.costs[2] = no_number;
                            (void)search(at_most_bytes(9)).solve(bad, tokens, fitness(1));
                          },
                          "the cost of unit block.1 in small is "}});
  check_refused(all);
  // Where some candidates are finite, the best of them wins, however large the numbers are.
  const auto mixed = [&](std::span<const std::vector<std::size_t>> candidates, const allocate::evaluation_sample&) {
    numbers losses;
    for (const auto& c : candidates) losses.push_back(c[0] == 1 ? -huge : c[1] == 1 ? no_number : infinity);
    return losses;
  };
  const allocate::solution best = search(at_most_bytes(6)).solve(t, tokens, mixed);
  CHECK(best.objective == -huge);
  CHECK(best.entries[0] == 1);
}

TEST_CASE("odd numbers: nothing at all has a documented result", "[precis][property]") {
  for (std::size_t e = 0; e < codec::standard::size; e += 7)
    for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 256}, {3, 0}, {0, 0}}) {
      CAPTURE(codec::standard::names()[e], rows, cols);
      std::vector<std::byte> packed(codec::standard::bytes(e, rows, cols));
      std::vector<float> none;
      codec::standard::encode(e, {none, rows, cols}, packed);
      codec::standard::decode(e, packed, mutable_weight_view(none, rows, cols));
    }
  written_model empty;
  CHECK(pack<codec::standard>(empty, plan{.units = unit_kind::matrix}).matrices.empty());
  CHECK(evaluate::errors(weight_view{}, weight_view{}).weights == 0);
  CHECK(evaluate::mean_interval({}).half_width == infinity);
  CHECK(evaluate::mean_interval(numbers{3}).half_width == infinity);
  CHECK(evaluate::mean_interval(numbers{3, 3, 3}).half_width == 0);
  CHECK_FALSE(evaluate::mean_interval(numbers{no_number, 1, 2}).sure());
  CHECK_FALSE(evaluate::mean_interval(numbers{infinity, 1, 2}).sure());
  CHECK(evaluate::share_interval(0, 0).half_width == infinity);
  CHECK(size_report{}.bits_per_weight() == 0);
  CHECK(size_report{}.percent_reduction() == 0);
  CHECK(to_text(plan{}).starts_with("precis-plan 1\n"));
  std::vector<float> zeros(512);
  for (std::size_t e = 0; e < codec::standard::size; e += 7) {  // a range of zero
    std::vector<std::byte> packed(codec::standard::bytes(e, 2, 256));
    std::vector<float> back(512, 1.f);
    codec::standard::encode(e, {zeros, 2, 256}, packed);
    codec::standard::decode(e, packed, mutable_weight_view(back, 2, 256));
    CAPTURE(codec::standard::names()[e]);
    CHECK(back == zeros);
  }
}
