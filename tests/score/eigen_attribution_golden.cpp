#include <precis/score/eigen_attribution.hpp>

#include <precis/prune/eigenpruning.hpp>

#include <engine/files/json.hpp>
#include <engine/model/transformer.hpp>
#include <engine/model_files/load.hpp>

#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

using namespace precis;

namespace {

struct real_model {
  engine::transformer model;
  engine::json golden;
  token_batch samples;
  std::vector<matrix_slice> keys;  ///< of layer 3: whole, and head 2

  real_model(const std::filesystem::path& folder, const std::filesystem::path& path)
      : model(engine::load(folder).weights) {
    std::ifstream file(path);
    golden = engine::json::parse(file);
    const auto ids = golden.at("ids").get<std::vector<std::vector<token>>>();
    const auto targets = golden.at("target_at_last_position").get<std::vector<token>>();
    samples = {.sequences = ids.size(), .tokens = ids[0].size(), .ids = {}, .targets = {}};
    for (std::size_t s = 0; s < ids.size(); ++s) {
      samples.ids.insert(samples.ids.end(), ids[s].begin(), ids[s].end());
      samples.targets.resize(samples.ids.size(), no_target);
      samples.targets.back() = targets[s];
    }
    for (const matrix_slice& s : model.slices())
      if (s.role == role::key && s.layer == golden.at("layer").get<std::size_t>()) {
        keys.push_back(s);
        keys.push_back(by_head(std::span(&s, 1))[2]);
      }
  }
};

}  // namespace

TEST_CASE("eigen_attribution of the real model's keys equals the golden spectra and effects",
          "[slow][score][eigen_attribution][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/eigen.json");
  if (!folder || !path) return;
  const real_model real(*folder, *path);
  REQUIRE(real.keys.size() == 2);
  const spectra all = score::eigen_attribution{.pairs = score::eigen_attribution::pairing::cycle}(
      real.model, std::span(&real.samples, 1), real.keys);
  const char* const names[] = {"key_matrix", "key_head_2"};
  for (std::size_t i = 0; i < 2; ++i) {
    INFO(names[i]);
    const auto values = real.golden.at(names[i]).at("singular_values").get<std::vector<double>>();
    auto scores = real.golden.at(names[i]).at("score_max").get<std::vector<double>>();
    REQUIRE(all.slices[i].values.size() == values.size());
    for (std::size_t r = 0; r < values.size(); ++r)
      CHECK(std::abs(all.slices[i].values[r] - values[r]) < 1e-6 * values[0]);
    // Parts of nearly equal singular values can swap places, so both lists are sorted. The golden file has a tolerance
    // of 1e-3 of the largest.
    std::vector<double> found = all.slices[i].scores;
    std::ranges::sort(found);
    std::ranges::sort(scores);
    double worst = 0;
    for (std::size_t r = 0; r < scores.size(); ++r) worst = std::max(worst, std::abs(found[r] - scores[r]));
    CHECK(worst < 1e-3 * scores.back());
  }
}

TEST_CASE("eigen_attribution @post on the real model: effects sum to g . W (x' - x)",
          "[slow][score][eigen_attribution][golden][property]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/eigen.json");
  if (!folder || !path) return;
  const real_model real(*folder, *path);
  const matrix_slice key = real.keys.at(0), head = real.keys.at(1);
  double totals[2] = {};
  static_cast<void>(real.model.backward(real.samples, [&](const linear_gradient& g) {
    if (g.matrix != key.matrix) return;
    for (std::size_t which = 0; which < 2; ++which) {
      const matrix_slice& s = which == 0 ? key : head;
      const weight_view w = part_of(real.model.weights(s.matrix), s);
      const linear_algebra::singular_system parts = linear_algebra::singular_values(w);
      for (std::size_t i = 0; i < g.input.sequences; ++i)
        for (std::size_t t = 0; t < g.input.tokens; ++t) {
          const auto x = g.input(i, t), partner = g.input((i + g.input.sequences - 1) % g.input.sequences, t);
          const auto dy = g.output_gradient(i, t).subspan(s.first_out, s.out);
          double by_parts = 0, by_matrix = 0, size = 0;
          for (std::size_t r = 0; r < parts.count(); ++r) {
            double p = 0, q = 0;
            for (std::size_t o = 0; o < s.out; ++o) p += parts.left(r, o) * static_cast<double>(dy[o]);
            for (std::size_t f = 0; f < s.in; ++f)
              q += parts.right(r, f) * (static_cast<double>(partner[f]) - static_cast<double>(x[f]));
            by_parts += p * q;
            size += std::abs(p * q);
          }
          for (std::size_t o = 0; o < s.out; ++o)
            for (std::size_t f = 0; f < s.in; ++f)
              by_matrix += static_cast<double>(dy[o]) * static_cast<double>(w(o, f)) *
                           (static_cast<double>(partner[f]) - static_cast<double>(x[f]));
          CHECK(std::abs(by_parts - by_matrix) <= 1e-12 * size);
          totals[which] += by_parts;
        }
    }
  }));
  // The reference is in double; float activations and gradients differ by about 1e-4 (the golden files' tolerance).
  CHECK(totals[0] == Approx(real.golden.at("key_matrix").at("sum_over_r_total").get<double>()).epsilon(1e-3));
  CHECK(totals[1] == Approx(real.golden.at("key_head_2").at("sum_over_r_total").get<double>()).epsilon(1e-3));
}

