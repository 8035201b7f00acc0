// says: precis: cost::measured needs a mutable_model: it packs and restores weights. Add mutable_weight_view
#include <precis/cost/measured.hpp>

#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>

#include <span>
#include <vector>

/// A model that can be read and run forward, but not changed.
struct constant_weights {
  using batch_type = precis::token_batch;
  std::vector<precis::matrix_info> info{{"w", 0, precis::part::other, 1, 1}};
  float value = 1;
  std::span<const precis::matrix_info> matrices() const { return info; }
  precis::weight_view weights(std::size_t) const { return {&value, 1, 1, 1, 1}; }
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() {
  constant_weights model;
  const std::vector<precis::token_batch> batches(1);
  precis::cost::measured<precis::menu<precis::codec::float16>>{}(model, std::span<const precis::token_batch>(batches));
}
