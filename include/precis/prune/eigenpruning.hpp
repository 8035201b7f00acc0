#pragma once

#include <precis/core/error.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>
#include <precis/core/view.hpp>
#include <precis/linear_algebra/singular_values.hpp>
#include <precis/measure/means.hpp>
#include <precis/model/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::prune {

/// The singular values that a slice loses.
struct eigen_removal {
  matrix_slice slice;
  std::vector<std::size_t> removed;    ///< places in the spectrum, ascending
  std::size_t beyond_the_portion = 0;  ///< of them, how many only because their cluster may not be split

  [[nodiscard]] std::size_t kept() const noexcept { return slice.rank() - removed.size(); }
  /// Numbers to store: all weights, or the two factors of what is kept where those are fewer.
  [[nodiscard]] std::size_t stored() const noexcept {
    return std::min(slice.out * slice.in, kept() * (slice.out + slice.in));
  }
  [[nodiscard]] bool factored() const noexcept { return stored() < slice.out * slice.in; }
  bool operator==(const eigen_removal&) const = default;
};

/// Removes the singular values with the lowest scores and puts their mean contribution into the bias: eigenpruning.
///
///     E = sum over removed r of sigma_r u_r v_r^T      W' = W - E      b' = b + E xbar
///
/// Shapes    spectra of the model's slices; means of the inputs of the matrices that hold them.
/// Unit      portion: share of the singular values of a pool, rounded down.
/// Errors    a portion outside [0, 1]; spectra that do not fit the model, or whose singular values are not the model's;
///           means that lack a matrix. Nothing is changed then.
/// Cost      the singular values of every slice that loses any, and its recomposition; nothing else is touched.
/// Source    Vergara-Browne, Soto, Aizawa, "Eigenpruning"; methods E10.
/// Differs   the authors' code takes xbar from the last mini-batch (here: the means it is given), and sums biases of a
///           position over all positions: `author_sum` does that. Its counts mix components where there are several; here
///           pools never do. Values of one cluster (their parts are not unique) go or stay together.
/// @post     portion == 0: every weight keeps its bits.
/// @post     the mean output over the samples is that of the unpruned map: at every token (token), over all (global).
struct eigenpruning {
  enum class pool { role, slice, everything };
  enum class absorption {
    none,
    global,      ///< the mean over all positions, into an ordinary bias
    token,       ///< the mean at each position, into a bias of its own: for prompts of fixed length
    author_sum,  ///< as the authors' code for queries, keys, values and MLP maps: the sum of all positions' means
  };
  enum class later_positions { refuse, global };

  double portion = 0.01;
  pool among = pool::role;  ///< what competes: all values of a role over all layers and heads, of a slice, or all
  absorption bias = absorption::global;
  later_positions later = later_positions::refuse;  ///< what `token` does in prompts longer than the means

  bool operator==(const eigenpruning&) const = default;

  /// What would go, slice by slice. Ties: the lower slice, then the larger singular value, goes first.
  [[nodiscard]] std::vector<eigen_removal> select(const spectra& all) const {
    check(all, "prune::eigenpruning");
    if (!(portion >= 0 && portion <= 1))
      refuse({.what = "a portion of " + std::to_string(portion), .where = "prune::eigenpruning", .expected = "0 to 1"});
    if (all.slices.empty()) refuse({.what = "no slices", .where = "prune::eigenpruning", .expected = "at least one"});
    struct place {
      std::size_t slice, value;
    };
    std::map<std::size_t, std::vector<place>> pools;
    for (std::size_t s = 0; s < all.slices.size(); ++s) {
      const std::size_t key = among == pool::slice  ? s
                              : among == pool::role ? static_cast<std::size_t>(all.slices[s].slice.role)
                                                    : 0;
      for (std::size_t r = 0; r < all.slices[s].values.size(); ++r) pools[key].push_back({s, r});
    }
    std::vector<std::vector<bool>> goes;
    for (const spectrum& s : all.slices) goes.emplace_back(s.values.size());
    for (auto& [key, places] : pools) {
      const auto score = [&](const place& p) { return all.slices[p.slice].scores[p.value]; };
      std::ranges::stable_sort(places, {}, score);
      // A product that is whole but for its rounding counts as whole.
      const double exact = portion * static_cast<double>(places.size());
      const auto count = static_cast<std::size_t>(exact * (1 + 1e-12));
      for (std::size_t i = 0; i < count; ++i) goes[places[i].slice][places[i].value] = true;
    }

    std::vector<eigen_removal> result;
    for (std::size_t s = 0; s < all.slices.size(); ++s) {
      eigen_removal removal{.slice = all.slices[s].slice, .removed = {}};
      const std::vector<std::size_t> cluster = linear_algebra::clusters(all.slices[s].values);
      std::vector<bool> touched(cluster.size());
      for (std::size_t r = 0; r < cluster.size(); ++r)
        if (goes[s][r]) touched[cluster[r]] = true;
      for (std::size_t r = 0; r < cluster.size(); ++r) {
        if (!touched[cluster[r]]) continue;
        removal.removed.push_back(r);
        if (!goes[s][r]) ++removal.beyond_the_portion;
      }
      result.push_back(std::move(removal));
    }
    return result;
  }

