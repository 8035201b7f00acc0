#pragma once

#include <precis/codec/packed_format_of.hpp>
#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/math.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/float_product.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/singular_values.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace precis::codec {
PRECIS_IEEE_BEGIN

/// A matrix as the product of two factors, both stored in another codec. The rank is part of the codec, so it is a menu
/// entry like any other.
///
///     W ~ A B,   A = U_r sqrt(Sigma_r) [out x r],   B = sqrt(Sigma_r) V_r^T [r x in]
///
/// Shapes    r = max(1, floor(Percent min(out, in) / 100)).
/// Unit      size: the bytes of both factors in `Inner`. This is less than Inner needs for the whole matrix if r is
///           below about out in / (out + in); above that, allocators choose the full-rank entry.
/// Name      "rank50.float16".
/// Errors    weights that are not finite; those of Inner.
/// Cost      encode: a singular value decomposition, 9 min(out, in)^3 operations, and products. decode: 2 out r in
///           operations.
/// Source    Yao et al. 2023 (ZeroQuant-V2), arXiv:2303.08302, whose low-rank compensation splits the singular values
///           in the same way: both factors get their square roots, so that one grid suits both.
/// Differs   the factors store the matrix itself, not the error of a quantized one.
/// @post     a matrix of rank at most r is exact up to the errors of Inner and float rounding.
template<std::size_t Percent, matrix_codec Inner>
struct low_rank {
  static_assert(Percent > 0 && Percent <= 100, "precis: a rank in percent of the smaller extent is 1 to 100");
  static constexpr auto format = []() -> std::optional<kernel::packed_format> {
    const auto factors = detail::factors_format<Inner>();
    if (!factors) return std::nullopt;
    return kernel::low_rank(static_cast<unsigned>(Percent), *factors);
  }();

  [[nodiscard]] static std::string name() {
    return "rank" + std::to_string(Percent) + "." + std::string(Inner::name());
  }

  [[nodiscard]] static constexpr std::size_t rank(std::size_t out, std::size_t in) noexcept {
    return std::max<std::size_t>(1, std::min(out, in) * Percent / 100);
  }
  [[nodiscard]] static constexpr std::size_t bytes(std::size_t out, std::size_t in) {
    const std::size_t r = rank(out, in);
    return out == 0 || in == 0 ? 0 : Inner::bytes(out, r) + Inner::bytes(r, in);
  }

  static void encode(weight_view weights, std::span<std::byte> packed) {
    PRECIS_EXPECTS(packed.size() == bytes(weights.rows, weights.cols), "a buffer of bytes(out, in)");
    if (weights.empty()) return;
    const linear_algebra::singular_system s = linear_algebra::singular_values(weights);
    const std::size_t r = rank(weights.rows, weights.cols), first = Inner::bytes(weights.rows, r);
    const bool tall =
        weights.rows >= weights.cols;  // then the singular values are contained in `left`, otherwise in `right`
    float_matrix a(weights.rows, r), b(r, weights.cols);
    for (std::size_t k = 0; k < r; ++k) {
      const double root = math::sqrt(s.values[k]), inverse = s.values[k] > 0 ? 1 / root : 0.0;
      for (std::size_t o = 0; o < a.rows; ++o) a(o, k) = static_cast<float>(s.left(k, o) * (tall ? inverse : root));
      for (std::size_t i = 0; i < b.cols; ++i) b(k, i) = static_cast<float>(s.right(k, i) * (tall ? root : inverse));
    }
    Inner::encode(a.view(), packed.first(first));
    Inner::encode(b.view(), packed.subspan(first));
  }

  static void decode(std::span<const std::byte> packed, mutable_weight_view weights) {
    if (weights.empty()) return;
    const std::size_t r = rank(weights.rows, weights.cols), first = Inner::bytes(weights.rows, r);
    float_matrix a(weights.rows, r), b(r, weights.cols), product(weights.rows, weights.cols);
    Inner::decode(packed.first(first), a.view());
    Inner::decode(packed.subspan(first), b.view());
    std::vector<float> workspace(kernel::product_workspace);
    kernel::product(std::as_const(a).view(), std::as_const(b).view(), product.view(), as_writable_span(workspace));
    for (std::size_t o = 0; o < weights.rows; ++o)
      for (std::size_t i = 0; i < weights.cols; ++i) weights(o, i) = product(o, i);
  }
};

PRECIS_IEEE_END
}  // namespace precis::codec
