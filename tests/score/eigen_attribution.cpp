#include <precis/core/thread_pool.hpp>
#include <precis/score/eigen_attribution.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"
#include "score/linear_map.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

using namespace precis;
using score::eigen_attribution;
using pairing = eigen_attribution::pairing;
using score::eigenpruning::reduction;

namespace {

spectrum score_of(const eigen_attribution& how, const map_model& model, std::vector<map_batch> batches) {
  const std::vector<matrix_slice> slices = slices_of(model);
  return how(model, batches, slices).slices.at(0);
}

/// The definition, with explicit rank-one parts, in double. partners(i) returns the samples paired with i.
template<class Partners>
std::vector<double> oracle(const map_model& model, const map_batch& b, reduction reduce, Partners&& partners) {
  const linear_algebra::singular_system s = linear_algebra::singular_values(model.weight.view());
  std::vector<double> best(s.count(), -std::numeric_limits<double>::infinity());
  for (std::size_t r = 0; r < s.count(); ++r) {
    basic_matrix<double> part(model.weight.rows, model.weight.cols);
    for (std::size_t o = 0; o < part.rows; ++o)
      for (std::size_t i = 0; i < part.cols; ++i) part(o, i) = s.left(r, o) * s.right(r, i);
    for (std::size_t i = 0; i < b.sequences; ++i)
      for (const std::size_t k : partners(i)) {
        double sum = 0;
        bool any = false;
        for (std::size_t t = 0; t < b.tokens; ++t) {
          if (t >= b.length(i) || t >= b.length(k)) continue;
          any = true;
          double effect = 0;
          for (std::size_t o = 0; o < part.rows; ++o)
            for (std::size_t f = 0; f < part.cols; ++f)
              effect += static_cast<double>(b.gradients[i * b.tokens + t][o]) * part(o, f) *
                        (static_cast<double>(b.inputs[k * b.tokens + t][f]) -
                         static_cast<double>(b.inputs[i * b.tokens + t][f]));
          sum += effect;
          if (reduce == reduction::max_over_pairs_and_tokens) best[r] = std::max(best[r], effect);
        }
        if (any && reduce == reduction::sum_tokens_then_max) best[r] = std::max(best[r], sum);
      }
  }
  return best;
}

auto previous_sample(std::size_t samples) {
  return [samples](std::size_t i) { return std::vector<std::size_t>{(i + samples - 1) % samples}; };
}
auto all_others(std::size_t samples) {
  return [samples](std::size_t i) {
    std::vector<std::size_t> others;
    for (std::size_t k = 0; k < samples; ++k)
      if (k != i) others.push_back(k);
    return others;
  };
}

/// The rounding of products in float: 3e-6 of the largest effect and of the terms that cancel in it.
void check_near(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  double largest = 0;
  for (const double e : expected) largest = std::max(largest, std::abs(e));
  for (std::size_t r = 0; r < found.size(); ++r) CHECK(std::abs(found[r] - expected[r]) < 3e-6 * (1 + largest));
}

map_model random_map(std::size_t out, std::size_t in) {
  const random_stream draw(7, purpose("eigen map"));
  float_matrix w(out, in);
  for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(draw.normal(i));
  return map_model(std::move(w));
}

}  // namespace

TEST_CASE("eigen_attribution of the worked map", "[score][eigen_attribution][worked-example]") {
  const spectrum s = score_of({.pairs = pairing::cycle}, example_map(), {example_samples()});
  CHECK(s.values[0] == Approx(2.302776).epsilon(1e-6));
  CHECK(s.values[1] == Approx(1.302776).epsilon(1e-6));
  CHECK(s.scores[0] == Approx(0.561325).epsilon(2e-6));
  CHECK(s.scores[1] == Approx(0.838675).epsilon(2e-6));
  const spectrum sums =
      score_of({.pairs = pairing::cycle, .reduce = reduction::sum_tokens_then_max}, example_map(), {example_samples()});
  CHECK(sums.scores[0] == Approx(0.752927).epsilon(2e-6));
  CHECK(sums.scores[1] == Approx(0.947073).epsilon(2e-6));
}