  /// Prunes the model in place and says what went.
  template<mutable_model Model>
    requires bias_model<Model>
  std::vector<eigen_removal> operator()(Model& model, const spectra& all, const measure::input_means& means) const {
    if constexpr (!token_bias_model<Model>)
      if (bias == absorption::token)
        refuse({.what = "a bias for every token",
                .where = "prune::eigenpruning",
                .expected = "a token_bias_model (add_token_bias), or absorption::global"});
    std::vector<matrix_slice> slices;
    for (const spectrum& s : all.slices) slices.push_back(s.slice);
    check_slices(slices, model.matrices(), "prune::eigenpruning");
    std::vector<eigen_removal> removals = select(all);

    struct change {
      std::size_t slice;
      float_matrix weights;         ///< what is left
      basic_matrix<double> absorb;  ///< [1 or tokens x out of the slice]
      std::vector<double> overall;  ///< [out of the slice]
    };
    std::vector<change> changes;  // all made before any is applied
    for (std::size_t s = 0; s < removals.size(); ++s) {
      const eigen_removal& removal = removals[s];
      if (removal.removed.empty()) continue;
      const weight_view w = part_of(weight_view(std::as_const(model).weights(removal.slice.matrix)), removal.slice);
      const linear_algebra::singular_system parts = linear_algebra::singular_values(w, removal.slice.name);
      check_same(parts, all.slices[s]);
      changes.push_back({s, remainder(w, parts, removal.removed), {}, {}});
      absorbed(parts, removal, means, changes.back().absorb, changes.back().overall);
    }
    for (const change& c : changes) {
      const matrix_slice& slice = removals[c.slice].slice;
      const mutable_weight_view w = part_of(mutable_weight_view(model.weights(slice.matrix)), slice);
      for (std::size_t o = 0; o < slice.out; ++o)
        for (std::size_t i = 0; i < slice.in; ++i) w(o, i) = c.weights(o, i);
    }
    if (bias == absorption::none) return removals;
    for (std::size_t m = 0; m < model.matrices().size(); ++m) {  // slices of one matrix together
      basic_matrix<double> sum;
      std::vector<double> overall(model.matrices()[m].out);
      for (const change& c : changes) {
        const matrix_slice& slice = removals[c.slice].slice;
        if (slice.matrix != m) continue;
        if (sum.rows == 0) sum = basic_matrix<double>(c.absorb.rows, model.matrices()[m].out);
        for (std::size_t o = 0; o < slice.out; ++o) {
          overall[slice.first_out + o] += c.overall[o];
          for (std::size_t t = 0; t < sum.rows; ++t) sum(t, slice.first_out + o) += c.absorb(t, o);
        }
      }
      if (sum.rows == 0) continue;
      if (bias != absorption::token)
        model.add_bias(m, sum.row(0));
      else if constexpr (token_bias_model<Model>)
        model.add_token_bias(
            m, std::as_const(sum).view(),
            later == later_positions::global ? std::span<const double>(overall) : std::span<const double>{});
    }
    return removals;
  }

