// Scores, tiers, pruning and quantization for a model that is not a transformer: a perceptron that classifies points by
// the arm of a spiral. The program trains it first, in about a second.

#include "adaptor.hpp"
#include "network.hpp"

#include <precis/allocate.hpp>
#include <precis/codec.hpp>
#include <precis/pack.hpp>
#include <precis/score.hpp>

#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace score = precis::score;
namespace allocate = precis::allocate;
namespace codec = precis::codec;

using formats = precis::menu<codec::affine<3>, codec::affine<4>, codec::affine<8>>;

namespace {

struct row {
  std::string name;
  std::vector<double> scores;  ///< empty for plans without scores
  precis::plan plan;
};

/// A plan with the same choice for every unit. The tiers should lie between the two extremes.
precis::plan constant(const mlp_adaptor& model, const std::string& codec_name, double sparsity) {
  precis::plan p;
  for (const precis::unit& u : precis::group_units(model.matrices(), precis::unit_kind::block))
    p.choices.push_back({.unit = u.name, .codec = codec_name, .sparsity = sparsity});
  return p;
}

std::vector<mlp::samples> one_by_one(const mlp::samples& all) {
  std::vector<mlp::samples> each;
  for (std::size_t s = 0; s < all.size(); ++s)
    each.push_back({.inputs = 2, .points = {all.points[2 * s], all.points[2 * s + 1]}, .labels = {all.labels[s]}});
  return each;
}

}  // namespace

int main() {
  const mlp::samples training = mlp::spirals(3, 200, 1), test = mlp::spirals(3, 400, 2);
  mlp::network net({2, 32, 32, 32, 32, 3});
  mlp::train(net, training, 2500);
  mlp_adaptor model(net);

  const precis::scores weight = score::weight_magnitude{.by = score::weight_magnitude::scale::per_weight}(model);
  const precis::scores gradient = score::gradient_magnitude{}(model, std::vector{training});
  const precis::scores fisher = score::gradient_magnitude{
      .squares = score::gradient_magnitude::order::square_then_mean}(model, one_by_one(training));
  const allocate::z_tiers tiers{
      .low = {"affine3.row", 0.4}, .medium = {"affine4.row", 0.2}, .high = {"affine8.row", 0}};

  const std::vector<row> rows{{"constant low", {}, constant(model, tiers.low.codec, tiers.low.sparsity)},
                              {"weight_magnitude", weight.values, tiers(weight)},
                              {"gradient_magnitude", gradient.values, tiers(gradient)},
                              {"... of each sample", fisher.values, tiers(fisher)},
                              {"constant high", {}, constant(model, tiers.high.codec, tiers.high.sparsity)}};

  std::printf("L: %s, %.0f %% pruned. M: %s, %.0f %% pruned. H: %s.\n\n", tiers.low.codec.c_str(),
              100 * tiers.low.sparsity, tiers.medium.codec.c_str(), 100 * tiers.medium.sparsity,
              tiers.high.codec.c_str());
  std::printf("%-19s %-6s %6s %7s %8s %9s\n", "scores by", "layers", "bytes", "smaller", "loss", "accuracy");
  const auto report = [&](const std::string& name, const std::string& layers, std::size_t bytes, double ratio) {
    std::printf("%-19s %-6s %6zu %6.2fx %8.4f %8.1f%%\n", name.c_str(), layers.c_str(), bytes, ratio,
                model.loss(test).mean(), 100 * mlp::accuracy(net, test));
  };
  std::size_t weights = 0;
  for (const precis::matrix_info& m : model.matrices()) weights += m.weights();
  report("(original)", "float", sizeof(float) * weights, 1);

  std::vector<std::size_t> all(model.matrices().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  for (const row& r : rows) {
    precis::weight_guard guard(model, all);  // restores the original weights at the end of the iteration
    const precis::applied done = precis::apply<formats>(model, r.plan);
    std::string layers;
    for (const precis::choice& c : r.plan.choices)
      layers += c.codec == tiers.low.codec ? 'L' : c.codec == tiers.medium.codec ? 'M' : 'H';
    report(r.name, layers, done.size.packed_bytes, done.size.compression_ratio());
  }

  std::printf("\n%-19s", "scores");
  for (const precis::unit& u : weight.units) std::printf(" %9s", u.name.c_str());
  for (const row& r : rows) {
    if (r.scores.empty()) continue;
    std::printf("\n%-19s", r.name.c_str());
    for (const double s : r.scores) std::printf(" %9.3g", s);
  }
  std::printf("\n");
}
