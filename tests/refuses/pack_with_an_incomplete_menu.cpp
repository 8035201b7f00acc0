// says: precis: packing needs a codec_menu, such as precis::menu<...>: this one has no static bool keeps_zero(entry). See docs/models.md#codecs
#include <precis/codec/float16.hpp>
#include <precis/pack.hpp>

#include "micro_transformer.hpp"

/// A menu with every member but one.
struct halves {
  using all = precis::menu<precis::codec::float16>;
  static constexpr std::size_t size = 1;
  static std::size_t index_of(std::string_view name) { return all::index_of(name); }
  static std::size_t bytes(std::size_t i, std::size_t out, std::size_t in) { return all::bytes(i, out, in); }
  static void encode(std::size_t i, precis::weight_view w, std::span<std::byte> packed) { all::encode(i, w, packed); }
  static void decode(std::size_t i, std::span<const std::byte> packed, precis::mutable_weight_view w) {
    all::decode(i, packed, w);
  }
  static std::optional<precis::codec::grid_format> format(std::size_t) { return {}; }
};

int main() { precis::pack<halves>(micro_transformer{}, precis::plan{}); }
