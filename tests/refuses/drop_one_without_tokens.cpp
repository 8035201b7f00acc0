// says: precis: score::drop_one needs a token_model: it reads the loss from logits and targets. Set batch_type to precis::token_batch in the adaptor. See docs/models.md#batches
#include <precis/score/drop_one.hpp>

#include <span>
#include <vector>

struct points {
  using batch_type = std::vector<double>;
  std::vector<precis::matrix_info> infos;
  std::span<const precis::matrix_info> matrices() const { return infos; }
  precis::weight_view weights(std::size_t) const { return {}; }
  std::size_t layers() const { return 0; }
  template<class Tap>
  precis::float_matrix logits(const batch_type&, precis::positions, Tap&&) const {
    return {};
  }
  template<class Tap>
  precis::nll loss(const batch_type&, Tap&&) const {
    return {};
  }
};

int main() {
  const std::vector<std::vector<double>> batches;
  precis::score::drop_one{}(points{}, batches);
}
