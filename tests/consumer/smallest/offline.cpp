// Scores, a table, a plan, packed bytes, their product and the loss afterwards: every stage once.
#include "model.hpp"

#include <precis/precis.hpp>

#include <cstddef>
#include <vector>

int main() {
  using menu = precis::menu<precis::codec::affine<4, 32>, precis::codec::float16>;
  one_matrix model;
  const std::vector<float> data{1.f, 2.f};
  const precis::scores s = precis::score::weight_magnitude{}(model);
  const precis::scores t = precis::score::pruning_sensitivity{.sparsities = {0.5}}(model, data);
  const precis::cost_table table = precis::cost::weighted_error<menu>{}(model, s);
  const precis::cost_table measured = precis::cost::measured<menu>{}(model, data);
  const precis::plan p = precis::allocate::knapsack{.budget = precis::bits_per_weight(64)}(table);
  const precis::packed_model packed = precis::pack<menu>(model, p);
  const precis::applied done = precis::apply<menu>(model, p);
  const auto loss = precis::evaluate::perplexity{}(model, data);
  return t.values.size() == 1 && measured.units.size() == 1 && packed.matrices.size() == 1 && done.removed == 0 &&
                 loss.total.count == 2
             ? 0
             : 1;
}
