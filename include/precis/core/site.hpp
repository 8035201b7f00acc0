#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace precis {

/// The kinds of places in the forward pass where activations can be read or overwritten.
enum class site_kind {
  embedding,  ///< token embeddings before positions are added; layer 0
  residual,   ///< residual stream entering layer l; l = layers() is the stream entering the head
  attention,  ///< attention output before it is added to the residual stream
  mlp,        ///< MLP output before it is added to the residual stream
};

[[nodiscard]] constexpr std::string_view to_string(site_kind k) noexcept {
  switch (k) {
    case site_kind::embedding: return "embedding";
    case site_kind::residual: return "residual";
    case site_kind::attention: return "attention";
    case site_kind::mlp: break;
  }
  return "mlp";
}

/// A place in the forward pass: a kind and a layer.
struct site {
  site_kind kind = site_kind::residual;
  std::size_t layer = 0;

  bool operator==(const site&) const = default;
  template<class = void>
  [[nodiscard]] std::string name() const {
    return std::string(to_string(kind)) + "." + std::to_string(layer);
  }
};

}  // namespace precis
