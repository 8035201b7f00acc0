#pragma once

#include <precis/core/error.hpp>
#include <precis/core/unit.hpp>

#include <cstddef>
#include <string>

namespace precis::score {

/// The parts of a model between which its residual stream can be observed, in forward order: one per layer, or, for
/// units smaller than a block, two per layer (attention, then MLP).
struct stream_parts {
  std::size_t layers = 0;
  unit_kind units = unit_kind::block;

  [[nodiscard]] bool halves() const noexcept { return units != unit_kind::block; }
  [[nodiscard]] std::size_t count() const noexcept { return halves() ? 2 * layers : layers; }

  /// The index of the part that a unit belongs to. A matrix belongs to its half.
  ///
  /// Errors   a unit of a layer that the model does not have.
  template<class = void>
  [[nodiscard]] std::size_t index_of(const unit& u, const std::string& where) const {
    if (u.layer >= layers)
      refuse({.what = "unit " + u.name + " is in layer " + std::to_string(u.layer),
              .where = where,
              .expected = "one of the model's " + std::to_string(layers) + " layers"});
    return halves() ? 2 * u.layer + (u.part == part::attention ? 0 : 1) : u.layer;
  }
};

}  // namespace precis::score
