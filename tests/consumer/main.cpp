// A project that uses precis and knows nothing of how it was found: prunes a matrix, packs it, and checks what it gets.
#include <precis/codec/affine.hpp>
#include <precis/prune/magnitude.hpp>

#include <cmath>
#include <cstddef>
#include <cstdio>
#include <vector>

int main() {
  using format = precis::codec::affine<4>;
  precis::float_matrix weights(2, 4, std::vector<float>{0.9f, -0.1f, 0.4f, -0.7f, 0.05f, 1.1f, -0.3f, 0.2f});

  const std::size_t removed = precis::prune::magnitude{.sparsity = 0.5}(weights.view());
  std::vector<std::byte> packed(format::bytes(2, 4));
  format::encode(weights.view(), packed);
  precis::float_matrix decoded(2, 4);
  format::decode(packed, decoded.view());

  float worst = 0;
  std::size_t zeros = 0;
  for (std::size_t i = 0; i < decoded.values.size(); ++i) {
    worst = std::fmax(worst, std::abs(decoded.values[i] - weights.values[i]));
    zeros += decoded.values[i] == 0.f ? 1 : 0;
  }
  // Fifteen steps from -0.7 to 0.9 and from 0 to 1.1: no weight is further than half a step from its code.
  const bool right = removed == 4 && zeros == 4 && worst <= 0.5f * 1.6f / 15.f + 1e-6f;
  std::printf("%s: removed %zu of 8 weights, 32 bytes became %zu, worst error %.4f\n", right ? "right" : "wrong",
              removed, packed.size(), static_cast<double>(worst));
  return right ? 0 : 1;
}
