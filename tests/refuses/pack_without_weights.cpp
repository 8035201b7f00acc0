// says: precis: pack needs a weighted_model. Add matrices() and weights(i) to the adaptor. See docs/models.md#weighted
#include <precis/codec/float16.hpp>
#include <precis/pack.hpp>

struct no_model {};

int main() { precis::pack<precis::menu<precis::codec::float16>>(no_model{}, precis::plan{}); }
