#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/pack.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {

/// A table of these units with exact bytes, in which every cost is 0. If `entries` is empty, it has the whole menu's.
///
/// Errors   entries that are not in the menu or are listed twice, and whatever else `check` refuses. Messages start
///          with `where`.
template<codec_menu Menu>
[[nodiscard]] cost_table blank_table(std::span<const matrix_info> matrices, std::vector<unit> units,
                                     std::vector<std::string> entries, std::size_t original_bits,
                                     const std::string& where) {
  cost_table t{
      .maker = {}, .measure = {}, .entries = std::move(entries), .units = std::move(units), .bytes = {}, .costs = {}};
  if (t.entries.empty())
    for (const std::string& name : Menu::names()) t.entries.push_back(name);
  for (const matrix_info& m : matrices) t.original_bytes += (m.weights() * original_bits + 7) / 8;
  t.bytes = exact_bytes<Menu>(matrices, t.units, t.entries);
  t.costs.resize(t.bytes.size());
  check(t, where);
  return t;
}

/// A blank table of all units of one kind.
template<codec_menu Menu>
[[nodiscard]] cost_table blank_table(std::span<const matrix_info> matrices, unit_kind units,
                                     std::vector<std::string> entries, std::size_t original_bits,
                                     const std::string& where) {
  return blank_table<Menu>(matrices, group_units(matrices, units), std::move(entries), original_bits, where);
}

/// The bytes of a matrix in a menu entry, as `pack` would write them.
///
/// Errors   those of pack_matrix; messages name the matrix.
template<codec_menu Menu, class Fit>
[[nodiscard]] std::vector<std::byte> packed_in(weight_view weights, const matrix_info& info, std::size_t entry,
                                               const Fit& fit) {
  std::vector<std::byte> packed(Menu::bytes(entry, info.out, info.in));
  const matrix_choice choice{.matrix = 0,
                             .name = info.name,
                             .unit = {},
                             .codec = {},
                             .entry = entry,
                             .sparsity = 0,
                             .out = info.out,
                             .in = info.in,
                             .bytes = packed.size()};
  pack_matrix<Menu>(weights, choice, packed, fit);
  return packed;
}

/// Packs a matrix in a menu entry and decodes it to `decoded`, which may be the matrix itself.
///
/// Errors   those of pack_matrix; messages name the matrix.
template<codec_menu Menu, class Fit>
void round_trip(weight_view weights, const matrix_info& info, std::size_t entry, const Fit& fit,
                mutable_weight_view decoded) {
  Menu::decode(entry, packed_in<Menu>(weights, info, entry, fit), decoded);
}

/// The same, unless the entry cannot hold these weights, as a half scale cannot hold that of a weight of 10^6: returns
/// false, and `decoded` is unchanged. Without exceptions, the refusal hook decides.
///
/// Errors   weights that are not finite, which no entry can hold; messages name the matrix.
template<codec_menu Menu, class Fit>
[[nodiscard]] bool round_trip_if_held(weight_view weights, const matrix_info& info, std::size_t entry, const Fit& fit,
                                      mutable_weight_view decoded) {
#if defined(__cpp_exceptions)
  try {
    round_trip<Menu>(weights, info, entry, fit, decoded);
  } catch (const error&) {
    codec::check_finite(weights, info.name);
    return false;
  }
#else
  round_trip<Menu>(weights, info, entry, fit, decoded);
#endif
  return true;
}

}  // namespace precis::cost
