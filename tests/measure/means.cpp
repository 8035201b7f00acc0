#include <precis/measure/means.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"
#include "score/linear_map.hpp"

#include <cstddef>
#include <limits>
#include <span>
#include <vector>

using namespace precis;

namespace {

const std::vector<std::size_t> only_map{0};

measure::input_means means_of(const std::vector<map_batch>& batches) {
  return measure::gather_means(example_map(), std::span<const map_batch>(batches), only_map);
}

}  // namespace

TEST_CASE("mean inputs per token and over all tokens", "[measure][means][worked-example]") {
  // Token 0 reads (1,0,2), (2,1,0), (0,2,1) and token 1 (0,1,1), (1,1,-1), (1,-1,0).
  const measure::input_means means = means_of({example_samples()});
  CHECK(means.tokens() == 2);
  CHECK(means.samples == std::vector<std::size_t>{3, 3});
  CHECK(means.by_token[0] == basic_matrix<double>(2, 3, {1, 1, 1, 2 / 3.0, 1 / 3.0, 0}));
  const std::vector<double> over_all = means.over_all(0);
  CHECK(over_all[0] == Approx(5 / 6.0).epsilon(1e-15));
  CHECK(over_all[1] == Approx(4 / 6.0).epsilon(1e-15));
  CHECK(over_all[2] == Approx(3 / 6.0).epsilon(1e-15));
}

TEST_CASE("padding does not count toward the means", "[measure][means][worked-example]") {
  map_batch b = example_samples();
  b.lengths = {2, 1, 1};  // only the first sample has a second token
  const measure::input_means means = means_of({b});
  CHECK(means.samples == std::vector<std::size_t>{3, 1});
  CHECK(means.by_token[0] == basic_matrix<double>(2, 3, {1, 1, 1, 0, 1, 1}));
}

TEST_CASE("gather_means @post: equal for any split into batches, bit for bit", "[measure][means][property]") {
  const micro_transformer model;
  const std::vector<std::size_t> matrices{1, 3, 1};
  const std::vector<token_batch> one{micro_transformer::labelled()},
      two{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 3)};
  const measure::input_means means = measure::gather_means(model, std::span<const token_batch>(one), matrices);
  CHECK(measure::gather_means(model, std::span<const token_batch>(two), matrices) == means);
  CHECK(means.by_token[0].rows == 0);  // not selected
  CHECK(means.by_token[3].rows == 3);
}

TEST_CASE("means of no tokens, or of inputs that are not finite, are refused", "[measure][means][refusal]") {
  CHECK_THAT(refusal([] { static_cast<void>(means_of({})); }), ContainsSubstring("no tokens to average"));
  map_batch b = example_samples();
  b.lengths = {0, 0, 0};
  CHECK_THAT(refusal([&] { static_cast<void>(means_of({b})); }), ContainsSubstring("no tokens to average"));
  b = example_samples();
  b.inputs[3][0] = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal([&] { static_cast<void>(means_of({b})); }),
             ContainsSubstring("the mean input of map at token 1 is not finite"));
}
