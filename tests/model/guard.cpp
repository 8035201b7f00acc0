#include <precis/model/guard.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

using namespace precis;

namespace {

std::vector<std::uint32_t> bits_of(const micro_transformer& model) {
  std::vector<std::uint32_t> bits;
  for (std::size_t i = 0; i < model.matrices().size(); ++i) {
    const weight_view w = model.weights(i);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) bits.push_back(std::bit_cast<std::uint32_t>(w(r, c)));
  }
  return bits;
}

const std::vector<std::size_t> first_and_last{0, 3};

}  // namespace

TEST_CASE("a guard restores the exact bytes", "[model][guard][property]") {
  micro_transformer model;
  model.weights(3)(1, 1) = -0.f;                                      // negative zero and
  model.weights(0)(0, 1) = std::numeric_limits<float>::denorm_min();  // denormal values too
  const auto before = bits_of(model);
  {
    const weight_guard guard(model, first_and_last);
    for (const std::size_t i : first_and_last)
      for (std::size_t r = 0; r < 2; ++r)
        for (std::size_t c = 0; c < 2; ++c)
          model.weights(i)(r, c) += 1e6f;  // subtracting 1e6 again would not restore them
    CHECK(bits_of(model) != before);
  }
  CHECK(bits_of(model) == before);
}

TEST_CASE("a guard restores the weights also if an evaluation throws", "[model][guard][property]") {
  micro_transformer model;
  const auto before = bits_of(model);
  CHECK_THROWS_AS(
      [&] {
        const weight_guard guard(model, first_and_last);
        model.weights(0)(0, 0) = 9.f;
        throw std::runtime_error("evaluation failed");
      }(),
      std::runtime_error);
  CHECK(bits_of(model) == before);
}

TEST_CASE("a guard can restore repeatedly", "[model][guard][property]") {
  micro_transformer model;
  const auto before = bits_of(model);
  weight_guard guard(model, first_and_last);
  for (int repeat = 0; repeat < 3; ++repeat) {
    model.weights(3)(0, 1) = static_cast<float>(repeat) + 100.f;
    guard.restore();
    CHECK(bits_of(model) == before);
  }
}

TEST_CASE("a guard does not touch other matrices", "[model][guard][worked-example]") {
  micro_transformer model;
  {
    const weight_guard guard(model, first_and_last);
    model.weights(1)(0, 0) = 42.f;
  }
  CHECK(model.weights(1)(0, 0) == 42.f);
}

TEST_CASE("after a guarded change the loss is that of the original", "[model][guard][worked-example]") {
  micro_transformer model;
  const auto batch = micro_transformer::labelled();
  const nll base = model.loss(batch);
  CHECK(base.count == 5);
  CHECK(base.mean() == Approx(1.9364132758).epsilon(1e-6));  // computed independently in double
  {
    const weight_guard guard(model, first_and_last);
    model.weights(0)(0, 0) = 0.f;
    CHECK(model.loss(batch) != base);
  }
  CHECK(model.loss(batch) == base);
}
