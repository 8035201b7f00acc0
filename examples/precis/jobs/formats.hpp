#pragma once

#include <precis/core/view.hpp>
#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/packed_format.hpp>

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
  [[nodiscard]] static std::optional<precis::kernel::packed_format> packed_format(std::size_t entry) noexcept;
  [[nodiscard]] static bool keeps_zero(std::size_t entry) noexcept;
  [[nodiscard]] static std::vector<std::string> names();
  [[nodiscard]] static bool contains(std::string_view name);
  [[nodiscard]] static std::size_t index_of(std::string_view name);
  [[nodiscard]] static std::size_t bytes(std::size_t entry, std::size_t out, std::size_t in) noexcept;
  static void encode(std::size_t entry, precis::weight_view weights, std::span<std::byte> packed);
  /// With one importance per column, for the formats that take it.
  static void encode(std::size_t entry, precis::weight_view weights, std::span<const float> importance,
                     std::span<std::byte> packed);
  static void decode(std::size_t entry, std::span<const std::byte> packed, precis::mutable_weight_view weights);
};

/// precis::fit::clip_search or precis::fit::nearest, compiled once in formats.cpp; or precis::fit::gptq, and
/// precis::fit::signed_rounding after it, which need the statistics of a calibration and are run by jobs/rounding.hpp.
struct code_fit {
  bool search = true;
  bool compensate = false;
  bool tune = false;  ///< after compensation

  /// Errors: a fit that needs statistics.
  void operator()(const precis::kernel::grid_format& f, precis::weight_view weights, std::span<std::byte> packed) const;
  bool operator==(const code_fit&) const = default;
};
/// "clip_search", "nearest", "gptq" or "signed_rounding", and back. Requires one of the four.
[[nodiscard]] std::string to_string(code_fit fit);
[[nodiscard]] code_fit fit_called(std::string_view name);

/// Tables and plans carry the fit that they were made with as a note, "fit clip_search": costs hold for one fit.
void set_fit(std::vector<std::string>& notes, code_fit fit);
/// nullopt if there is no such note, as in a plan that a person wrote.
[[nodiscard]] std::optional<code_fit> fit_of(const std::vector<std::string>& notes);

/// Whether a menu has integer formats of this many bits.
[[nodiscard]] bool has_width(unsigned bits) noexcept;

/// Decodes every format of the menu, for the engine's loaders.
[[nodiscard]] engine::matrix_decoder decoder();

}  // namespace program
