// The README's ten lines: score -> tiers -> plan -> bytes -> product, for a small hand-made transformer.

#include <precis/precis.hpp>

#include <engine/model/transformer.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

namespace score = precis::score;
namespace allocate = precis::allocate;
namespace codec = precis::codec;

namespace {

/// A random model of six blocks of width 32 with a vocabulary of 64.
engine::transformer random_model() {
  engine::weights w = engine::zeros({.architecture = engine::architecture::llama,
                                     .layers = 6,
                                     .width = 32,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .hidden = 64,
                                     .vocabulary = 64,
                                     .context = 16,
                                     .activation = engine::activation::silu});
  std::size_t drawn = 0;
  for (engine::tensor<float>& t : engine::tensors(w))
    for (float& value : t.values)
      value = t.shape.size() == 1 ? 1.f : static_cast<float>(0.25 * precis::random_stream(7, 1).normal(drawn++));
  return engine::transformer(std::move(w));
}

/// Eight prompts whose "fact" is the token that this model predicts next. The subject is the second and third token.
std::vector<score::fact> facts_of(const engine::transformer& model) {
  std::vector<score::fact> facts;
  for (precis::token i = 0; i < 8; ++i) {
    score::fact f{.name = "prompt", .prompt = {1, 10 + i, 30 + 3 * i, 2, 3, 4}, .subject_begin = 1, .subject_end = 3};
    const precis::float_matrix z = model.logits(precis::prompts(1, f.prompt), precis::positions::last);
    f.answer = static_cast<precis::token>(std::ranges::max_element(z.values) - z.values.begin());
    facts.push_back(std::move(f));
  }
  return facts;
}

}  // namespace

constexpr auto half = codec::scale_type::float16;
using formats = precis::menu<codec::affine<3, 32, half>, codec::affine<4, 32, half>, codec::affine<6, 32, half>>;

int main() {
  const engine::transformer model = random_model();
  const std::vector<score::fact> facts = facts_of(model);

  auto scores = score::causal_trace{.noise = {.runs = 10}}(model, facts);  // what is where
  auto plan = allocate::z_tiers{
      .low = {"affine3.g32.h"}, .medium = {"affine4.g32.h"}, .high = {"affine6.g32.h"}}(scores);  // who gets what
  auto packed = precis::pack<formats>(model, plan, precis::fit::clip_search{});  // bytes, exact to the last one

  const precis::encoded_matrix& matrix = packed.matrices[0];
  std::vector<float> x(matrix.choice.in, 1.f), y(matrix.choice.out);
  std::vector<float> workspace(precis::multiply_workspace<formats>(matrix));
  precis::multiply<formats>(matrix, x, y, workspace);  // y = matrix x, from the packed bytes

  for (std::size_t i = 0; i < scores.size(); ++i)
    std::printf("%s  %7.4f\n", scores.units[i].name.c_str(), scores.values[i]);
  std::printf("\n%s\n", precis::to_text(plan).c_str());
  std::printf("%zu weights in %zu bytes: %.3f bits each, %.2f times smaller than float\n", packed.size.weights,
              packed.size.packed_bytes, packed.size.bits_per_weight(), packed.size.compression_ratio());
  std::printf("%s times ones: %.4f, %.4f, ...\n", matrix.choice.name.c_str(), static_cast<double>(y[0]),
              static_cast<double>(y[1]));
}
