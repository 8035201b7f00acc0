// The README's ten lines for a small model of one's own: what such a program costs to compile.

#include <precis/precis.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

namespace score = precis::score;
namespace allocate = precis::allocate;
namespace codec = precis::codec;

namespace {

/// A stack of linear maps on token embeddings, each with one matrix per half.
class small_model {
 public:
  using batch_type = precis::token_batch;

  small_model() {
    for (std::size_t l = 0; l < layers(); ++l)
      for (const precis::part half : {precis::part::attention, precis::part::mlp}) {
        infos_.push_back(
            {.name = "layer." + std::to_string(infos_.size()), .layer = l, .part = half, .out = width, .in = width});
        values_.emplace_back(width * width, 0.1f);
      }
  }

  [[nodiscard]] std::span<const precis::matrix_info> matrices() const { return infos_; }
  [[nodiscard]] precis::weight_view weights(std::size_t i) const {
    return {std::span<const float>(values_[i]), width, width};
  }
  [[nodiscard]] std::size_t layers() const { return 4; }

  template<class Tap>
  [[nodiscard]] precis::float_matrix logits(const batch_type& batch, precis::positions which, Tap&& tap) const {
    precis::activations x(batch.sequences, batch.tokens, width);
    for (std::size_t i = 0; i < x.values.size(); ++i)
      x.values[i] = static_cast<float>(static_cast<std::size_t>(batch.ids[i / width]) % (i % width + 2));
    tap(precis::site{precis::site_kind::embedding, 0}, x.view());
    for (std::size_t l = 0; l < layers(); ++l) {
      tap(precis::site{precis::site_kind::residual, l}, x.view());
      for (const std::size_t half : {0, 1}) {
        precis::activations y = x;
        for (std::size_t t = 0; t < x.view().rows(); ++t)
          for (std::size_t o = 0; o < width; ++o) {
            float sum = 0;
            for (std::size_t c = 0; c < width; ++c)
              sum += values_[2 * l + half][o * width + c] * x.values[t * width + c];
            y.values[t * width + o] = std::tanh(sum);
          }
        tap(precis::site{half == 0 ? precis::site_kind::attention : precis::site_kind::mlp, l}, y.view());
        for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] += y.values[i];
      }
    }
    tap(precis::site{precis::site_kind::residual, layers()}, x.view());
    if (which == precis::positions::all) return {batch.sequences * batch.tokens, width, x.values};
    precis::float_matrix last(batch.sequences, width);
    for (std::size_t s = 0; s < batch.sequences; ++s)
      for (std::size_t c = 0; c < width; ++c) last(s, c) = x.view()(s, batch.tokens - 1)[c];
    return last;
  }
  template<class Tap>
  [[nodiscard]] precis::nll loss(const batch_type& batch, Tap&& tap) const {
    static_cast<void>(logits(batch, precis::positions::all, tap));
    return {};
  }

 private:
  static constexpr std::size_t width = 32;
  std::vector<precis::matrix_info> infos_;
  std::vector<std::vector<float>> values_;
};

}  // namespace

using formats = precis::menu<codec::affine<3, 32>, codec::affine<4, 32>, codec::affine<6, 32>>;

int main() {
  const small_model model;
  const std::vector<score::fact> facts{
      {.name = "prompt", .prompt = {1, 10, 30, 2}, .subject_begin = 1, .subject_end = 3, .answer = 3}};

  auto scores = score::causal_trace{.noise = {.runs = 10}}(model, facts);  // what is where
  auto plan = allocate::z_tiers{
      .low = {"affine3.g32"}, .medium = {"affine4.g32"}, .high = {"affine6.g32"}}(scores);  // who gets what
  auto packed = precis::pack<formats>(model, plan);  // bytes, exact to the last one

  std::printf("%s\n%zu bytes\n", precis::to_text(plan).c_str(), packed.size.packed_bytes);
}
