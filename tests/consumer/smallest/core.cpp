// A plan and a table by hand; every value has defaults, so that designated initializers may leave out what they do not set.
#include <precis/core.hpp>

#include <string>

int main() {
  const precis::plan p{.units = precis::unit_kind::block, .choices = {{.unit = "block.0", .codec = "affine4.g32"}}};
  const precis::cost_table table{.entries = {"a", "b"}};
  const precis::scores s{.scorer = "by hand"};
  const precis::matrix_info info{.name = "w", .out = 2, .in = 4};
  precis::check(p);
  return to_text(p).empty() || !table.units.empty() || !s.values.empty() || info.weights() != 8 ? 1 : 0;
}
