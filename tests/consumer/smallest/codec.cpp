#include <precis/codec.hpp>

#include <cstddef>
#include <vector>

int main() {
  using format = precis::codec::affine<4, 32>;
  const std::vector<float> weights(64, 1.f);
  std::vector<float> decoded(64);
  std::vector<std::byte> packed(format::bytes(2, 32));
  format::encode({weights, 2, 32}, packed);
  format::decode(packed, {decoded, 2, 32});
  using several = precis::menu<format, precis::codec::float16, precis::codec::codebook<3>, precis::codec::q8_0,
                               precis::codec::keep_of<2, 4, format>, precis::codec::e4m3<32>>;
  return several::contains("float16") && decoded == weights ? 0 : 1;
}
