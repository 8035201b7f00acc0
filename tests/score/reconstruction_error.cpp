#include <precis/score/reconstruction_error.hpp>

#include <precis/core/thread_pool.hpp>
#include <precis/prune/magnitude.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <vector>

using namespace precis;
using score::reconstruction_error;

namespace {

const std::vector<token_batch> batches{micro_transformer::labelled()};

void halve(const matrix_info&, mutable_weight_view w) { prune::magnitude{.sparsity = 0.5}(w); }

}  // namespace

TEST_CASE("reconstruction error of a pruned matrix, from its outputs", "[score][reconstruction_error][oracle]") {
  // Block 1's MLP [[1, .5], [-.5, 1]] pruned by half is [[1, 0], [0, 1]]: an input (a, b) loses (b / 2, -a / 2).
  const micro_transformer model;
  double lost = 0, all = 0;
  model.inputs(batches[0], [&](const linear_input& i) {
    if (i.matrices[0] != 3) return;
    for (std::size_t s = 0; s < 5; ++s)
      for (std::size_t t = 0; t < 3; ++t) {
        const auto a = static_cast<double>(i.input(s, t)[0]), b = static_cast<double>(i.input(s, t)[1]);
        lost += (a * a + b * b) / 4;
        all += (a + b / 2) * (a + b / 2) + (b - a / 2) * (b - a / 2);
      }
  });
  const scores matrices = reconstruction_error{.units = unit_kind::matrix}(model, batches, halve);
  CHECK(matrices.values[3] == Approx(lost / all).epsilon(1e-12));
  const scores blocks = reconstruction_error{}(model, batches, halve);
  CHECK(blocks.values[1] == matrices.values[2] + matrices.values[3]);
  CHECK(reconstruction_error{}(model, batches, halve, thread_pool{2}) == blocks);
}

TEST_CASE("from the weights alone, the error is a share of the squared norm",
          "[score][reconstruction_error][worked-example]") {
  const micro_transformer model;
  // [[.5, .25], [-.25, .5]] loses .25 and -.25: .125 of .625.
  CHECK(reconstruction_error{.units = unit_kind::matrix}.from_weights(model, halve).values[0] == 0.125 / 0.625);
}

TEST_CASE("reconstruction_error @post: every score is 0 if compress changes nothing",
          "[score][reconstruction_error][property]") {
  for (const double s : reconstruction_error{}(micro_transformer{}, batches, [](auto&&...) {}).values) CHECK(s == 0);
}

TEST_CASE("reconstruction_error @post: scaling a matrix and its compressed version by k != 0 changes no score",
          "[score][reconstruction_error][property]") {
  micro_transformer model;
  const reconstruction_error scorer{.units = unit_kind::matrix};
  const scores before = scorer(model, batches, halve);
  for (std::size_t i = 0; i < 4; ++i) model.weights(3)(i / 2, i % 2) *= -4.f;  // a power of two: exact
  CHECK(scorer(model, batches, halve).values[3] == before.values[3]);
}

TEST_CASE("reconstruction_error refuses to score without data", "[score][reconstruction_error][refusal]") {
  CHECK_THROWS_WITH(reconstruction_error{}(micro_transformer{}, std::vector<token_batch>{}, halve),
                    ContainsSubstring("no inputs of block.0.attn"));
}
