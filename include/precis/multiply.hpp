#pragma once

#include <precis/codec/packed_format.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/core/error.hpp>
#include <precis/core/menu.hpp>
#include <precis/kernel/multiply.hpp>
#include <precis/pack.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

/// From packed bytes to a product: what `pack` returns multiplies itself.
namespace precis {

/// A codec with a product of its own, as a static member
///
///     multiply(packed, out, in, x, y, workspace)    y [out] = m x [in]; workspace of workspace(out, in) floats
///
/// `workspace` may be left out if the product needs none.
template<class Codec>
concept self_multiplying = requires(std::span<const std::byte> packed, std::size_t n, std::span<const float> x,
                                    std::span<float> y, std::span<float> workspace) {
  { Codec::multiply(packed, n, n, x, y, workspace) } -> std::same_as<void>;
};

/// Whether packed matrices of this codec are multiplied: every codec of the library but a sparse or low-rank one inside
/// another of its kind; and those of users that state a `format` or a `multiply`.
template<class Codec>
inline constexpr bool is_multiplied = codec::packed_format_of<Codec>().has_value() || self_multiplying<Codec>;

namespace detail {

template<class... Lists>
struct joined_formats {
  using type = kernel::formats<>;
};
template<kernel::packed_format... F>
struct joined_formats<kernel::formats<F...>> {
  using type = kernel::formats<F...>;
};
template<kernel::packed_format... F, kernel::packed_format... G, class... Others>
struct joined_formats<kernel::formats<F...>, kernel::formats<G...>, Others...> {
  using type = typename joined_formats<kernel::formats<F..., G...>, Others...>::type;
};
template<class Codec>
constexpr auto formats_of() {
  if constexpr (constexpr auto f = codec::packed_format_of<Codec>(); f.has_value())
    return kernel::formats<*f>{};
  else
    return kernel::formats<>{};
}

template<class Menu>
struct menu_kernels {
  using formats = kernel::formats<>;
  static constexpr bool has_formats = true;
};
template<class... Codecs>
struct menu_kernels<menu<Codecs...>> {
  using formats = typename joined_formats<decltype(formats_of<Codecs>())...>::type;
  static constexpr bool has_formats = (codec::packed_format_of<Codecs>().has_value() || ...);
};

/// Calls body(the codec with index `entry`) if it multiplies itself.
template<class Body, class... Codecs>
void with_own_product(menu<Codecs...>, std::size_t entry, Body&& body) {
  std::size_t i = 0;
  const auto visit = [&]<class Codec>(std::type_identity<Codec> codec) {
    if constexpr (self_multiplying<Codec> && !codec::packed_format_of<Codec>().has_value())
      if (i == entry) body(codec);
    ++i;
  };
  (visit(std::type_identity<Codecs>{}), ...);
}
template<class Body, class Menu>
void with_own_product(Menu, std::size_t, Body&&) {}  // a menu of this library's codecs

template<class... Codecs>
constexpr bool all_multiplied(menu<Codecs...>) {
  return (is_multiplied<Codecs> && ...);
}
template<class Menu>
constexpr bool all_multiplied(Menu) {
  return true;
}

}  // namespace detail

/// The kernels that a menu needs, for kernel::multiply.
template<class Menu>
using kernel_formats = typename detail::menu_kernels<Menu>::formats;

/// Floats of workspace that `multiply` needs for m.
template<class Menu>
[[nodiscard]] std::size_t multiply_workspace(const encoded_matrix& m) {
  if (m.format) return kernel::vector_workspace(m.view());
  std::size_t floats = 0;
  detail::with_own_product(Menu{}, m.choice.entry, [&]<class Codec>(std::type_identity<Codec>) {
    if constexpr (requires { Codec::workspace(m.choice.out, m.choice.in); })
      floats = Codec::workspace(m.choice.out, m.choice.in);
  });
  return floats;
}

/// y = m x, from the packed bytes, with the kernels of the menu's codecs alone.
///
/// kernel::multiply has more: several vectors at once, bytes in place of floats, rows split over threads:
///
///     kernel::multiply<kernel_formats<Menu>>(m.view(), vectors, y, workspace, rows);
///
/// Shapes    m [out x in], x [in], y [out]
/// Requires  m packed with this menu; workspace of multiply_workspace<Menu>(m) elements.
/// Errors    none for codecs of the library; no allocation.
/// Cost      one read of m.
template<class Menu>
void multiply(const encoded_matrix& m, std::span<const float> x, std::span<float> y, std::span<float> workspace) {
  static_assert(detail::all_multiplied(Menu{}),
                "precis: every codec of the menu needs a product: a static member `format` that the kernels know, or a "
                "static member multiply(packed, out, in, x, y, workspace). See docs/models.md#codecs");
  PRECIS_EXPECTS(x.size() == m.choice.in && y.size() == m.choice.out, "x of `in` and y of `out` elements");
  PRECIS_EXPECTS(workspace.size() >= multiply_workspace<Menu>(m), "a workspace of multiply_workspace(m) elements");
  if (m.format) {
    if constexpr (detail::menu_kernels<Menu>::has_formats)
      kernel::multiply<kernel_formats<Menu>>(m.view(), x, y, workspace);
    return;
  }
  detail::with_own_product(Menu{}, m.choice.entry, [&]<class Codec>(std::type_identity<Codec>) {
    Codec::multiply(std::span<const std::byte>(m.bytes), m.choice.out, m.choice.in, x, y, workspace);
  });
}

}  // namespace precis