TEST_CASE("eigenpruning the real model's keys preserves their means", "[slow][prune][eigenpruning][golden][property]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/eigen.json");
  if (!folder || !path) return;
  real_model real(*folder, *path);
  const role wanted[] = {role::key};
  const std::vector<matrix_slice> heads = by_head(of_roles(real.model.slices(), wanted));
  const std::span<const token_batch> batches(&real.samples, 1);
  const spectra all = score::eigen_attribution{}(real.model, batches, heads);
  std::vector<std::size_t> matrices;
  for (const matrix_slice& s : heads) matrices.push_back(s.matrix);
  const measure::input_means means = measure::gather_means(real.model, batches, matrices);
  const nll before = real.model.loss(real.samples);

  engine::transformer same = real.model;
  prune::eigenpruning{.portion = 0, .bias = prune::eigenpruning::absorption::token}(same, all, means);
  CHECK(same.loss(real.samples) == before);

  // A key is an output of the map, so its mean over the samples is preserved at each token. It is measured at the first
  // pruned layer, whose input does not change.
  const auto mean_keys = [&](const engine::transformer& model) {
    const matrix_slice& first = heads.front();
    const std::size_t width = model.shape().width;
    basic_matrix<double> mean(real.samples.tokens, width);
    model.inputs(real.samples, [&](const linear_input& in) {
      if (std::ranges::find(in.matrices, first.matrix) == in.matrices.end()) return;
      const engine::linear& map = model.parameters().blocks[0].qkv;
      const weight_view weights = map.view();
      for (std::size_t s = 0; s < real.samples.sequences; ++s)
        for (std::size_t t = 0; t < real.samples.tokens; ++t)
          for (std::size_t o = 0; o < width; ++o) {
            double y = static_cast<double>(map.bias[width + o]);
            if (!map.token_bias.empty()) y += static_cast<double>(map.token_bias[t * map.out + width + o]);
            for (std::size_t f = 0; f < width; ++f)
              y += static_cast<double>(weights(width + o, f)) * static_cast<double>(in.input(s, t)[f]);
            mean(t, o) += y / static_cast<double>(real.samples.sequences);
          }
    });
    return mean;
  };
  engine::transformer pruned = real.model;
  const auto removals =
      prune::eigenpruning{.portion = 0.3, .bias = prune::eigenpruning::absorption::token}(pruned, all, means);
  std::size_t removed = 0;
  for (const prune::pruned_slice& r : removals) removed += r.removed.size();
  CHECK(removed == static_cast<std::size_t>(0.3 * static_cast<double>(all.values())));
  const basic_matrix<double> expected = mean_keys(real.model), found = mean_keys(pruned);
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    worst = std::max(worst, std::abs(expected.values[i] - found.values[i]));
    largest = std::max(largest, std::abs(expected.values[i]));
  }
  CHECK(worst < 1e-5 * largest);  // weights and biases are rounded to float
  CHECK(pruned.loss(real.samples) != before);
  CHECK_THROWS(pruned.logits(prompts(1, std::vector<token>(real.samples.tokens + 1, 1)), positions::last));
}
