#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/checks.hpp>
#include <precis/core/error.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/linear_algebra/singular_values.hpp>
#include <precis/measure/means.hpp>
#include <precis/model/concepts.hpp>

#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::prune {
PRECIS_IEEE_BEGIN

/// A slice and the singular values that pruning removes from it.
struct pruned_slice {
  matrix_slice slice = {};
  std::vector<std::size_t> removed{};  ///< indices into the spectrum, ascending
  std::size_t beyond_the_portion = 0;  ///< how many of them are removed only because their cluster must not be split

  [[nodiscard]] std::size_t kept() const noexcept { return slice.rank() - removed.size(); }
  /// The number of values to store: all weights, or the two factors of the kept part if those are fewer.
  [[nodiscard]] std::size_t stored() const noexcept {
    return std::min(slice.out * slice.in, kept() * (slice.out + slice.in));
  }
  [[nodiscard]] bool factored() const noexcept { return stored() < slice.out * slice.in; }
  bool operator==(const pruned_slice&) const = default;
};

/// Eigenpruning: removes the singular values with the lowest scores and adds their mean contribution to the bias.
///
///     E = sum over removed r of sigma_r u_r v_r^T      W' = W - E      b' = b + E xbar
///
/// Shapes    spectra of slices of the model; mean inputs of the matrices that contain them.
/// Unit      portion: share of the singular values of a pool; the count is rounded down.
/// Errors    a portion outside [0, 1]; spectra that do not fit the model, or whose singular values are not those of the
///           model; missing mean inputs. In these cases the model is unchanged.
/// Cost      one singular value decomposition per slice that loses values, and its recomposition.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning: an Interpretability-Inspired PEFT Method"; code
///           tvergara/eigenpruning; docs/methods/eigenpruning.md.
/// Differs   the authors' code takes xbar from the last mini-batch; here the caller passes the means. It also sums the
///           biases of all positions, as `author_sum` does, and applies the counts of one component to a list of all
///           components; here values are counted per pool. Singular values of one cluster are removed or kept together,
///           because their vectors are not unique.
/// @post     portion == 0 leaves every weight bit-identical.
/// @post     the mean output over the samples equals that of the unpruned map: at every token (token), or overall
///           (global).
struct eigenpruning {
  enum class pool { role, slice, everything };
  enum class absorption {
    none,
    global,      ///< the mean over all positions becomes an ordinary bias
    token,       ///< the mean at each position becomes a bias per position, for prompts of fixed length
    author_sum,  ///< the sum over all positions of their means, as in the authors' code for q, k, v and MLP maps
  };
  enum class later_positions { refuse, global };

  double portion = 0.01;
  pool among = pool::role;  ///< which values compete: those of a role in all layers and heads, those of a slice, or all
  absorption bias = absorption::global;
  later_positions later = later_positions::refuse;  ///< what happens in `token` mode at positions beyond the means

  bool operator==(const eigenpruning&) const = default;

  /// Selects the singular values to remove, per slice. Ties: the lower slice, then the larger singular value, is
  /// removed first.
  template<class = void>
  [[nodiscard]] std::vector<pruned_slice> select(const spectra& all) const {
    check(all, "prune::eigenpruning");
    check_range(portion, 0, 1, "a portion", "prune::eigenpruning");
    check_not_empty(all.slices.size(), "slices", "prune::eigenpruning");
    struct candidate {
      std::size_t slice, value;
    };
    std::vector<std::vector<candidate>> pools(std::max(all.slices.size(), std::size(all_roles)));
    for (std::size_t s = 0; s < all.slices.size(); ++s) {
      const std::size_t key = among == pool::slice  ? s
                              : among == pool::role ? static_cast<std::size_t>(all.slices[s].slice.role)
                                                    : 0;
      for (std::size_t r = 0; r < all.slices[s].values.size(); ++r) pools[key].push_back({s, r});
    }
    std::vector<std::vector<bool>> selected;  // [slices][rank]
    selected.reserve(all.slices.size());
    for (const spectrum& s : all.slices) selected.emplace_back(s.values.size());
    for (std::vector<candidate>& candidates : pools) {
      const auto score = [&](const candidate& c) { return all.slices[c.slice].scores[c.value]; };
      std::stable_sort(candidates.begin(), candidates.end(),
                       [&](const candidate& a, const candidate& b) { return score(a) < score(b); });
      // The factor makes a product that is an integer up to rounding count as that integer.
      const double exact = portion * static_cast<double>(candidates.size());
      const auto count = static_cast<std::size_t>(exact * (1 + 1e-12));
      for (std::size_t i = 0; i < count; ++i) selected[candidates[i].slice][candidates[i].value] = true;
    }

    std::vector<pruned_slice> result;
    for (std::size_t s = 0; s < all.slices.size(); ++s) {
      pruned_slice pruned{.slice = all.slices[s].slice, .removed = {}};
      const std::vector<std::size_t> cluster = linear_algebra::clusters(as_span(all.slices[s].values));
      std::vector<bool> cluster_selected(cluster.size());
      for (std::size_t r = 0; r < cluster.size(); ++r)
        if (selected[s][r]) cluster_selected[cluster[r]] = true;
      for (std::size_t r = 0; r < cluster.size(); ++r) {
        if (!cluster_selected[cluster[r]]) continue;
        pruned.removed.push_back(r);
        if (!selected[s][r]) ++pruned.beyond_the_portion;
      }
      result.push_back(std::move(pruned));
    }
    return result;
  }

