// says: precis: score::causal_trace needs a token_model: prompts are made of tokens. Set batch_type to precis::token_batch in the adaptor. See docs/models.md#batches
#include <precis/score/causal_trace.hpp>

#include <span>
#include <vector>

struct pictures {};

struct classifier {
  using batch_type = pictures;
  std::vector<precis::matrix_info> infos;
  std::span<const precis::matrix_info> matrices() const { return infos; }
  precis::weight_view weights(std::size_t) const { return {}; }
  std::size_t layers() const { return 0; }
  template<class Tap>
  precis::float_matrix logits(const pictures&, precis::positions, Tap&&) const {
    return {};
  }
  template<class Tap>
  precis::nll loss(const pictures&, Tap&&) const {
    return {};
  }
};
static_assert(precis::tappable_model<classifier> && precis::weighted_model<classifier>);

int main() {
  const std::vector<precis::score::fact> facts;
  precis::score::causal_trace{}(classifier{}, facts);
}