  /// Chosen only when the overload above is not: says why, and what to do about it.
  template<class Model>
    requires(!(mutable_model<Model> && bias_model<Model>))
  refused operator()(Model&, const spectra&, const measure::input_means&) const {
    static_assert(
        mutable_model<Model>,
        "precis: prune::eigenpruning needs a mutable_model. Let weights(i) of a model that is not const return a "
        "mutable_weight_view. See docs/models.md#mutable");
    static_assert(
        bias_model<Model>,
        "precis: prune::eigenpruning needs a bias_model. Add add_bias(matrix, bias) to the adaptor, which adds to a "
        "map's bias or gives it one. See docs/models.md#biases");
    return {};
  }

 private:
  static void check_same(const linear_algebra::singular_system& parts, const spectrum& s) {
    for (std::size_t r = 0; r < parts.count(); ++r)
      if (std::abs(parts.values[r] - s.values[r]) > 1e-6 * parts.values[0])
        refuse({.what = "singular value " + std::to_string(r) + " of " + s.slice.name + " is " +
                        std::to_string(parts.values[r]) + ", scored as " + std::to_string(s.values[r]),
                .where = "prune::eigenpruning",
                .expected = "spectra of this model's weights as they are"});
  }

  /// W minus the removed parts, or the sum of the kept ones where those are fewer.
  [[nodiscard]] static float_matrix remainder(weight_view w, const linear_algebra::singular_system& parts,
                                              std::span<const std::size_t> removed) {
    std::vector<bool> gone(parts.count());
    for (const std::size_t r : removed) gone[r] = true;
    const bool subtract = removed.size() <= parts.count() / 2;
    std::vector<double> row(w.cols);
    float_matrix left(w.rows, w.cols);
    for (std::size_t o = 0; o < w.rows; ++o) {
      for (std::size_t i = 0; i < w.cols; ++i) row[i] = subtract ? static_cast<double>(w(o, i)) : 0.0;
      for (std::size_t r = 0; r < parts.count(); ++r)
        if (gone[r] == subtract)
          linear_algebra::detail::add(subtract ? -parts.left(r, o) : parts.left(r, o), parts.right.row(r).data(),
                                      row.data(), w.cols);
      std::ranges::transform(row, left.row(o).begin(), [](double v) { return static_cast<float>(v); });
    }
    return left;
  }

  /// E xbar, at every token where that is asked for.
  void absorbed(const linear_algebra::singular_system& parts, const eigen_removal& removal,
                const measure::input_means& means, basic_matrix<double>& by_token, std::vector<double>& overall) const {
    if (bias == absorption::none) return;
    const matrix_slice& s = removal.slice;
    if (s.matrix >= means.by_token.size() || means.by_token[s.matrix].rows == 0 ||
        means.by_token[s.matrix].cols < s.first_in + s.in)
      refuse({.what = "no mean inputs of the matrix of slice " + s.name,
              .where = "prune::eigenpruning",
              .expected = "means of every matrix that loses singular values, or absorption::none"});
    const auto image = [&](std::span<const double> mean) {  // of one mean input
      std::vector<double> out(s.out);
      for (const std::size_t r : removal.removed)
        linear_algebra::detail::add(
            linear_algebra::detail::dot(parts.right.row(r).data(), mean.data() + s.first_in, s.in),
            parts.left.row(r).data(), out.data(), s.out);
      return out;
    };
    const basic_matrix<double>& mean = means.by_token[s.matrix];
    overall = image(means.over_all(s.matrix));
    if (bias == absorption::global) {
      by_token = basic_matrix<double>(1, s.out, std::vector<double>(overall));
      return;
    }
    by_token = basic_matrix<double>(bias == absorption::token ? mean.rows : 1, s.out);
    for (std::size_t t = 0; t < mean.rows; ++t) {
      const std::vector<double> out = image(mean.row(t));
      const std::span<double> to = by_token.row(bias == absorption::token ? t : 0);
      for (std::size_t o = 0; o < s.out; ++o) to[o] += out[o];
    }
  }
};

}  // namespace precis::prune