  /// Prunes the model in place. Returns the removed singular values per slice.
  template<mutable_model Model>
    requires bias_model<Model>
  std::vector<pruned_slice> operator()(Model& model, const spectra& all, const measure::input_means& means) const {
    if constexpr (!token_bias_model<Model>)
      if (bias == absorption::token)
        refuse({.what = "a bias per token",
                .where = "prune::eigenpruning",
                .expected = "a token_bias_model, which has add_token_bias, or absorption::global"});
    std::vector<matrix_slice> slices;
    slices.reserve(all.slices.size());
    for (const spectrum& s : all.slices) slices.push_back(s.slice);
    check_slices(slices, model.matrices(), "prune::eigenpruning");
    std::vector<pruned_slice> pruned = select(all);

    struct change {
      std::size_t slice;
      float_matrix weights;           ///< W', the weights of the slice after pruning
      basic_matrix<double> bias;      ///< [1 or tokens x out of the slice] the bias to add
      std::vector<double> mean_bias;  ///< [out of the slice] E xbar over all positions
    };
    std::vector<change> changes;  // all are computed before any is applied
    for (std::size_t s = 0; s < pruned.size(); ++s) {
      if (pruned[s].removed.empty()) continue;
      const matrix_slice& slice = pruned[s].slice;
      const weight_view w = part_of(weight_view(std::as_const(model).weights(slice.matrix)), slice);
      const linear_algebra::singular_system parts = linear_algebra::singular_values(w, slice.name);
      check_same(parts, all.slices[s]);
      changes.push_back({s, remainder(w, parts, as_span(pruned[s].removed)), {}, {}});
      absorb(parts, pruned[s], means, changes.back().bias, changes.back().mean_bias);
    }
    for (const change& c : changes) {
      const matrix_slice& slice = pruned[c.slice].slice;
      const mutable_weight_view w = part_of(mutable_weight_view(model.weights(slice.matrix)), slice);
      for (std::size_t o = 0; o < slice.out; ++o)
        for (std::size_t i = 0; i < slice.in; ++i) w(o, i) = c.weights(o, i);
    }
    if (bias == absorption::none) return pruned;
    for (std::size_t m = 0; m < model.matrices().size(); ++m) {  // one bias per matrix, for all of its slices
      basic_matrix<double> sum;
      std::vector<double> mean_bias(model.matrices()[m].out);
      for (const change& c : changes) {
        const matrix_slice& slice = pruned[c.slice].slice;
        if (slice.matrix != m) continue;
        if (sum.rows == 0) sum = basic_matrix<double>(c.bias.rows, model.matrices()[m].out);
        for (std::size_t o = 0; o < slice.out; ++o) {
          mean_bias[slice.first_out + o] += c.mean_bias[o];
          for (std::size_t t = 0; t < sum.rows; ++t) sum(t, slice.first_out + o) += c.bias(t, o);
        }
      }
      if (sum.rows == 0) continue;
      if (bias != absorption::token)
        model.add_bias(m, sum.row(0));
      else if constexpr (token_bias_model<Model>)
        model.add_token_bias(
            m, std::as_const(sum).view(),
            later == later_positions::global ? std::span<const double>(mean_bias) : std::span<const double>{});
    }
    return pruned;
  }