TEST_CASE("each effect of the worked map", "[score][eigen_attribution][worked-example]") {
  // One pair and one token at a time.
  const double effects[3][2][2] = {{{-0.824423, -0.075577}, {0.010940, -0.210940}},
                                   {{-0.3, -0.3}, {0.033590, 0.366410}},
                                   {{0.191603, 0.108397}, {0.561325, 0.838675}}};
  const double sum_of_effects[3][2] = {{-0.9, -0.2}, {-0.6, 0.4}, {0.3, 1.4}};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t t = 0; t < 2; ++t) {
      map_batch one{.sequences = 2, .tokens = 1, .inputs = {}, .gradients = {}, .lengths = {}};
      const map_batch all = example_samples();
      const std::size_t partner = (i + 2) % 3;
      // Two samples: i and its partner. The opposite pair has a zero gradient and therefore effect 0.
      one.inputs = {all.inputs[partner * 2 + t], all.inputs[i * 2 + t]};
      one.gradients = {{0, 0}, all.gradients[i * 2 + t]};
      const spectrum s = score_of({.pairs = pairing::cycle}, example_map(), {one});
      double sum = 0;
      for (std::size_t r = 0; r < 2; ++r) {
        CHECK(s.scores[r] == Approx(std::max(0.0, effects[i][t][r])).margin(2e-6));
        one.gradients[1] = {-all.gradients[i * 2 + t][0], -all.gradients[i * 2 + t][1]};
        const spectrum opposite = score_of({.pairs = pairing::cycle}, example_map(), {one});
        one.gradients[1] = all.gradients[i * 2 + t];
        CHECK(opposite.scores[r] == Approx(std::max(0.0, -effects[i][t][r])).margin(2e-6));
        sum += s.scores[r] - opposite.scores[r];
      }
      CHECK(sum == Approx(sum_of_effects[i][t]).margin(4e-6));  // the full attribution g . W (x' - x)
    }
}

TEST_CASE("eigen_attribution equals explicit rank-one parts for all pairings and reductions",
          "[score][eigen_attribution][oracle]") {
  const auto [out, in] = GENERATE(std::pair<std::size_t, std::size_t>{6, 6}, std::pair<std::size_t, std::size_t>{5, 12},
                                  std::pair<std::size_t, std::size_t>{12, 5});
  const bool padded = GENERATE(false, true);
  const map_model model = random_map(out, in);
  map_batch b = random_samples(7, 4, in, out, out);
  if (padded) b.lengths = {4, 2, 3, 4, 1, 4, 3};
  for (const reduction reduce : {reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max}) {
    check_near(score_of({.pairs = pairing::cycle, .reduce = reduce}, model, {b}).scores,
               oracle(model, b, reduce, previous_sample(7)));
    check_near(score_of({.pairs = pairing::all, .reduce = reduce}, model, {b}).scores,
               oracle(model, b, reduce, all_others(7)));
  }
}

TEST_CASE("eigen_attribution: cycle_in_batches pairs within each batch", "[score][eigen_attribution][oracle]") {
  const map_model model = random_map(5, 6);
  const map_batch b = random_samples(6, 2, 6, 5, 1);
  const spectrum s = score_of({.pairs = pairing::cycle_in_batches, .seed = 3, .sequences_at_a_time = 3}, model, {b});
  // The shuffle is that of shuffled_cycle with the same seed.
  std::vector<std::size_t> order(6);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const random_stream draw(3, purpose("eigen_attribution pairs"));
  for (std::size_t i = 6; i > 1; --i) std::swap(order[i - 1], order[draw.below(i, i)]);
  const auto partners = [&](std::size_t i) {
    const std::size_t at = static_cast<std::size_t>(std::ranges::find(order, i) - order.begin());
    return std::vector<std::size_t>{order[at / 3 * 3 + (at % 3 + 2) % 3]};
  };
  check_near(s.scores, oracle(model, b, reduction::max_over_pairs_and_tokens, partners));
  const auto cycle = [&](std::size_t i) {
    const std::size_t at = static_cast<std::size_t>(std::ranges::find(order, i) - order.begin());
    return std::vector<std::size_t>{order[(at + 5) % 6]};
  };
  check_near(score_of({.seed = 3}, model, {b}).scores, oracle(model, b, reduction::max_over_pairs_and_tokens, cycle));
}

TEST_CASE("eigen_attribution @post: equal for any split into batches and on any executor, bit for bit",
          "[score][eigen_attribution][property]") {
  const pairing pairs = GENERATE(pairing::shuffled_cycle, pairing::cycle, pairing::all);
  const reduction reduce = GENERATE(reduction::max_over_pairs_and_tokens, reduction::sum_tokens_then_max);
  const map_model model = random_map(9, 11);
  map_batch b = random_samples(13, 5, 11, 9, 2);
  b.lengths = {5, 5, 4, 3, 5, 5, 1, 5, 2, 5, 5, 5, 5};
  eigen_attribution how{.pairs = pairs, .reduce = reduce};
  const spectrum whole = score_of(how, model, {b});
  std::vector<std::size_t> order(13);
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::vector<map_batch> one{b};
  const std::vector<map_batch> parts{gather_sequences(one, std::span(order).first(4)),
                                     gather_sequences(one, std::span(order).subspan(4, 1)),
                                     gather_sequences(one, std::span(order).subspan(5))};
  for (const std::size_t at_a_time : {1u, 4u, 12u, 13u}) {
    how.sequences_at_a_time = at_a_time;
    CHECK(score_of(how, model, parts).scores == whole.scores);
    CHECK(how(model, std::span(parts), slices_of(model), thread_pool{2}).slices[0].scores == whole.scores);
  }
}

