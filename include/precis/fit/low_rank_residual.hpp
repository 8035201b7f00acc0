#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/error.hpp>
#include <precis/core/math.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/cholesky.hpp>
#include <precis/linear_algebra/singular_values.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace precis::fit {
PRECIS_IEEE_BEGIN

/// Two thin factors that are added to a compressed matrix: W is about Q + b a.
struct low_rank_factors {
  float_matrix b{};  ///< [out x rank]
  float_matrix a{};  ///< [rank x in]

  /// b a + q. Requires [out x in].
  template<class = void>
  void add_to(mutable_weight_view q) const {
    for (std::size_t r = 0; r < b.rows; ++r)
      for (std::size_t c = 0; c < a.cols; ++c) {
        double sum = static_cast<double>(q(r, c));
        for (std::size_t k = 0; k < a.rows; ++k) sum += static_cast<double>(b(r, k)) * static_cast<double>(a(k, c));
        q(r, c) = static_cast<float>(sum);
      }
  }
};

/// The factors of rank `rank` that make up best for what a compressed matrix lost:
///
///     without a Gram matrix (LoRC)   D = W - Q = sum of sigma u v',        b = u sigma^1/2, a = sigma^1/2 v'
///     with one (EoRA)                D L = sum of sigma u v', C = L L',    b = u sigma^1/2, a = sigma^1/2 v' L^-1
///
/// LoRC leaves the least squared weights, EoRA the least squared outputs tr((D - ba) C (D - ba)').
///
/// Edges    a rank beyond min(out, in) counts as that. A C that is not definite gets a ridge of 1e-6 of its mean diagonal, or
///          tenfold until it is; a C of zeros counts as none.
/// Errors   matrices or a Gram matrix of other shapes; weights that are not finite.
/// Cost     a singular value decomposition of out x in, and a factorization of in^3 / 6.
/// Source   docs/methods/gptq.md: Yao et al. 2023 (ZeroQuant-V2), arXiv:2303.08302; Liu et al. 2024 (EoRA), arXiv:2410.21271.
/// Differs  EoRA whitens by eigenvectors, and divides by zero where an eigenvalue is 0; any L with L L' = C gives the same
///          product, and the Cholesky factor is cheaper.
struct low_rank_residual {
  std::size_t rank = 8;

  template<class = void>
  [[nodiscard]] low_rank_factors operator()(weight_view original, weight_view compressed) const {
    return factor(difference(original, compressed), nullptr);
  }
  template<class = void>
  [[nodiscard]] low_rank_factors operator()(weight_view original, weight_view compressed,
                                            const basic_matrix<double>& gram) const {
    if (gram.rows != original.cols || gram.cols != original.cols)
      refuse({.what = "a Gram matrix of " + std::to_string(gram.rows) + " inputs",
              .where = "fit::low_rank_residual",
              .expected = std::to_string(original.cols) + ", one per column"});
    double mean = 0;
    for (std::size_t i = 0; i < gram.rows; ++i) mean += gram(i, i) / static_cast<double>(gram.rows);
    if (!(mean > 0)) return (*this)(original, compressed);
    basic_matrix<double> l = gram;
    for (double ridge = 0; !linear_algebra::cholesky(l); ridge = ridge == 0 ? 1e-6 * mean : 10 * ridge) {
      l = gram;
      for (std::size_t i = 0; i < l.rows; ++i) l(i, i) += ridge == 0 ? 1e-6 * mean : 10 * ridge;
    }
    return factor(difference(original, compressed), &l);
  }

 private:
  template<class = void>
  [[nodiscard]] static basic_matrix<double> difference(weight_view w, weight_view q) {
    if (w.rows != q.rows || w.cols != q.cols)
      refuse({.what = "matrices of different shapes", .where = "fit::low_rank_residual", .expected = "one shape"});
    basic_matrix<double> d(w.rows, w.cols);
    for (std::size_t r = 0; r < w.rows; ++r)
      for (std::size_t c = 0; c < w.cols; ++c) d(r, c) = static_cast<double>(w(r, c)) - static_cast<double>(q(r, c));
    return d;
  }
  template<class = void>
  [[nodiscard]] low_rank_factors factor(const basic_matrix<double>& d, const basic_matrix<double>* l) const {
    float_matrix whitened(d.rows, d.cols);
    for (std::size_t r = 0; r < d.rows; ++r)
      for (std::size_t c = 0; c < d.cols; ++c) {
        double sum = l == nullptr ? d(r, c) : 0;
        if (l != nullptr)
          for (std::size_t k = c; k < d.cols; ++k) sum += d(r, k) * (*l)(k, c);
        whitened(r, c) = static_cast<float>(sum);
      }
    const linear_algebra::singular_system s = linear_algebra::singular_values(std::as_const(whitened).view());
    basic_matrix<double> inverse;
    if (l != nullptr) {
      inverse = *l;
      linear_algebra::invert_lower(inverse);
    }
    const std::size_t count = std::min(rank, s.count());
    const bool left_is_long = d.cols <= d.rows;  // these vectors contain the singular value
    low_rank_factors f{.b = float_matrix(d.rows, count), .a = float_matrix(count, d.cols)};
    for (std::size_t k = 0; k < count; ++k) {
      const double root = math::sqrt(s.values[k]), by = root > 0 ? 1 / root : 0.0;
      for (std::size_t r = 0; r < d.rows; ++r)
        f.b(r, k) = static_cast<float>(s.left(k, r) * (left_is_long ? by : root));
      for (std::size_t c = 0; c < d.cols; ++c) {
        double sum = l == nullptr ? s.right(k, c) : 0;
        if (l != nullptr)
          for (std::size_t j = c; j < d.cols; ++j) sum += s.right(k, j) * inverse(j, c);
        f.a(k, c) = static_cast<float>(sum * (left_is_long ? root : by));
      }
    }
    return f;
  }
};

PRECIS_IEEE_END
}  // namespace precis::fit
