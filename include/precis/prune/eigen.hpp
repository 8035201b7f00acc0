#pragma once

#include <precis/core/error.hpp>
#include <precis/core/text.hpp>
#include <precis/core/view.hpp>
#include <precis/model/concepts.hpp>
#include <precis/score/eigen_attribution.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace precis::prune {

/// Which singular values go, and what their absence is made up for by.
struct eigen_removal {
  std::vector<std::vector<std::size_t>> removed;  ///< [slices] indices, ascending
  std::vector<std::string> split_clusters;        ///< slices where only some of several equal values go, by name

  [[nodiscard]] std::size_t count() const noexcept {
    std::size_t sum = 0;
    for (const auto& each : removed) sum += each.size();
    return sum;
  }
};

/// Removes the singular values with the lowest effects and freezes their mean contribution into a bias.
///
///     W' = W - sum of the removed parts,   b'_t = b + (sum of the removed parts) x_t,   x_t the mean input at position t
///
/// Shapes    what score::eigen_attribution returned for this model.
/// Unit      share of the singular values of a pool, 0 to 1: floor(share n) go.
/// Pools     per_component: all slices of one component together (the paper: all keys); per_matrix; all.
/// Ties      by slice, then by singular value, the larger first.
/// Errors    a share outside [0, 1].
/// Cost      out in removed multiply-adds a slice.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning" (arXiv:2404.03147); methods E10.
/// Differs   the authors' code averages the inputs of the last batch alone, sums biases of keys over positions, and lets the
///           components of one list compete for the largest component's share.
/// @post     nothing removed: the weights keep their bits.
/// @post     over the scored samples, the mean output of a pruned map with its bias is what it was, at each position with
///           biases by position, over all of them with one bias.
struct eigen {
  enum class pool { per_component, per_matrix, all };

  double share = 0.1;
  pool within = pool::per_component;

  [[nodiscard]] eigen_removal select(const score::eigen_attributions& found) const {
    if (!(share >= 0 && share <= 1))
      refuse({.what = "a share of " + text::number(share), .where = "prune::eigen", .expected = "0 to 1"});
    struct value {
      double effect;
      std::size_t slice, index;
    };
    std::map<std::string, std::vector<value>> pools;
    for (std::size_t s = 0; s < found.slices.size(); ++s) {
      const score::singular_effects& e = found.slices[s];
      const std::string key = within == pool::all             ? std::string()
                              : within == pool::per_component ? e.where.component
                                                              : e.where.name;
      for (std::size_t r = 0; r < e.effects.size(); ++r) pools[key].push_back({e.effects[r], s, r});
    }
    eigen_removal out{.removed = std::vector<std::vector<std::size_t>>(found.slices.size()), .split_clusters = {}};
    for (auto& [key, values] : pools) {
      const auto count = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size()));
      std::partial_sort(values.begin(), values.begin() + count, values.end(), [](const value& a, const value& b) {
        return std::tie(a.effect, a.slice, a.index) < std::tie(b.effect, b.slice, b.index);
      });
      for (auto v = values.begin(); v != values.begin() + count; ++v) out.removed[v->slice].push_back(v->index);
    }
    for (std::size_t s = 0; s < out.removed.size(); ++s) {
      std::ranges::sort(out.removed[s]);
      for (const auto& [first, last] : found.slices[s].parts.clusters()) {
        std::size_t inside = 0;
        for (const std::size_t r : out.removed[s]) inside += r >= first && r <= last ? 1u : 0u;
        if (inside == 0 || inside == last - first + 1) continue;
        out.split_clusters.push_back(found.slices[s].where.name);
        break;
      }
    }
    return out;
  }

  /// What goes from one slice, [rows x cols] in double.
  [[nodiscard]] static basic_matrix<double> removed_part(const score::singular_effects& slice,
                                                         std::span<const std::size_t> removed) {
    basic_matrix<double> sum(slice.where.rows, slice.where.cols);
    for (const std::size_t r : removed)
      for (std::size_t o = 0; o < sum.rows; ++o) {
        const double factor = slice.parts.left(r, o);
        for (std::size_t c = 0; c < sum.cols; ++c) sum(o, c) = std::fma(factor, slice.parts.right(r, c), sum(o, c));
      }
    return sum;
  }

  /// Takes the selected values out of the model's weights.
  template<mutable_model Model>
  static void apply(Model& model, const score::eigen_attributions& found, const eigen_removal& selected) {
    for (std::size_t s = 0; s < found.slices.size(); ++s) {
      if (selected.removed[s].empty()) continue;
      const basic_matrix<double> gone = removed_part(found.slices[s], selected.removed[s]);
      const mutable_weight_view w =
          found.slices[s].where.of(mutable_weight_view(model.weights(found.slices[s].where.matrix)));
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c)
          w(r, c) = static_cast<float>(static_cast<double>(w(r, c)) - gone(r, c));
    }
  }

  /// What to add to the biases of a matrix, [tokens x out]: one row a position, or one row for all of them. Zeros where
  /// nothing was removed.
  [[nodiscard]] static basic_matrix<double> bias_by_token(const score::eigen_attributions& found,
                                                          const eigen_removal& selected, std::size_t matrix,
                                                          std::size_t outputs) {
    return biases(found, selected, matrix, outputs, found.means_of(matrix).by_token);
  }
  [[nodiscard]] static std::vector<double> bias(const score::eigen_attributions& found, const eigen_removal& selected,
                                                std::size_t matrix, std::size_t outputs) {
    const std::vector<double> mean = found.means_of(matrix).overall();
    return biases(found, selected, matrix, outputs, basic_matrix<double>(1, mean.size(), mean)).values;
  }

 private:
  [[nodiscard]] static basic_matrix<double> biases(const score::eigen_attributions& found,
                                                   const eigen_removal& selected, std::size_t matrix,
                                                   std::size_t outputs, const basic_matrix<double>& inputs) {
    basic_matrix<double> out(inputs.rows, outputs);
    for (std::size_t s = 0; s < found.slices.size(); ++s) {
      const score::singular_effects& slice = found.slices[s];
      if (slice.where.matrix != matrix) continue;
      for (std::size_t t = 0; t < inputs.rows; ++t)
        for (const std::size_t r : selected.removed[s]) {
          double reading = 0;
          for (std::size_t c = 0; c < slice.where.cols; ++c)
            reading = std::fma(slice.parts.right(r, c), inputs(t, slice.where.first_col + c), reading);
          for (std::size_t o = 0; o < slice.where.rows; ++o)
            out(t, slice.where.first_row + o) =
                std::fma(slice.parts.left(r, o), reading, out(t, slice.where.first_row + o));
        }
    }
    return out;
  }
};

}  // namespace precis::prune