TEST_CASE("eigen_attribution: a slice scores like a map of its own", "[score][eigen_attribution][oracle]") {
  // Rows 2 to 4 and columns 3 to 7 of a map, compared with a model of that part alone.
  const map_model model = random_map(6, 9);
  const map_batch b = random_samples(5, 3, 9, 6, 4);
  const std::vector<matrix_slice> slices{{.name = "part", .first_out = 2, .out = 3, .first_in = 3, .in = 5}};
  const spectrum s = eigen_attribution{.pairs = pairing::all}(model, std::span(&b, 1), slices).slices[0];

  float_matrix part(3, 5);
  map_batch of_part = b;
  for (std::size_t o = 0; o < 3; ++o)
    for (std::size_t i = 0; i < 5; ++i) part(o, i) = model.weight(o + 2, i + 3);
  for (std::size_t i = 0; i < b.inputs.size(); ++i) {
    of_part.inputs[i].assign(b.inputs[i].begin() + 3, b.inputs[i].begin() + 8);
    of_part.gradients[i].assign(b.gradients[i].begin() + 2, b.gradients[i].begin() + 5);
  }
  CHECK(s.scores == score_of({.pairs = pairing::all}, map_model(part), {of_part}).scores);
}

TEST_CASE("eigen_attribution of a transformer: equal for any split, and spectra survive a round trip",
          "[score][eigen_attribution][property]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  const std::vector<matrix_slice> slices = slices_of(model);
  const spectra s = eigen_attribution{.reduce = reduction::sum_tokens_then_max}(model, batches, slices);
  REQUIRE(s.slices.size() == 4);
  for (const spectrum& one : s.slices) CHECK(one.scores.size() == 2);
  const std::vector<token_batch> halves{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  CHECK(eigen_attribution{.reduce = reduction::sum_tokens_then_max}(model, halves, slices) == s);
  CHECK(parse_spectra(to_text(s), model.matrices()) == s);
}

TEST_CASE("eigen_attribution: padding tokens do not count", "[score][eigen_attribution][oracle]") {
  // Token 2 is padding. The samples have only their first token in common.
  const micro_transformer model;
  token_batch b{.sequences = 2, .tokens = 3, .ids = {0, 2, 2, 1, 1, 0}, .targets = {1, -1, -1, -1, -1, 2}};
  const std::vector<matrix_slice> slices = slices_of(model);
  const spectra masked =
      eigen_attribution{.reduce = reduction::sum_tokens_then_max, .padding = 2}(model, std::span(&b, 1), slices);
  const spectra open = eigen_attribution{.reduce = reduction::sum_tokens_then_max}(model, std::span(&b, 1), slices);
  CHECK(masked.slices[0].scores != open.slices[0].scores);
  std::vector<activations> x, g;
  static_cast<void>(model.backward(b, [&](const linear_gradient& l) {
    if (l.matrix != 0) return;
    for (std::size_t s = 0; s < 2; ++s) {
      x.emplace_back(1, 1, 2);
      g.emplace_back(1, 1, 2);
      std::ranges::copy(l.input(s, 0), x.back().values.begin());
      std::ranges::copy(l.output_gradient(s, 0), g.back().values.begin());
    }
  }));
  const linear_algebra::singular_system parts = linear_algebra::singular_values(model.weights(0));
  for (std::size_t r = 0; r < 2; ++r) {
    double best = -1e9;
    for (std::size_t i = 0; i < 2; ++i) {
      double p = 0, q = 0;
      for (std::size_t f = 0; f < 2; ++f) {
        p += parts.left(r, f) * static_cast<double>(g[i].values[f]);
        q += parts.right(r, f) * (static_cast<double>(x[1 - i].values[f]) - static_cast<double>(x[i].values[f]));
      }
      best = std::max(best, p * q);
    }
    CHECK(masked.slices[0].scores[r] == Approx(best).margin(1e-6));
  }
}

TEST_CASE("eigen_attribution: batch_mean divides the gradients by the predictions",
          "[score][eigen_attribution][oracle]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  const std::vector<matrix_slice> slices = slices_of(model);
  const spectra own = eigen_attribution{}(model, batches, slices);
  const spectra mean =
      eigen_attribution{.loss = eigen_attribution::loss_scale::batch_mean}(model, batches, slices);  // five predictions
  for (std::size_t i = 0; i < own.slices.size(); ++i)
    for (std::size_t r = 0; r < 2; ++r)
      CHECK(5 * mean.slices[i].scores[r] == Approx(own.slices[i].scores[r]).epsilon(1e-5).margin(1e-9));
}

TEST_CASE("eigen_attribution refuses what it cannot score", "[score][eigen_attribution][refusal]") {
  const map_model model = example_map();
  const std::vector<matrix_slice> slices = slices_of(model);
  const auto says = [&](const eigen_attribution& how, std::vector<map_batch> batches,
                        const std::vector<matrix_slice>& scored) {
    return refusal([&] { static_cast<void>(how(model, batches, scored)); });
  };
  const map_batch good = example_samples();
  CHECK(says({}, {}, slices) ==
        "score::eigen_attribution: 0 samples; expected at least two, because effects are differences between samples");
  CHECK(says({}, {good}, {}) ==
        "score::eigen_attribution: no slices; expected at least one to score, such as the keys of "
        "all heads");
  map_batch longer = random_samples(1, 3, 3, 2, 1);
  CHECK(says({}, {good, longer}, slices) ==
        "score::eigen_attribution: batch 1 has sequences of 3 tokens; expected 2 as in batch 0, because pairs are "
        "compared "
        "token by token");
  CHECK(says({.pairs = pairing::cycle_in_batches, .sequences_at_a_time = 1}, {good}, slices) ==
        "score::eigen_attribution: sequences_at_a_time = 1; expected at least 1, or 2 for cycle_in_batches, "
        "where each sample needs a partner in its batch");
  map_batch broken = good;
  broken.gradients[3][1] = std::numeric_limits<float>::quiet_NaN();
  for (const pairing pairs : {pairing::cycle, pairing::all})
    CHECK(says({.pairs = pairs}, {broken}, slices) ==
          "score::eigen_attribution: the gradient at the output of map at sample 1, token 1 is not finite; expected "
          "finite activations and gradients");
  broken = good;
  broken.inputs[4][0] = std::numeric_limits<float>::infinity();
  CHECK(says({.pairs = pairing::cycle}, {broken}, slices) ==
        "score::eigen_attribution: an input of map at sample 2, token 0 is not finite; expected finite activations and "
        "gradients");
  map_batch apart = good;
  apart.lengths = {0, 0, 0};
  CHECK(says({}, {apart}, slices).find("no pair of samples has a token in common") != std::string::npos);
  std::vector<matrix_slice> outside = slices;
  outside[0].first_out = 1;
  CHECK(says({}, {good}, outside).find("slice map, rows 1 to 3") != std::string::npos);
}

TEST_CASE("useful_singular_values: the share above the lowest portion",
          "[score][useful_singular_values][worked-example]") {
  // Pooled scores in ascending order: -1 (a), 0 (b), 1 (a), 2 (b), 3 (b). A portion of 0.4 is the lowest two.
  const std::vector<matrix_info> matrices{{"a", 0, part::attention, 2, 2}, {"b", 1, part::mlp, 3, 3}};
  spectra s{.model = {}, .scorer = "by hand", .measure = "nats", .slices = {}};
  const std::vector<matrix_slice> whole = whole_matrices(matrices);
  s.slices.push_back({whole[0], {2, 1}, {1, -1}});
  s.slices.push_back({whole[1], {3, 2, 1}, {2, 0, 3}});
  const scores useful = score::useful_singular_values{.portion = 0.4}(matrices, s);
  CHECK(useful.values == std::vector<double>{0.5, 1 - 1 / 3.0});
  CHECK(score::useful_singular_values{.portion = 0}(matrices, s).values == std::vector<double>{1, 1});
  CHECK(score::useful_singular_values{.portion = 1}(matrices, s).values == std::vector<double>{0, 0});
  s.slices.pop_back();
  const scores some = score::useful_singular_values{}(matrices, s);
  CHECK(some.values == std::vector<double>{0.5});
  CHECK(list_of_names(some.unscored) == "block.1");
  s.slices.clear();
  CHECK(refusal([&] { static_cast<void>(score::useful_singular_values{}(matrices, s)); }) ==
        "score::useful_singular_values: unit block.0 and all others have no scored singular values; expected slices in "
        "some unit");
}
