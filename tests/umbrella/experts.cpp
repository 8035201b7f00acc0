#include <precis/model/whole_forwards.hpp>
#include <precis/multiply.hpp>
#include <precis/precis.hpp>

#include "catch.hpp"
#include "micro_experts.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace precis;

// Units of the model's own: experts, of which one is never used, and a table that is embedding and head at once. They
// take the whole way: score -> cost -> allocate -> pack -> multiply.

namespace {

using formats = menu<codec::affine<2, 32>, codec::affine<4, 32>, codec::affine<8, 32>>;

const std::vector<token_batch> batches{micro_experts::counting(4), micro_experts::counting(6)};
const std::vector<std::string> unused{"0.expert.2", "1.expert.2"};

bool is_unused(const std::string& unit) { return std::ranges::find(unused, unit) != unused.end(); }

std::vector<std::string> names_of(const std::vector<unit>& units) {
  std::vector<std::string> names;
  for (const unit& u : units) names.push_back(u.name);
  return names;
}

/// The table is an embedding only, so it reports no input.
struct looked_up_only : micro_experts {
  template<class Sink>
  void inputs(const batch_type& b, Sink&& sink) const {
    micro_experts::inputs(b, [&](const linear_input& i) {
      if (i.matrices.front() != table) sink(i);
    });
  }
};

cost_table measured_costs(micro_experts& model) {
  return cost::measured<formats>{.units = unit_kind::named}(model, batches);
}

/// The largest difference between the packed product and that of the decoded matrix, relative to the row's size.
double product_error(const encoded_matrix& m) {
  float_matrix decoded(m.choice.out, m.choice.in);
  formats::decode(m.choice.entry, m.bytes, decoded.view());
  std::vector<float> x(m.choice.in), y(m.choice.out), workspace(multiply_workspace<formats>(m));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5) - 2;
  multiply<formats>(m, x, y, workspace);
  double worst = 0;
  for (std::size_t o = 0; o < y.size(); ++o) {
    double sum = 0, size = 1;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double term = static_cast<double>(decoded(o, i)) * static_cast<double>(x[i]);
      sum += term;
      size += std::abs(term);
    }
    worst = std::max(worst, std::abs(static_cast<double>(y[o]) - sum) / size);
  }
  return worst;
}

}  // namespace

TEST_CASE("a model's own units: a table, maps and experts", "[precis][experts][worked-example]") {
  const micro_experts model;
  const std::vector<unit> units = group_units(model.matrices(), unit_kind::named);
  CHECK(names_of(units) == std::vector<std::string>{"table", "0.mix", "0.expert.0", "0.expert.1", "0.expert.2", "1.mix",
                                                    "1.expert.0", "1.expert.1", "1.expert.2"});
  CHECK(units[2].matrices == std::vector<std::size_t>{2, 3});
  CHECK(units[0].weights == 6 * 32);  // counted once, for both uses
  CHECK(names_of(group_units(model.matrices(), unit_kind::block)) ==
        std::vector<std::string>{"table", "block.0", "block.1"});
}

TEST_CASE("an expert to which no token was routed scores 0, and the scores say so", "[precis][experts][property]") {
  micro_experts model;
  const auto check = [&](const scores& s, const std::string& note) {
    CAPTURE(s.scorer);
    REQUIRE(s.size() == 9);
    for (std::size_t u = 0; u < s.size(); ++u) CHECK((s.values[u] == 0) == is_unused(s.units[u].name));
    CHECK(s.notes == std::vector<std::string>{note});
    CHECK(parse_scores(to_text(s), model.matrices()) == s);
  };
  const std::string matrices = "0.expert.2.up, 0.expert.2.down, 1.expert.2.up, 1.expert.2.down";
  const std::string units = "no loss changed with 0.expert.2, 1.expert.2";
  constexpr unit_kind kind = unit_kind::named;
  check(score::gradient_magnitude{.units = kind}(model, batches), "no data reached " + matrices);
  check(score::first_order_taylor{.units = kind}(model, batches), "no data reached " + matrices);
  check(score::taylor{.units = kind}(model, batches), units);
  check(score::pruning_sensitivity{.units = kind}(model, batches), units);
  const auto halve = [](const matrix_info&, mutable_weight_view w) {
    for (std::size_t r = 0; r < w.rows; ++r)
      for (float& v : w.row(r)) v /= 2;
  };
  check(score::reconstruction_error{.units = kind}(model, batches, halve), "no data reached " + matrices);
  const scores outliers = score::outliers{.multiple = 1, .units = kind}(model, batches);
  check(outliers, "no data reached " + matrices);
  // The weights alone do not tell which experts are used.
  CHECK(score::weight_magnitude{.units = kind}(model).notes.empty());
}

