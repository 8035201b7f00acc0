#include <precis/allocate.hpp>

int main() {
  const precis::cost_table table{.entries = {"small", "large"},
                                 .units = {{.name = "block.0", .matrices = {0}, .weights = 8}},
                                 .bytes = {4, 8},
                                 .costs = {1.0, 0.5}};
  const precis::plan p = precis::allocate::knapsack{.budget = precis::bits_per_weight(8)}(table);
  const precis::plan q = precis::allocate::uniform{.budget = precis::bits_per_weight(8)}(table);
  const precis::scores s{.units = table.units, .values = {1.0}};
  const precis::plan tiers = precis::allocate::kmeans_tiers{.options = {{.codec = "small"}}}(s);
  return p.choices.size() == 1 && q.choices.size() == 1 && tiers.choices.size() == 1 ? 0 : 1;
}
