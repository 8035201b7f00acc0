#include <precis/model/inputs.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

using namespace precis;

namespace {

/// The micro-transformer without inputs(): only its backward pass.
struct gradients_only {
  using batch_type = token_batch;
  micro_transformer model;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return model.matrices(); }
  [[nodiscard]] weight_view weights(std::size_t i) const { return model.weights(i); }
  template<class Sink>
  [[nodiscard]] nll backward(const token_batch& b, Sink&& sink) const {
    return model.backward(b, sink);
  }
};
static_assert(differentiable_model<gradients_only> && !observable_model<gradients_only>);

/// Two matrices that read one input.
struct shared_input {
  using batch_type = std::vector<float>;
  std::vector<matrix_info> infos{{"query", 0, part::attention, 1, 2}, {"key", 0, part::attention, 1, 2}};
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t) const { return {}; }
  template<class Sink>
  void inputs(const batch_type& x, Sink&& sink) const {
    const std::size_t both[] = {0, 1};
    sink(linear_input{both, {std::span<const float>(x), 1, 1, 2}});
  }
};

template<class Model>
std::vector<std::vector<float>> inputs_of(const Model& model, const batch_of<Model>& batch) {
  std::vector<std::vector<float>> seen(model.matrices().size());
  each_input(model, batch, [&](std::span<const std::size_t> matrices, activations_view<const float> x) {
    for (const std::size_t m : matrices)
      for (std::size_t s = 0; s < x.sequences; ++s)
        for (std::size_t t = 0; t < x.tokens; ++t) seen[m].insert(seen[m].end(), x(s, t).begin(), x(s, t).end());
  });
  return seen;
}

}  // namespace

TEST_CASE("inputs of a forward and of a backward pass are equal", "[model][inputs][property]") {
  const micro_transformer model;
  const token_batch batch = micro_transformer::labelled();
  const auto forward = inputs_of(model, batch);
  CHECK(inputs_of(gradients_only{model}, batch) == forward);
  for (const auto& values : forward) CHECK(values.size() == 5 * 3 * 2);
}

TEST_CASE("an input shared by several matrices is passed once, with all their indices",
          "[model][inputs][worked-example]") {
  const std::vector<float> x{3, 4};
  std::size_t calls = 0;
  each_input(shared_input{}, x, [&](std::span<const std::size_t> matrices, activations_view<const float> input) {
    ++calls;
    CHECK(std::ranges::equal(matrices, std::vector<std::size_t>{0, 1}));
    CHECK(input(0, 0)[1] == 4);
  });
  CHECK(calls == 1);
}