TEST_CASE("scorers of layers leave out what is outside of the layers, and name it", "[precis][experts][property]") {
  const micro_experts model;
  const auto check = [&](const scores& s, std::size_t scored) {
    CAPTURE(s.scorer);
    CHECK(s.size() == scored);
    CHECK(names_of(s.unscored) == std::vector<std::string>{"table"});
    CHECK(parse_scores(to_text(s), model.matrices()) == s);
    const plan p = allocate::z_tiers{.low = {"affine2.g32"}, .medium = {"affine4.g32"}, .high = {"affine8.g32"}}(s);
    CHECK(p.choices.front() == choice{"table", "affine8.g32"});
    CHECK(p.notes[1] == "no score, so the highest tier: table");
    CHECK(resolve<formats>(model.matrices(), p).size() == model.matrices().size());
    CHECK(allocate::kmeans_tiers{.options = {{"affine2.g32"}, {"affine4.g32"}}}(s).choices.front().codec ==
          "affine4.g32");
    CHECK(cost::weighted_error<formats>{}(model, s).notes ==
          std::vector<std::string>{"no score, so the weight of the highest: table"});
  };
  const std::vector<score::fact> facts{
      {.name = "f", .prompt = {0, 1, 2}, .subject_begin = 1, .subject_end = 2, .answer = [&] {
         const float_matrix z = model.logits(prompts(1, {0, 1, 2}), positions::last, tap::none{});
         return static_cast<token>(std::ranges::max_element(z.row(0)) - z.row(0).begin());
       }()}};
  for (const auto& [kind, scored] : {std::pair{unit_kind::block, 2u}, std::pair{unit_kind::named, 8u}}) {
    check(score::block_influence{.units = kind}(model, batches), scored);
    check(score::drop_one{.units = kind}(model, batches), scored);
    check(score::input_taylor{.units = kind}(model, batches), scored);
    check(score::cca{.keep = {.most = 2}, .units = kind}(model, batches), scored);
    check(score::causal_trace{.noise = {.runs = 2}, .units = kind}(model, facts), scored);
  }
  // An expert gets the score of its half, like every matrix.
  const scores named = score::drop_one{.units = unit_kind::named}(model, batches);
  const scores halves = score::drop_one{.units = unit_kind::half}(model, batches);
  CHECK(named.values[1] == halves.values[1]);
  CHECK(named.values[3] == halves.values[1]);
}

TEST_CASE("measured costs of a model's own units, with and without layers", "[precis][experts][oracle]") {
  micro_experts model;
  const cost_table t = measured_costs(model);
  CHECK(t.notes == std::vector<std::string>{"no loss changed with 0.expert.2, 1.expert.2"});
  CHECK(parse_costs(to_text(t), model.matrices()) == t);
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (std::size_t e = 0; e < t.entries.size(); ++e) {
      micro_experts changed;
      for (const std::size_t m : t.units[u].matrices)
        cost::round_trip<formats>(changed.weights(m), changed.matrices()[m], e, fit::nearest{}, changed.weights(m));
      nll before, after;
      for (const token_batch& b : batches) {
        before += model.loss(b);
        after += changed.loss(b);  // the table is changed in both of its uses
      }
      CHECK(t.costs_of(u)[e] == after.mean() - before.mean());
    }
  whole_forwards plain(model);
  CHECK(cost::measured<formats>{.units = unit_kind::named}(plain, std::span<const token_batch>(batches)) == t);
}

