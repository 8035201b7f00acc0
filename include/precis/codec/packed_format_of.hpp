#pragma once

#include <precis/kernel/ieee.hpp>
#include <precis/kernel/packed_format.hpp>

#include <concepts>
#include <optional>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// The format of a codec's bytes, which says how to multiply them; nullopt if the kernels do not know it. A codec
/// states it as a static member `format`: a grid_format, dense_type, codebook_format, ggml_type or packed_format.
template<class Codec>
[[nodiscard]] constexpr std::optional<kernel::packed_format> packed_format_of() noexcept {
  if constexpr (requires {
                  { Codec::format } -> std::convertible_to<std::optional<kernel::packed_format>>;
                })
    return Codec::format;
  else
    return std::nullopt;
}

namespace detail {

/// The format of the values of a sparse codec: not sparse itself.
template<class Values>
[[nodiscard]] constexpr std::optional<kernel::packed_format> values_format() noexcept {
  const std::optional<kernel::packed_format> f = packed_format_of<Values>();
  return f && f->rank_percent == 0 && f->kept == kernel::kept_weights::all ? f : std::nullopt;
}
/// The format of the factors of a low-rank codec: not of low rank itself.
template<class Inner>
[[nodiscard]] constexpr std::optional<kernel::packed_format> factors_format() noexcept {
  const std::optional<kernel::packed_format> f = packed_format_of<Inner>();
  return f && f->rank_percent == 0 ? f : std::nullopt;
}

}  // namespace detail

PRECIS_IEEE_END
}  // namespace precis::codec
