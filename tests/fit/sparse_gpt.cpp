#include <precis/fit/sparse_gpt.hpp>

#include "codec/encoded.hpp"
#include "fit/fixture_q.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;

TEST_CASE("sparse_gpt on fixture Q at one half, by hand", "[fit][sparse_gpt][worked-example]") {
  const auto g = fixture_q::gram();
  const fit::compensation by = fit::compensate(g, {.damping = 0.01, .by_magnitude = false});
  float_matrix w = fixture_q::weights;
  CHECK(fit::sparse_gpt{.sparsity = 0.5}(w.view(), by) == Approx(22.3989486347).epsilon(1e-5));
  const std::vector<double> expected{0, 0.037110, 0, 0.296342, 0, -1.790820, 0, -1.916880};
  for (std::size_t i = 0; i < 8; ++i) CHECK(static_cast<double>(w.values[i]) == Approx(expected[i]).margin(2e-6));
  CHECK(measure::squared_output_error(fixture_q::weights.view(), w.view(), g) == Approx(21.5790608333).epsilon(1e-5));
}

TEST_CASE("sparse_gpt @post: its error is tr((W - Wc) H (W - Wc)'); nothing changes at sparsity 0",
          "[fit][sparse_gpt][property]") {
  const std::size_t in = 150;
  const float_matrix x = encoded::weights(400, in);
  const auto g = measure::gram_of({std::span<const float>(x.values), 1, 400, in}).sum;
  const fit::compensation by = fit::compensate(g, {.by_magnitude = false});
  const float_matrix original = encoded::weights(33, in, 2);
  float_matrix w = original;
  CHECK(fit::sparse_gpt{.sparsity = 0}(w.view(), by) == 0);
  CHECK(w == original);
  const double error = fit::sparse_gpt{.sparsity = 0.5, .block = 64}(w.view(), by);
  CHECK(error == Approx(fit::compensated_error(original.view(), w.view(), g, by.ridge)).epsilon(1e-3));
  std::size_t zeros = 0;
  for (const float v : w.values) zeros += v == 0 ? 1u : 0u;
  CHECK(zeros >= 33 * in / 2);
}

TEST_CASE("sparse_gpt refuses another order of columns", "[fit][sparse_gpt][bad-input]") {
  float_matrix w = fixture_q::weights;
  const fit::compensation by = fit::compensate(fixture_q::gram());
  CHECK(refusal([&] { fit::sparse_gpt{}(w.view(), by); }).find("left to right") != std::string::npos);
  CHECK(refusal([&] {
          fit::sparse_gpt{.sparsity = 2}(w.view(), fit::compensate(fixture_q::gram(), {.by_magnitude = false}));
        }) != "");
}
