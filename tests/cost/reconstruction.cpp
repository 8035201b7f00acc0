#include <precis/cost/reconstruction.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;

namespace {

using formats = menu<codec::affine<2>, codec::affine<3>, codec::float32>;
using reconstruction = cost::reconstruction<formats>;

const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};

/// The sum of the squared outputs of a matrix, or of the difference of two, over all inputs that it receives.
double squared_outputs_of(const micro_transformer& model, std::size_t matrix, const float_matrix& d) {
  double sum = 0;
  for (const token_batch& b : batches)
    model.inputs(b, [&](const linear_input& in) {
      if (in.matrices[0] != matrix) return;
      for (std::size_t s = 0; s < in.input.sequences; ++s)
        for (std::size_t t = 0; t < in.input.tokens; ++t)
          for (std::size_t r = 0; r < 2; ++r) {
            const double y = static_cast<double>(d(r, 0)) * static_cast<double>(in.input(s, t)[0]) +
                             static_cast<double>(d(r, 1)) * static_cast<double>(in.input(s, t)[1]);
            sum += y * y;
          }
    });
  return sum;
}

}  // namespace

TEST_CASE("the cost is the squared change of the outputs, summed over matrices", "[cost][reconstruction][oracle]") {
  const micro_transformer model;
  const cost_table share = reconstruction{.units = unit_kind::matrix}(model, batches);
  const cost_table absolute =
      reconstruction{.by = reconstruction::scale::absolute, .units = unit_kind::matrix}(model, batches);
  for (std::size_t m = 0; m < 4; ++m)
    for (std::size_t e = 0; e < 3; ++e) {
      std::vector<std::byte> packed(formats::bytes(e, 2, 2));
      formats::encode(e, model.weights(m), packed);
      float_matrix back(2, 2), original(2, 2), difference(2, 2);
      formats::decode(e, packed, back.view());
      for (std::size_t i = 0; i < 4; ++i) {
        original.values[i] = model.weights(m)(i / 2, i % 2);
        difference.values[i] = original.values[i] - back.values[i];
      }
      // The difference is rounded to float here: a relative error of 6e-8, and of 1.2e-7 in its square.
      const double moved = squared_outputs_of(model, m, difference);
      CHECK(absolute.costs_of(m)[e] == Approx(moved).epsilon(1e-6));
      CHECK(share.costs_of(m)[e] == Approx(moved / squared_outputs_of(model, m, original)).epsilon(1e-6));
      CHECK(share.bytes_of(m)[e] == formats::bytes(e, 2, 2));
    }
  CHECK(share.maker == "reconstruction relative on 15 tokens");
  CHECK(share.original_bytes == 64);
}

TEST_CASE("the cost of a unit is the sum over its matrices", "[cost][reconstruction][property]") {
  const micro_transformer model;
  const cost_table matrices = reconstruction{.units = unit_kind::matrix}(model, batches),
                   blocks = reconstruction{}(model, batches);
  for (std::size_t b = 0; b < 2; ++b)
    for (std::size_t e = 0; e < 3; ++e)
      CHECK(blocks.costs_of(b)[e] == matrices.costs_of(2 * b)[e] + matrices.costs_of(2 * b + 1)[e]);
}

TEST_CASE("reconstruction: equal on any executor, bit for bit", "[cost][reconstruction][property]") {
  const micro_transformer model;
  CHECK(reconstruction{}(model, batches, thread_pool{3}) == reconstruction{}(model, batches));
  CHECK(reconstruction{}.from_grams(model, measure::gather_grams(model, std::span<const token_batch>(batches))) ==
        reconstruction{}(model, batches));
}

TEST_CASE("an entry that changes nothing costs exactly 0, also from weights alone",
          "[cost][reconstruction][property]") {
  const micro_transformer model;
  const cost_table t = reconstruction{}(model, batches), w = reconstruction{}.from_weights(model);
  for (std::size_t u = 0; u < 2; ++u) {
    CHECK(t.costs_of(u)[2] == 0);
    CHECK(w.costs_of(u)[2] == 0);
    CHECK(w.costs_of(u)[0] > 0);
  }
}

TEST_CASE("reconstruction refuses invalid input", "[cost][reconstruction][refusal]") {
  micro_transformer model;
  CHECK_THROWS_WITH(reconstruction{.entries = {"affine9.row"}}(model, batches), ContainsSubstring("affine9.row"));
  measure::input_grams grams = measure::gather_grams(model, std::span<const token_batch>(batches));
  grams.distinct[grams.index[1]].sum = basic_matrix<double>(3, 3);
  CHECK_THROWS_WITH(reconstruction{}.from_grams(model, grams),
                    ContainsSubstring("a Gram matrix of 3 inputs for block.0.mlp"));
  CHECK_THROWS_WITH(reconstruction{}.from_grams(model, {}), ContainsSubstring("Gram matrices for 0 matrices"));
  grams.distinct[grams.index[1]].sum = basic_matrix<double>(2, 2);  // the matrix receives no input
  CHECK(reconstruction{.entries = {"float32"}}.from_grams(model, grams).costs_of(0)[0] == 0);
}
