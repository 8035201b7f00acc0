// says: precis: prune::eigenpruning needs a mutable_model. Add mutable_weight_view weights(i) to the adaptor, for a model that is not const. See docs/models.md#mutable
#include <precis/prune/eigenpruning.hpp>

#include "forward_only.hpp"

int main() {
  forward_only model;
  precis::prune::eigenpruning{}(model, precis::spectra{}, precis::measure::input_means{});
}
