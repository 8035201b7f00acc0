#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// The parts of a model between which its residual stream can be observed, in forward order: one per layer, or, for
/// units smaller than a block, two per layer (attention, then MLP).
struct stream_parts {
  std::size_t layers = 0;
  unit_kind units = unit_kind::block;

  [[nodiscard]] bool halves() const noexcept { return units != unit_kind::block; }
  [[nodiscard]] std::size_t count() const noexcept { return halves() ? 2 * layers : layers; }

  /// The indices of the parts to which a unit's matrices belong, ascending; none if all of them are outside of the
  /// layers, like an embedding or the head. A matrix belongs to its half.
  template<class = void>
  [[nodiscard]] std::vector<std::size_t> indices_of(const unit& u, std::span<const matrix_info> matrices) const {
    std::vector<std::size_t> indices;
    for (const std::size_t m : u.matrices) {
      const matrix_info& info = matrices[m];
      if (info.layer >= layers) continue;
      indices.push_back(halves() ? 2 * info.layer + (info.part == part::attention ? 0 : 1) : info.layer);
    }
    std::sort(indices.begin(), indices.end());
    indices.erase(std::unique(indices.begin(), indices.end()), indices.end());
    return indices;
  }

  /// Fills the units and values of a score table: each unit gets the mean of score_of(part) over its parts. Units
  /// without parts are listed as unscored.
  ///
  /// Errors   no unit inside the layers.
  template<class ScoreOf>
  void score_units(scores& s, std::span<const matrix_info> matrices, ScoreOf&& score_of,
                   const std::string& where) const {
    for (unit& u : group_units(matrices, units)) {
      const std::vector<std::size_t> parts = indices_of(u, matrices);
      if (parts.empty()) {
        s.unscored.push_back(std::move(u));
        continue;
      }
      double sum = 0;
      for (const std::size_t i : parts) sum += score_of(i);
      s.values.push_back(sum / static_cast<double>(parts.size()));
      s.units.push_back(std::move(u));
    }
    if (s.units.empty() && !s.unscored.empty())
      refuse({.what = "unit " + s.unscored.front().name + " and all others are outside of the " +
                      std::to_string(layers) + " layers",
              .where = where,
              .expected = "units of the model's layers"});
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
