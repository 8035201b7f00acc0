// The whole way from an engine that knows nothing of precis to a product with packed weights: measure what each layer
// loses in each format, choose formats within a budget of bytes, pack, and run the engine on the packed bytes.
// docs/whole_way.md explains it line by line.

#include "../mlp/adaptor.hpp"
#include "../mlp/network.hpp"

#include <precis/allocate/knapsack.hpp>
#include <precis/codec/affine.hpp>
#include <precis/cost/measured.hpp>
#include <precis/fit/clip_search.hpp>
#include <precis/multiply.hpp>

#include <algorithm>
#include <cstdio>
#include <vector>

namespace codec = precis::codec;

constexpr auto half = codec::scale_type::float16;
using formats = precis::menu<codec::affine<2, 32, half>, codec::affine<3, 32, half>, codec::affine<4, 32, half>,
                             codec::affine<6, 32, half>>;

namespace {

/// The engine's forward pass with packed weights: its own loop, biases and ReLU, with precis::multiply in place of the
/// product.
class packed_network {
 public:
  packed_network(const mlp::network& net, const precis::packed_model& packed) : net_(net), packed_(packed) {
    std::size_t floats = 0;
    for (const precis::encoded_matrix& m : packed.matrices)
      floats = std::max(floats, precis::multiply_workspace<formats>(m));
    workspace_.resize(floats);
  }

  [[nodiscard]] std::vector<float> logits(std::vector<float> x) {
    for (std::size_t l = 0; l < net_.layers.size(); ++l) {
      std::vector<float> y(net_.layers[l].out);
      precis::multiply<formats>(packed_.matrices[l], x, y, workspace_);
      for (std::size_t i = 0; i < y.size(); ++i) {
        y[i] += net_.layers[l].bias[i];
        if (l + 1 < net_.layers.size()) y[i] = std::max(y[i], 0.f);
      }
      x = y;
    }
    return x;
  }

 private:
  const mlp::network& net_;
  const precis::packed_model& packed_;
  std::vector<float> workspace_;
};

}  // namespace

int main() {
  // The foreign engine, trained, and its adaptor.
  const mlp::samples training = mlp::spirals(3, 200, 1), test = mlp::spirals(3, 400, 2);
  mlp::network net({2, 32, 32, 32, 32, 3});
  mlp::train(net, training, 2500);
  mlp_adaptor model(net);

  // Measure: the loss of the whole model with one layer at a time in each format.
  const precis::cost::measured<formats, precis::fit::clip_search> measure{};
  const precis::cost_table costs = measure(model, std::vector{training});

  // Allocate: the exact integer program, within 4 bits per weight, scales included.
  const precis::plan plan = precis::allocate::knapsack{.budget = precis::bits_per_weight(4)}(costs);
  std::printf("%s", precis::to_text(plan).c_str());

  // Pack, and run the engine on the packed bytes.
  const precis::packed_model packed = precis::pack<formats>(model, plan, precis::fit::clip_search{});
  packed_network compressed(net, packed);
  std::size_t right = 0;
  for (std::size_t s = 0; s < test.size(); ++s) {
    const std::vector<float> z = compressed.logits({test.points[2 * s], test.points[2 * s + 1]});
    right += static_cast<int>(std::ranges::max_element(z) - z.begin()) == test.labels[s] ? 1u : 0u;
  }
  std::printf("\n%zu bytes instead of %zu; accuracy %.1f %% instead of %.1f %%\n", packed.size.packed_bytes,
              packed.size.original_bytes, 100 * static_cast<double>(right) / static_cast<double>(test.size()),
              100 * mlp::accuracy(net, test));
}
