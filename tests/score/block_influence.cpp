#include <precis/core/thread_pool.hpp>
#include <precis/score/block_influence.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace precis;
using score::block_influence;
using score::displace;
using distance = block_influence::distance;

namespace {

const distance every_distance[] = {distance::cosine, distance::l2, distance::l2_normalised, distance::norm_ratio};

/// The micro-transformer with the given maps set to zero.
micro_transformer without(std::vector<std::size_t> maps) {
  micro_transformer m;
  for (const std::size_t i : maps)
    for (std::size_t r = 0; r < 2; ++r)
      for (std::size_t c = 0; c < 2; ++c) m.weights(i)(r, c) = 0;
  return m;
}

}  // namespace

TEST_CASE("displacements by hand", "[score][block_influence][worked-example]") {
  // x = (1,0), (1,1) and y = (1,1), (1,1): cosines 1/sqrt(2) and 1.
  const std::vector<float> x0{1, 0}, x1{1, 1};
  const score::displacement moved = displace(x0, x1), unmoved = displace(x1, x1);
  CHECK(1 - (moved.cosine + unmoved.cosine) / 2 == Approx(0.1464466094).margin(5e-11));
  CHECK(moved.l2 == 1);
  CHECK(moved.l2_normalised == Approx(std::sqrt(2 - std::sqrt(2.0))).epsilon(1e-14));
  CHECK(moved.norm_ratio == Approx(1 / std::sqrt(2.0)).epsilon(1e-14));
  CHECK(unmoved.cosine == 1);
  CHECK(unmoved.l2 == 0);
  CHECK(unmoved.l2_normalised == 0);
  CHECK(unmoved.norm_ratio == 0);
}

TEST_CASE("opposite, zero and nearly equal vectors", "[score][block_influence][worked-example]") {
  const std::vector<float> a{3, 4}, opposite{-6, -8}, zero{0, 0}, near{3, std::nextafter(4.f, 5.f)};
  CHECK(displace(a, opposite).cosine == -1);
  CHECK(displace(a, opposite).l2_normalised == Approx(2));
  CHECK(displace(a, opposite).norm_ratio == Approx(1.5));
  CHECK(displace(a, zero).cosine == 0);
  CHECK(displace(zero, a).l2_normalised == 1);
  CHECK(displace(zero, a).norm_ratio == 1);
  CHECK(displace(zero, zero).l2_normalised == 0);
  CHECK(displace(zero, zero).norm_ratio == 0);
  // 2^-21 in feature 1, of which 3/5 is orthogonal to the vector of length 5. The cosine alone would round it away.
  CHECK(displace(a, near).l2_normalised == Approx(0.6 * 0x1p-21 / 5).epsilon(1e-4));
}

TEST_CASE("a block's score is the mean distance between the stream entering and leaving it",
          "[score][block_influence][oracle]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled(0, 3), micro_transformer::labelled(3, 2)};
  for (const distance by : every_distance) {
    std::vector<double> expected(4);  // attention and MLP of both blocks
    std::vector<double> whole(2);
    for (const token_batch& b : batches) {
      tap::record seen{[](site) { return true; }};
      static_cast<void>(model.logits(b, positions::last, seen));
      for (std::size_t l = 0; l < 2; ++l) {
        const auto& x = seen.find({site_kind::residual, l})->values;
        const auto& a = seen.find({site_kind::attention, l})->values;
        const auto& y = seen.find({site_kind::residual, l + 1})->values;
        for (std::size_t i = 0; i < x.size(); i += 2) {
          const std::vector<float> in{x[i], x[i + 1]}, middle{x[i] + a[i], x[i + 1] + a[i + 1]}, out{y[i], y[i + 1]};
          const auto of = [&](const std::vector<float>& from, const std::vector<float>& to) {
            const score::displacement d = displace(from, to);
            return (by == distance::cosine          ? 1 - d.cosine
                    : by == distance::l2            ? d.l2
                    : by == distance::l2_normalised ? d.l2_normalised
                                                    : d.norm_ratio) /
                   15;
          };
          expected[2 * l] += of(in, middle);
          expected[2 * l + 1] += of(middle, out);
          whole[l] += of(in, out);
        }
      }
    }
    const scores blocks = block_influence{.by = by}(model, batches);
    const scores halves = block_influence{.by = by, .units = unit_kind::half}(model, batches);
    const scores matrices = block_influence{.by = by, .units = unit_kind::matrix}(model, batches);
    for (std::size_t i = 0; i < 2; ++i) CHECK(blocks.values[i] == Approx(whole[i]).epsilon(1e-12));
    for (std::size_t i = 0; i < 4; ++i) CHECK(halves.values[i] == Approx(expected[i]).epsilon(1e-12));
    CHECK(matrices.values == halves.values);
  }
}

TEST_CASE("a block that is the identity scores 0 for every distance", "[score][block_influence][property]") {
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  for (const distance by : every_distance) {
    const scores blocks = block_influence{.by = by}(without({2, 3}), batches);
    CHECK(blocks.values[0] > 0.01);
    CHECK(blocks.values[1] == 0);
    const scores halves = block_influence{.by = by, .units = unit_kind::half}(without({1}), batches);
    CHECK(halves.values[1] == 0);
    CHECK(halves.values[2] > 0.01);
  }
}

TEST_CASE("windows span several blocks", "[score][block_influence][oracle]") {
  const std::vector<token_batch> batches{micro_transformer::labelled()};
  const block_influence scorer;
  CHECK(scorer.windows(micro_transformer{}, batches, 1) == scorer(micro_transformer{}, batches).values);
  // If block 1 is the identity, both blocks together change the stream as much as block 0.
  CHECK(scorer.windows(without({2, 3}), batches, 2) == std::vector<double>{scorer(without({2, 3}), batches).values[0]});
  CHECK(block_influence{.units = unit_kind::half}.windows(micro_transformer{}, batches, 3).size() == 2);
  CHECK_THAT(refusal([&] { static_cast<void>(scorer.windows(micro_transformer{}, batches, 3)); }),
             ContainsSubstring("windows of 3; expected 1 to 2"));
}

TEST_CASE("block_influence @post: equal on any executor and for any split into batches, bit for bit",
          "[score][block_influence][property]") {
  const micro_transformer model;
  const std::vector<token_batch> one{micro_transformer::labelled()},
      two{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  for (const distance by : every_distance) {
    const block_influence scorer{.by = by, .units = unit_kind::half};
    CHECK(scorer(model, one).values == scorer(model, two).values);
    CHECK(scorer(model, one).values == scorer(model, two, thread_pool{2}).values);
  }
}

TEST_CASE("missing tokens and activations that are not finite are refused", "[score][block_influence][refusal]") {
  const std::vector<token_batch> none, batches{micro_transformer::labelled()};
  CHECK(refusal([&] { static_cast<void>(block_influence{}(micro_transformer{}, none)); }) ==
        "score::block_influence: no tokens in 0 batches; expected at least one");
  micro_transformer broken;
  broken.weights(3)(0, 0) = std::numeric_limits<float>::quiet_NaN();
  for (const distance by : every_distance)
    CHECK_THAT(refusal([&] { static_cast<void>(block_influence{.by = by}(broken, batches)); }),
               ContainsSubstring("block 1 moves by"));
}
