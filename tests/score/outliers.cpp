#include <precis/score/outliers.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;
using score::outliers;

namespace {

/// Three blocks of one row of eight weights.
struct three_rows {
  std::vector<matrix_info> infos;
  std::vector<float_matrix> values;
  three_rows() {
    const std::vector<std::vector<float>> rows{
        {1, -1, 1, 1, 1, 1, 1, 9}, {1, 2, 3, 4, 5, -6, 7, 20}, {.1f, .1f, .1f, .1f, .1f, 10, -12, .1f}};
    for (std::size_t m = 0; m < 3; ++m) {
      infos.push_back({"m" + std::to_string(m), m, part::mlp, 1, 8});
      values.emplace_back(1, 8, rows[m]);
    }
  }
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t i) const { return values[i].view(); }
};

}  // namespace

TEST_CASE("shares of outliers by hand", "[score][outliers][worked-example]") {
  const std::vector<std::vector<double>> norms(3, std::vector<double>(8, 1.0));
  CHECK(outliers{.multiple = 3}.from_norms(three_rows{}, norms).values == std::vector<double>{.125, .125, .25});
  CHECK(outliers{.multiple = 5}.from_norms(three_rows{}, norms).values == std::vector<double>{0, 0, 0});
}

TEST_CASE("the metric is the weight times the norm of its input", "[score][outliers][oracle]") {
  std::vector<std::vector<double>> norms(3, std::vector<double>(8, 2.0));
  CHECK(outliers{.multiple = 3}.from_norms(three_rows{}, norms).values == std::vector<double>{.125, .125, .25});
  norms[0][7] = 2.0 / 9;  // all products are equal now
  CHECK(outliers{.multiple = 1.5}.from_norms(three_rows{}, norms).values[0] == 0);

  // On a model, the norms are those of its matrices' inputs.
  const micro_transformer model;
  const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  std::vector<std::vector<double>> squares(4, std::vector<double>(2));
  for (const token_batch& b : batches)
    model.inputs(b, [&](const linear_input& i) {
      for (const std::size_t m : i.matrices)
        for (std::size_t s = 0; s < i.input.sequences; ++s)
          for (std::size_t t = 0; t < i.input.tokens; ++t)
            for (std::size_t f = 0; f < 2; ++f)
              squares[m][f] += static_cast<double>(i.input(s, t)[f]) * static_cast<double>(i.input(s, t)[f]);
    });
  for (auto& row : squares)
    for (double& x : row) x = std::sqrt(x);
  for (const double multiple : {1.0, 1.5}) {
    const outliers scorer{.multiple = multiple, .units = unit_kind::matrix};
    const scores s = scorer(model, batches);
    CHECK(s == scorer.from_norms(model, squares));
    CHECK(s.size() == 4);
  }
}

TEST_CASE("outliers @post: equal for any split into batches", "[score][outliers][property]") {
  const micro_transformer model;
  const std::vector<token_batch> one{micro_transformer::labelled(0, 5)},
      three{micro_transformer::labelled(0, 1), micro_transformer::labelled(1, 3), micro_transformer::labelled(4, 1)};
  for (double multiple = 0.1; multiple < 3; multiple += 0.1) {
    const outliers scorer{.multiple = multiple, .units = unit_kind::matrix};
    CHECK(scorer(model, one) == scorer(model, three));
  }
}

TEST_CASE("missing inputs and an invalid multiple are refused", "[score][outliers][refusal]") {
  const micro_transformer model;
  const std::vector<token_batch> none;
  CHECK_THAT(refusal([&] { (void)outliers{}(model, none); }), ContainsSubstring("no inputs of"));
  const std::vector<token_batch> one{micro_transformer::labelled(0, 1)};
  CHECK_THAT(refusal([&] { (void)outliers{.multiple = 0}(model, one); }), ContainsSubstring("a multiple of 0"));
}
