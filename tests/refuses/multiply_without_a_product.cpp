// says: precis: every codec of the menu needs a product
#include <precis/codec/float16.hpp>
#include <precis/multiply.hpp>

struct bytes_alone {  // a codec that packs, but neither states its layout nor multiplies itself
  static std::string name() { return "bytes_alone"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in; }
  static void encode(precis::weight_view, std::span<std::byte>) {}
  static void decode(std::span<const std::byte>, precis::mutable_weight_view) {}
};

void use(const precis::encoded_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace) {
  precis::multiply<precis::menu<precis::codec::float16, bytes_alone>>(m, x, y, workspace);
}