  /// Selected only if the overload above is not viable: explains why, and what to add.
  template<class Model>
    requires(!(mutable_model<Model> && bias_model<Model>))
  refused operator()(Model&, const spectra&, const measure::input_means&) const {
    static_assert(
        mutable_model<Model>,
        "precis: prune::eigenpruning needs a mutable_model. Add mutable_weight_view weights(i) to the adaptor, for a "
        "model that is not const. See docs/models.md#mutable");
    static_assert(
        bias_model<Model>,
        "precis: prune::eigenpruning needs a bias_model. Add add_bias(matrix, bias) to the adaptor, which adds to the "
        "bias of a map or creates it. See docs/models.md#biases");
    return {};
  }

 private:
  /// Refuses spectra that were not computed from the present weights.
  template<class = void>
  static void check_same(const linear_algebra::singular_system& parts, const spectrum& s) {
    for (std::size_t r = 0; r < parts.count(); ++r)
      if (std::abs(parts.values[r] - s.values[r]) > 1e-6 * parts.values[0])
        refuse({.what = "singular value " + std::to_string(r) + " of slice " + s.slice.name + " is " +
                        text::number(parts.values[r]) + " in the model and " + text::number(s.values[r]) +
                        " in the spectra",
                .where = "prune::eigenpruning",
                .expected = "spectra of the model's present weights"});
  }

  /// W - E: W minus the removed parts, or the sum of the kept parts if those are fewer.
  template<class = void>
  [[nodiscard]] static float_matrix remainder(weight_view w, const linear_algebra::singular_system& parts,
                                              std::span<const std::size_t> removed) {
    std::vector<bool> is_removed(parts.count());
    for (const std::size_t r : removed) is_removed[r] = true;
    const bool subtract = removed.size() <= parts.count() / 2;
    std::vector<double> row(w.cols);
    float_matrix result(w.rows, w.cols);
    for (std::size_t o = 0; o < w.rows; ++o) {
      for (std::size_t i = 0; i < w.cols; ++i) row[i] = subtract ? static_cast<double>(w(o, i)) : 0.0;
      for (std::size_t r = 0; r < parts.count(); ++r)
        if (is_removed[r] == subtract)
          linear_algebra::add(subtract ? -parts.left(r, o) : parts.left(r, o), parts.right.row(r).data(), row.data(),
                              w.cols);
      std::transform(row.begin(), row.end(), result.row(o).begin(), [](double v) { return static_cast<float>(v); });
    }
    return result;
  }

  /// E xbar: as the bias to add in this mode, and over all positions.
  template<class = void>
  void absorb(const linear_algebra::singular_system& parts, const pruned_slice& pruned,
              const measure::input_means& means, basic_matrix<double>& bias_to_add,
              std::vector<double>& mean_bias) const {
    if (bias == absorption::none) return;
    const matrix_slice& s = pruned.slice;
    if (s.matrix >= means.by_token.size() || means.by_token[s.matrix].rows == 0 ||
        means.by_token[s.matrix].cols < s.first_in + s.in)
      refuse({.what = "no mean inputs for the matrix of slice " + s.name,
              .where = "prune::eigenpruning",
              .expected = "mean inputs of every matrix that loses singular values, or absorption::none"});
    const auto product = [&](std::span<const double> mean) {  // E times a mean input
      std::vector<double> out(s.out);
      for (const std::size_t r : pruned.removed)
        linear_algebra::add(linear_algebra::dot(parts.right.row(r).data(), mean.data() + s.first_in, s.in),
                            parts.left.row(r).data(), out.data(), s.out);
      return out;
    };
    const basic_matrix<double>& mean = means.by_token[s.matrix];
    mean_bias = product(means.over_all(s.matrix));
    if (bias == absorption::global) {
      bias_to_add = basic_matrix<double>(1, s.out, {mean_bias.begin(), mean_bias.end()});
      return;
    }
    bias_to_add = basic_matrix<double>(bias == absorption::token ? mean.rows : 1, s.out);
    for (std::size_t t = 0; t < mean.rows; ++t) {
      const std::vector<double> out = product(mean.row(t));
      const std::span<double> row = bias_to_add.row(bias == absorption::token ? t : 0);
      for (std::size_t o = 0; o < s.out; ++o) row[o] += out[o];
    }
  }
};

PRECIS_IEEE_END
}  // namespace precis::prune
