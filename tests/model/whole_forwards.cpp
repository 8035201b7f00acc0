#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

using namespace precis;

using plain_model = whole_forwards<micro_transformer>;
static_assert(tappable_model<plain_model> && evaluable_model<plain_model> && mutable_model<plain_model>);
static_assert(!resumable_model<plain_model> && !layered_model<plain_model> && !differentiable_model<plain_model>);
static_assert(!mutable_model<whole_forwards<const micro_transformer>> &&
              weighted_model<whole_forwards<const micro_transformer>>);

TEST_CASE("a model restricted to whole forwards computes the same", "[model][whole_forwards][property]") {
  const micro_transformer model;
  const whole_forwards plain(model);
  const auto batch = micro_transformer::labelled();
  CHECK(plain.layers() == 2);
  CHECK(plain.logits(batch, positions::all, tap::none{}) == model.logits(batch, positions::all, tap::none{}));
  CHECK(plain.loss(batch) == model.loss(batch));
  CHECK(plain.loss(batch, tap::none{}) == model.loss(batch));
  CHECK(plain.matrices().data() == model.matrices().data());
  CHECK(plain.weights(2).data == model.weights(2).data);
}

TEST_CASE("taps can overwrite activations through the adaptor", "[model][whole_forwards][property]") {
  const micro_transformer model;
  const whole_forwards plain(model);
  const auto batch = micro_transformer::labelled();
  const auto silence = [](site at, activations_view<float> x) {
    if (at != site{site_kind::mlp, 1}) return;
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t t = 0; t < x.tokens; ++t)
        for (float& v : x(s, t)) v = 0;
  };
  CHECK(plain.loss(batch, silence) == model.loss(batch, silence));
  CHECK(plain.loss(batch, silence) != model.loss(batch));
}

TEST_CASE("writing through the adaptor changes the model's weights", "[model][whole_forwards][property]") {
  micro_transformer model;
  whole_forwards plain(model);
  plain.weights(1)(0, 1) = 0.25f;
  CHECK(model.weights(1)(0, 1) == 0.25f);
}
