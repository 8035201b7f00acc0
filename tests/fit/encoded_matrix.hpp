#pragma once

#include <precis/codec/standard_menu.hpp>
#include <precis/fit/rounding_variables.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace encoded {

using precis::float_matrix;
using precis::codec::standard;

/// An encoded matrix, its format and its decoded values.
struct encoded_matrix {
  std::size_t entry;
  precis::kernel::packed_format format;
  std::vector<std::byte> packed;
  float_matrix decoded;

  encoded_matrix(const std::string& name, const float_matrix& w)
      : entry(standard::index_of(name)),
        format(*standard::packed_format(entry)),
        packed(standard::bytes(entry, w.rows, w.cols)),
        decoded(w.rows, w.cols) {
    standard::encode(entry, w.view(), packed);
    decode();
  }
  void decode() { standard::decode(entry, packed, decoded.view()); }
  [[nodiscard]] precis::fit::rounding_variables variables(const float_matrix& target) const {
    return {format, target.view(), decoded.view(), packed};
  }
};

}  // namespace encoded
