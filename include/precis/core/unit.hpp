#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/order.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precis {

/// The half of a block a matrix belongs to.
enum class part { attention, mlp, other };

[[nodiscard]] constexpr std::string_view to_string(part p) noexcept {
  switch (p) {
    case part::attention: return "attention";
    case part::mlp: return "mlp";
    case part::other: break;
  }
  return "other";
}

/// The `layer` of a matrix that is used before layer 0: a token embedding, also if it is the output head as well. A run
/// with such a matrix changed starts at the tokens.
inline constexpr std::size_t before_layers = std::numeric_limits<std::size_t>::max();
/// The `layer` of a matrix that is used after the last layer only: an output head. So is every index that is not a
/// layer of the model.
inline constexpr std::size_t after_layers = before_layers - 1;

/// Whether a layer index names a layer, not a place outside of all layers.
[[nodiscard]] constexpr bool is_layer(std::size_t layer) noexcept { return layer < after_layers; }

/// Everything about a weight matrix except its values.
struct matrix_info {
  std::string name{};     ///< unique in the model: "h.3.attn.c_attn"
  std::size_t layer = 0;  ///< block index, before_layers or after_layers
  precis::part part = precis::part::other;
  std::size_t out = 0;  ///< rows
  std::size_t in = 0;   ///< columns
  std::string unit{};   ///< the unit it belongs to in unit_kind::named: "h.3.expert.5"; empty: a unit of its own

  [[nodiscard]] std::size_t weights() const noexcept { return out * in; }
  bool operator==(const matrix_info&) const = default;
};

/// How matrices are grouped into units. named: by the unit that each matrix names.
enum class unit_kind { block, half, matrix, named };

[[nodiscard]] constexpr std::string_view to_string(unit_kind k) noexcept {
  switch (k) {
    case unit_kind::block: return "block";
    case unit_kind::half: return "half";
    case unit_kind::named: return "named";
    case unit_kind::matrix: break;
  }
  return "matrix";
}

/// Parses the name of a grouping. Errors: an unknown name; `where` names the file in the message.
template<class = void>
[[nodiscard]] inline unit_kind parse_unit_kind(std::string_view word, std::string_view where) {
  for (const unit_kind k : {unit_kind::block, unit_kind::half, unit_kind::matrix, unit_kind::named})
    if (word == to_string(k)) return k;
  refuse({.what = "'" + shown(word) + "' is not a grouping of units",
          .where = std::string(where),
          .expected = "block, half, matrix or named"});
}

/// The smallest group of weights to which a plan assigns one choice.
struct unit {
  std::string name{};     ///< "block.3", "block.3.mlp", the name that its matrices state, or the matrix's own name
  std::size_t layer = 0;  ///< the earliest of its matrices: before_layers, a layer, after_layers
  unit_kind kind = unit_kind::block;
  precis::part part = precis::part::other;  ///< of all its matrices; other for blocks, and if they differ
  std::vector<std::size_t> matrices{};      ///< indices into the model's matrices(), ascending; never empty
  std::size_t weights = 0;                  ///< total number of weights

  bool operator==(const unit&) const = default;
};

/// For every name, the index of the first one equal to it: its own index if there is none before.
///
/// Errors   none.
/// Cost     O(names log names).
template<class = void>
[[nodiscard]] inline std::vector<std::size_t> first_of_equals(std::span<const std::string_view> names) {
  const std::vector<std::size_t> order =
      ascending_order(names.size(), [&](std::size_t a, std::size_t b) { return names[a] < names[b]; });
  std::vector<std::size_t> first(names.size());
  for (std::size_t k = 0; k < order.size(); ++k) {
    const bool repeats = k > 0 && names[order[k]] == names[order[k - 1]];
    first[order[k]] = repeats ? first[order[k - 1]] : order[k];
  }
  return first;
}

/// Groups matrices into blocks, halves (attention or MLP of a block) or the units that they name, or gives each matrix
/// a unit of its own.
///
/// Units are in the order of their first matrices. A matrix outside of all layers belongs to no block and to no half:
/// there, it is in the unit that it names, or in one of its own. No matrices give no units.
///
/// Errors   two matrices with the same name, if each is a unit; a matrix with the name of a unit of others.
/// Cost     O(matrices).
template<class = void>
[[nodiscard]] inline std::vector<unit> group_units(std::span<const matrix_info> matrices, unit_kind kind) {
  const auto earlier = [](std::size_t a, std::size_t b) {
    return a == before_layers || b == before_layers ? before_layers : std::min(a, b);
  };
  const auto in_layers = [kind](const matrix_info& m) {
    return (kind == unit_kind::block || kind == unit_kind::half) && is_layer(m.layer);
  };
  const auto is_alone = [&](const matrix_info& m) {
    return kind == unit_kind::matrix || (!in_layers(m) && m.unit.empty());
  };
  std::vector<std::string> names;
  for (const matrix_info& m : matrices) {
    names.push_back(is_alone(m) ? m.name : m.unit);
    if (in_layers(m)) names.back() = "block." + std::to_string(m.layer);
    if (in_layers(m) && kind == unit_kind::half) names.back() += "." + std::string(to_string(m.part));
  }
  const std::vector<std::string_view> views(names.begin(), names.end());
  const std::vector<std::size_t> first = first_of_equals(as_span(views));

  std::vector<unit> units;
  std::vector<std::size_t> unit_of(matrices.size());
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    const matrix_info& m = matrices[i];
    if (first[i] != i && (is_alone(m) || (!in_layers(m) && matrices[first[i]].unit.empty())))
      refuse({.what = (is_alone(m) ? "matrix " : "unit ") + names[i] + " appears twice",
              .where = "group_units",
              .expected = "unique names of matrices, and of the units that they name"});
    unit_of[i] = first[i] == i ? units.size() : unit_of[first[i]];
    if (first[i] == i)
      units.push_back({.name = names[i],
                       .layer = m.layer,
                       .kind = kind,
                       .part = in_layers(m) && kind == unit_kind::block ? part::other : m.part,
                       .matrices = {},
                       .weights = 0});
    unit& u = units[unit_of[i]];
    u.layer = earlier(u.layer, m.layer);
    if (u.part != m.part) u.part = part::other;
    u.matrices.push_back(i);
    u.weights += m.weights();
  }
  return units;
}

/// How these units were grouped; blocks if there are none.
template<class = void>
[[nodiscard]] inline unit_kind kind_of(std::span<const unit> units) noexcept {
  return units.empty() ? unit_kind::block : units.front().kind;
}

}  // namespace precis
