#pragma once

#include <precis/core/view.hpp>
#include <precis/kernel/grid_format.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace engine {
struct matrix_decoder;
}

namespace program {

/// The menu of the program: precis::codec::standard, compiled once in formats.cpp.
///
/// It has the members of a codec_menu; none of them is a template, so a translation unit that uses it compiles no
/// codec.
struct formats {
  static const std::size_t size;

  [[nodiscard]] static std::optional<precis::kernel::grid_format> format(std::size_t entry) noexcept;
  [[nodiscard]] static bool keeps_zero(std::size_t entry) noexcept;
  [[nodiscard]] static std::vector<std::string> names();
  [[nodiscard]] static bool contains(std::string_view name);
  [[nodiscard]] static std::size_t index_of(std::string_view name);
  [[nodiscard]] static std::size_t bytes(std::size_t entry, std::size_t out, std::size_t in) noexcept;
  static void encode(std::size_t entry, precis::weight_view weights, std::span<std::byte> packed);
  static void decode(std::size_t entry, std::span<const std::byte> packed, precis::mutable_weight_view weights);
};

/// precis::fit::nearest, compiled once in formats.cpp.
struct nearest_fit {
  void operator()(const precis::kernel::grid_format& f, precis::weight_view weights, std::span<std::byte> packed) const;
};

/// Whether a menu has integer formats of this many bits.
[[nodiscard]] bool has_width(unsigned bits) noexcept;

/// Decodes every format of the menu, for the engine's loaders.
[[nodiscard]] engine::matrix_decoder decoder();

}  // namespace program
