// says: precis: cost::weighted_error needs a weighted_model. Add matrices() and weights(i) to the adaptor. See docs/models.md#weighted
#include <precis/codec/affine.hpp>
#include <precis/cost/weighted_error.hpp>

struct black_box {
  using batch_type = precis::token_batch;
  precis::nll loss(const batch_type&) const { return {}; }
};

int main() { precis::cost::weighted_error<precis::menu<precis::codec::affine<4>>>{}(black_box{}, precis::scores{}); }
