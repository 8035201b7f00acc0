// says: precis: every entry of a menu is a matrix_codec, and one has no static void decode(std::span<const std::byte>, mutable_weight_view). See docs/models.md#codecs
#include <precis/codec/affine.hpp>
#include <precis/core/menu.hpp>

/// Decodes nothing.
struct write_only {
  static const char* name() { return "write_only"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return out * in; }
  static void encode(precis::weight_view, std::span<std::byte>) {}
};

int main() { return static_cast<int>(precis::menu<precis::codec::affine<4, 32>, write_only>::size); }