TEST_CASE("reconstruction costs: nothing for an unused expert, every row of a table that is looked up",
          "[precis][experts][oracle]") {
  const micro_experts model;
  const cost_table t = cost::reconstruction<formats>{.units = unit_kind::named}(model, batches);
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (const double c : t.costs_of(u)) CHECK((c == 0) == is_unused(t.units[u].name));
  CHECK(t.notes.size() == 1);

  const cost_table looked_up = cost::reconstruction<formats>{.units = unit_kind::named}(looked_up_only{}, batches);
  const cost_table of_weights = cost::reconstruction<formats>{.units = unit_kind::named}.from_weights(model);
  CHECK(std::ranges::equal(looked_up.costs_of(0), of_weights.costs_of(0)));
  CHECK(looked_up.notes.back() == "every row counts once in table");
}

TEST_CASE("plans whose table differs are evaluated from the tokens on", "[precis][experts][oracle]") {
  micro_experts model;
  const std::vector<token_batch> single{micro_experts::counting(1), micro_experts::counting(1, 6)};
  const cost_table t = cost::blank_table<formats>(model.matrices(), unit_kind::named, {}, 32, "test");
  std::vector<std::vector<std::size_t>> plans(4, std::vector<std::size_t>(t.units.size(), 2));
  plans[1].front() = 0;
  plans[2].back() = 0;
  plans[3].front() = plans[3].back() = 1;
  const allocate::evaluation_sample all{.sequences = {0, 1}, .tokens_of_last = 6};
  std::vector<double> layered, whole;
  {
    cost::plan_divergence<formats, micro_experts> fitness(model, single, t);
    layered = fitness(plans, all);
  }
  {
    whole_forwards plain(model);
    cost::plan_divergence<formats, whole_forwards<micro_experts>> fitness(plain, single, t);
    whole = fitness(plans, all);
  }
  CHECK(layered == whole);
  CHECK(layered[0] != layered[1]);
}

TEST_CASE("experts and the table from scores to products", "[precis][experts][oracle]") {
  micro_experts model;
  const cost_table t = measured_costs(model);
  constexpr unit_kind kind = unit_kind::named;
  const allocate::z_tiers tiers{.low = {"affine2.g32"}, .medium = {"affine4.g32"}, .high = {"affine8.g32"}};
  const allocate::kmeans_tiers clusters{.options = {{"affine2.g32"}, {"affine4.g32"}, {"affine8.g32"}}};
  const budget four = bits_per_weight(7);  // 2 bits and a scale and a zero point per 32 weights take 3.25
  std::vector<plan> plans{allocate::knapsack{.budget = four}(t), allocate::greedy{.budget = four}(t),
                          allocate::lagrangian{.budget = four}(t), allocate::minimax{.budget = four}(t),
                          allocate::smallest{.cost = 0.01}(t)};
  for (const plan& p : plans)
    for (const std::string& name : unused) CHECK(p.find(name)->codec == "affine2.g32");  // it costs nothing
  for (const scores& s :
       {score::weight_magnitude{.units = kind}(model), score::gradient_magnitude{.units = kind}(model, batches),
        score::taylor{.units = kind}(model, batches)}) {
    plans.push_back(tiers(s));
    plans.push_back(clusters(s));
    plans.push_back(allocate::knapsack{.budget = four}(cost::weighted_error<formats>{}(model, s)));
  }
  for (const plan& p : plans) {
    CAPTURE(p.notes.front());
    CHECK(p.units == kind);
    CHECK(parse_plan(to_text(p)) == p);
    const packed_model packed = pack<formats>(model, p);
    CHECK(packed.size.weights == 6 * 32 + 2 * 7 * 32 * 32);
    std::size_t bytes = 0;
    for (const encoded_matrix& m : packed.matrices) {
      bytes += m.bytes.size();
      CHECK(product_error(m) < 1e-5);  // floats summed in another order: at most 33 roundings of 2^-24
    }
    CHECK(packed.size.packed_bytes == bytes);

    // The table's other use: a row, as the codec decodes it.
    const encoded_matrix& table = packed["table"];
    float_matrix decoded(micro_experts::vocabulary, micro_experts::width);
    formats::decode(table.choice.entry, table.bytes, decoded.view());
    std::vector<float> row(micro_experts::width);
    for (std::size_t v = 0; v < micro_experts::vocabulary; ++v) {
      kernel::decode_row(table.view(), v, row);
      CHECK(std::ranges::equal(row, decoded.row(v)));
    }
  }
}
