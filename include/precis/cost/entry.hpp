#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/pack.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {

/// A table whose costs are still 0: units, entries (no names: the whole menu) and exact bytes.
///
/// Errors   entries that are not in the menu or are named twice, and whatever else `check` refuses; `where` speaks.
template<codec_menu Menu>
[[nodiscard]] cost_table blank_table(std::span<const matrix_info> matrices, unit_kind units,
                                     std::vector<std::string> entries, std::size_t original_bits,
                                     const std::string& where) {
  cost_table t{.maker = {},
               .measure = {},
               .entries = std::move(entries),
               .units = group_units(matrices, units),
               .bytes = {},
               .costs = {}};
  if (t.entries.empty())
    for (const std::string& name : Menu::names()) t.entries.push_back(name);
  for (const matrix_info& m : matrices) t.original_bytes += (m.weights() * original_bits + 7) / 8;
  t.bytes = exact_bytes<Menu>(matrices, t.units, t.entries);
  t.costs.resize(t.bytes.size());
  check(t, where);
  return t;
}

/// A matrix in the bytes of a menu entry, as `pack` makes them.
///
/// Errors   those of pack_matrix, by matrix.
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

/// What a matrix comes back as from a menu entry: packed and decoded to `back`, which may be the matrix itself.
///
/// Errors   those of pack_matrix, by matrix.
template<codec_menu Menu, class Fit>
void round_trip(weight_view weights, const matrix_info& info, std::size_t entry, const Fit& fit,
                mutable_weight_view back) {
  Menu::decode(entry, packed_in<Menu>(weights, info, entry, fit), back);
}

}  // namespace precis::cost
