#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/view.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

namespace detail {

template<class C>
concept names_itself = requires {
  { C::name() } -> std::convertible_to<std::string>;  // unique and stable: "affine4.g32"
};
template<class C>
concept states_bytes = requires(std::size_t n) {
  { C::bytes(n, n) } -> std::same_as<std::size_t>;  // constexpr
};
template<class C>
concept encodes = requires(weight_view weights, std::span<std::byte> packed) {
  { C::encode(weights, packed) } -> std::same_as<void>;
};
template<class C>
concept decodes = requires(std::span<const std::byte> stored, mutable_weight_view decoded) {
  { C::decode(stored, decoded) } -> std::same_as<void>;
};

}  // namespace detail

/// One way to store a matrix, as a stateless type.
///
/// `bytes(out, in)` is the exact number of bytes that `encode` writes, including scales, zero points and padding.
/// `encode` refuses weights that are not finite and names the element. `decode` is a pure function of the bytes.
/// The weights may have any strides; codes and groups always run along `in`, row by row.
template<class C>
concept matrix_codec = detail::names_itself<C> && detail::states_bytes<C> && detail::encodes<C> && detail::decodes<C>;

/// A compile-time list of codecs that an allocator may choose from. Only the listed codecs are instantiated.
template<class... Codecs>
struct menu {
  static_assert((detail::names_itself<Codecs> && ...),
                "precis: every entry of a menu is a matrix_codec, and one has no static name() that returns a string. "
                "See docs/models.md#codecs");
  static_assert(
      (detail::states_bytes<Codecs> && ...),
      "precis: every entry of a menu is a matrix_codec, and one has no static std::size_t bytes(out, in). See "
      "docs/models.md#codecs");
  static_assert((detail::encodes<Codecs> && ...),
                "precis: every entry of a menu is a matrix_codec, and one has no static void encode(weight_view, "
                "std::span<std::byte>). See docs/models.md#codecs");
  static_assert((detail::decodes<Codecs> && ...),
                "precis: every entry of a menu is a matrix_codec, and one has no static void decode(std::span<const "
                "std::byte>, mutable_weight_view). See docs/models.md#codecs");
  static constexpr std::size_t size = sizeof...(Codecs);
  static_assert(size > 0, "precis: a menu needs at least one codec");

  [[nodiscard]] static std::array<std::string, size> names() { return {std::string(Codecs::name())...}; }

  /// The exact bytes of an `out x in` matrix in entry `index`. Requires index < size.
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t index, std::size_t out, std::size_t in) {
    constexpr std::array<std::size_t (*)(std::size_t, std::size_t), size> table{
        [](std::size_t rows, std::size_t columns) { return Codecs::bytes(rows, columns); }...};
    PRECIS_EXPECTS(index < size, "no such menu entry");
    return table[index](out, in);
  }

  static void encode(std::size_t index, weight_view weights, std::span<std::byte> packed) {
    constexpr std::array<void (*)(weight_view, std::span<std::byte>), size> table{
        [](weight_view w, std::span<std::byte> to) { Codecs::encode(w, to); }...};
    PRECIS_EXPECTS(index < size, "no such menu entry");
    table[index](weights, packed);
  }

  /// The same with one importance per column, the mean square of its inputs, which weighs errors. Codecs without
  /// `encode(weights, importance, packed)` ignore it.
  static void encode(std::size_t index, weight_view weights, std::span<const float> importance,
                     std::span<std::byte> packed) {
    constexpr std::array<void (*)(weight_view, std::span<const float>, std::span<std::byte>), size> table{
        [](weight_view w, std::span<const float> i, std::span<std::byte> to) {
          if constexpr (requires { Codecs::encode(w, i, to); })
            Codecs::encode(w, i, to);
          else
            Codecs::encode(w, to);
        }...};
    PRECIS_EXPECTS(index < size, "no such menu entry");
    table[index](weights, importance, packed);
  }

  static void decode(std::size_t index, std::span<const std::byte> packed, mutable_weight_view weights) {
    constexpr std::array<void (*)(std::span<const std::byte>, mutable_weight_view), size> table{
        [](std::span<const std::byte> from, mutable_weight_view w) { Codecs::decode(from, w); }...};
    PRECIS_EXPECTS(index < size, "no such menu entry");
    table[index](packed, weights);
  }

  [[nodiscard]] static bool contains(std::string_view name) { return position(name) < size; }

  /// The index of the entry `name`. Errors: no such entry; the message lists all entries.
  [[nodiscard]] static std::size_t index_of(std::string_view name) {
    const std::size_t at = position(name);
    if (at == size) {
      const std::array<std::string, size> all = names();
      refuse_unknown("codec", name, as_span(std::vector<std::string_view>(all.begin(), all.end())), "menu");
    }
    return at;
  }

 private:
  [[nodiscard]] static std::size_t position(std::string_view name) {
    const auto all = names();
    std::size_t i = 0;
    while (i < size && all[i] != name) ++i;
    return i;
  }
};

}  // namespace precis
