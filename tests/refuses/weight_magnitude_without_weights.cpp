// says: precis: score::weight_magnitude needs a weighted_model. Add matrices() and weights(i) to the adaptor. See docs/models.md#weighted
#include <precis/score/weight_magnitude.hpp>

struct black_box {
  using batch_type = precis::token_batch;
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() { precis::score::weight_magnitude{}(black_box{}); }
