#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/math.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/site.hpp>
#include <precis/core/text.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/concepts.hpp>
#include <precis/model/misuse.hpp>
#include <precis/model/taps.hpp>
#include <precis/score/canonical/correlation.hpp>
#include <precis/score/stream_parts.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// The similarity of the layers' outputs, for each pair of layers.
struct cca_table {
  std::vector<site> sites{};             ///< [layers] where each output is observed
  std::size_t rows = 0;                  ///< number of activations compared per layer
  std::vector<std::size_t> ranks{};      ///< [layers] number of directions compared; 0 for a constant output
  std::vector<double> variance_kept{};   ///< [layers] share of the variance in those directions
  basic_matrix<double> similarity = {};  ///< [layers x layers] in [0, 1], 1 on the diagonal, 0 where a rank is 0

  template<class = void>
  [[nodiscard]] std::size_t most_directions() const noexcept {
    return ranks.empty() ? 0 : *std::max_element(ranks.begin(), ranks.end());
  }
  bool operator==(const cca_table&) const = default;
};

/// Scores a layer by how little its output correlates with those of the other layers, by canonical correlation
/// analysis: CMPQ of CPTQuant.
///
/// Shapes    any batches; all layers are observed at the same rows. Blocks are compared by the residual stream leaving
///           them, halves by their output before it is added to the stream; a matrix gets the score of its half.
///           Units outside of the layers (an embedding, the head) are unscored.
/// Unit      1 - mean correlation, in [0, 1].
/// Sign      high = keep: the layer's output is hard to predict from other layers. The paper gives low correlation more
///           bits.
/// Errors    too few rows; activations that are not finite; with constant_layer::refuse, a layer whose output is
///           constant.
/// Cost      one forward pass per batch; all rows of all layers in memory, in float. Then 4 rows features^2 operations
///           per layer, and 2 rows features^2, features^3 and an eigenvalue problem per pair. Layers and pairs run on
///           the executor.
/// Source    Nanda, Balija, Sahoo, "CPTQuant", method CMPQ (Eqs. 13-14); Raghu et al. 2017, arXiv:1706.05806 (SVCCA);
///           Morcos et al. 2018, arXiv:1806.05759 (PWCCA).
/// Differs   The default is the mean of all correlations; the largest alone is close to 1 between neighbouring layers.
///           PWCCA follows its paper, not its published code. Linearly dependent columns only lower the rank.
/// @post     X -> X A + 1 c^T with an invertible A changes no similarity.
/// @post     bit-identical on any executor and for any split into batches that gives the same activations.
struct cca {
  enum class summary {
    mean,                 ///< mean of the correlations of a pair, or of the `leading` largest
    mean_square,          ///< mean of their squares, which needs no singular values
    projection_weighted,  ///< PWCCA, weighted by the layer with fewer features; by the earlier one if equal
  };
  enum class sample { tokens, sequences };  ///< a row is a token, or the mean over a sequence's tokens
  /// A layer whose output is the same in all rows. It is excluded from the means of the others.
  enum class constant_layer {
    report,  ///< it scores 0, with a note: a bias can replace it
    keep,    ///< it scores 1, with a note
    refuse,
  };

  summary of_pair = summary::mean;
  std::size_t leading = 0;          ///< 0: all; 1: the only one that the paper's equations define
  canonical::directions keep = {};  ///< SVCCA: {.variance = 0.99}, or {.most = 20}
  sample rows = sample::tokens;     ///< the paper's code: sequences
  std::size_t every = 1;            ///< take every n-th row, counted over all batches
  std::size_t first = 0;            ///< the first row taken
  double rows_per_direction = 2;    ///< fewer are refused; below 2 some correlations are 1 for any data
  constant_layer constant = constant_layer::report;
  unit_kind units = unit_kind::block;

  bool operator==(const cca&) const = default;

  template<tappable_model Model, executor Executor = sequential>
    requires weighted_model<Model>
  [[nodiscard]] scores operator()(const Model& model, std::span<const batch_of<Model>> batches,
                                  Executor&& run = {}) const {
    return combine(model.matrices(), compare(model, batches, run));
  }

  /// The similarity table behind the scores.
  template<tappable_model Model, executor Executor = sequential>
  [[nodiscard]] cca_table compare(const Model& model, std::span<const batch_of<Model>> batches,
                                  Executor&& run = {}) const {
    std::vector<site> sites;
    for (std::size_t l = 0; l < model.layers(); ++l)
      if (units == unit_kind::block)
        sites.push_back({site_kind::residual, l + 1});
      else
        for (const site_kind half : {site_kind::attention, site_kind::mlp}) sites.push_back({half, l});
    const std::vector<float_matrix> outputs = gather(model, batches, sites, run);
    std::vector<matrix_view<const float>> views;
    views.reserve(outputs.size());
    for (const float_matrix& o : outputs) views.push_back(o.view());
    return compare(std::move(sites), views, run);
  }

  /// The same for given activations: outputs[i] holds the rows observed at sites[i].
  template<executor Executor = sequential>
  [[nodiscard]] cca_table compare(std::vector<site> sites, std::span<const matrix_view<const float>> outputs,
                                  Executor&& run = {}) const {
    const std::size_t layers = sites.size();
    cca_table table{.sites = std::move(sites),
                    .rows = outputs.empty() ? 0 : outputs.front().rows,
                    .ranks = {},
                    .variance_kept = {},
                    .similarity = basic_matrix<double>(layers, layers)};
    if (outputs.size() != layers ||
        std::any_of(outputs.begin(), outputs.end(), [&](const auto& o) { return o.rows != table.rows; }))
      refuse({.what = std::to_string(outputs.size()) + " outputs for " + std::to_string(layers) + " sites",
              .where = "score::cca",
              .expected = "one per site, all with the same number of rows"});
    if (table.rows < 2) refuse_rows(table.rows, 1, {});

    std::vector<canonical::subspace> spaces(layers);
    run.for_each(layers, [&](std::size_t i) {
      std::vector<double> workspace(kernel::product_workspace);
      const bool coordinates = of_pair == summary::projection_weighted;
      spaces[i] = canonical::span_of(outputs[i], keep, coordinates, table.sites[i].name(), as_writable_span(workspace));
    });
    for (std::size_t i = 0; i < layers; ++i) {
      const std::size_t rank = spaces[i].rank();
      if (rank == 0 && constant == constant_layer::refuse)
        refuse({.what = "the output at " + table.sites[i].name() + " is the same in all " + std::to_string(table.rows) +
                        " rows",
                .where = "score::cca",
                .expected = "activations that vary, or .constant = constant_layer::report or keep"});
      if (static_cast<double>(table.rows - 1) < rows_per_direction * static_cast<double>(rank))
        refuse_rows(table.rows, rank, table.sites[i].name());
      table.ranks.push_back(rank);
      table.variance_kept.push_back(spaces[i].variance_kept);
      table.similarity(i, i) = rank == 0 ? 0 : 1;
    }

    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (std::size_t i = 0; i < layers; ++i)
      for (std::size_t j = i + 1; j < layers; ++j)
        if (table.ranks[i] != 0 && table.ranks[j] != 0) pairs.emplace_back(i, j);
    run.for_each(pairs.size(), [&](std::size_t p) {
      const auto [i, j] = pairs[p];
      table.similarity(i, j) = table.similarity(j, i) = similarity_of(spaces[i], spaces[j]);
    });
    return table;
  }

  /// Scores of the units, from a table made with the same `units`.
  template<class = void>
  [[nodiscard]] scores combine(std::span<const matrix_info> matrices, const cca_table& table) const {
    scores s{.model = {},
             .scorer = name() + " rows=" + std::to_string(table.rows) +
                       " directions=" + std::to_string(table.most_directions()),
             .measure = "1 - mean correlation",
             .units = {},
             .values = {}};
    const stream_parts parts{layers_in(table), units};
    const auto score = [&](std::size_t i) {
      const site wanted = !parts.halves() ? site{site_kind::residual, i + 1}
                          : i % 2 == 0    ? site{site_kind::attention, i / 2}
                                          : site{site_kind::mlp, i / 2};
      const auto at = std::find(table.sites.begin(), table.sites.end(), wanted);
      if (at == table.sites.end())
        refuse({.what = "a unit needs activations at " + wanted.name() + ", which the table lacks",
                .where = "score::cca",
                .expected = "a table of this model, for these units"});
      return score_of(table, static_cast<std::size_t>(at - table.sites.begin()));
    };
    parts.score_units(s, matrices, score, "score::cca");
    for (std::size_t i = 0; i < table.sites.size(); ++i)
      if (table.ranks[i] == 0) s.notes.push_back("the output at " + table.sites[i].name() + " is the same in all rows");
    check_finite(s, "score::cca");
    return s;
  }

  /// Chosen only if the overload above does not match: its error names the missing capability and how to add it.
  template<class Model, class Batches, class... Rest>
    requires(!(tappable_model<Model> && weighted_model<Model>))
  refused operator()(const Model&, const Batches&, Rest&&...) const {
    static_assert(
        tappable_model<Model>,
        "precis: score::cca needs a tappable_model. Add layers(), logits(batch, positions, tap) and loss(batch, "
        "tap) to the adaptor. See docs/models.md#tappable");
    static_assert(weighted_model<Model>,
                  "precis: score::cca needs a weighted_model to know the units. Add matrices() and weights(i) to the "
                  "adaptor. See docs/models.md#weighted");
    return {};
  }

  /// Chosen only if the model suits, and another argument does not.
  template<class Model, class Data, class... Rest>
    requires(tappable_model<std::remove_cvref_t<Model>> && weighted_model<std::remove_cvref_t<Model>> &&
             misuses<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>)
  refused operator()(Model&&, const Data&, Rest&&...) const {
    return explain_misuse<reads_weights, std::span<const batch_of<std::remove_cvref_t<Model>>>, Model, Data, Rest...>();
  }

 private:
  template<class = void>
  [[nodiscard]] std::string name() const {
    std::string n = "cca ";
    n += of_pair == summary::mean ? "mean" : of_pair == summary::mean_square ? "mean_square" : "projection_weighted";
    if (leading != 0) n += " leading=" + std::to_string(leading);
    if (keep.variance < 1) n += " variance=" + text::number(keep.variance);
    return n;
  }

  template<class = void>
  [[noreturn]] void refuse_rows(std::size_t count, std::size_t rank, const std::string& site_name) const {
    const auto times = [&](double factor) {
      return std::to_string(static_cast<std::size_t>(math::ceil(factor * static_cast<double>(rank))) + 1);
    };
    refuse(
        {.what = std::to_string(count) + " rows" +
                 (site_name.empty() ? std::string() : " for " + std::to_string(rank) + " directions of " + site_name),
         .where = "score::cca",
         .expected = "at least " + times(rows_per_direction) + ", better " + times(5) +
                     "; or fewer directions, with keep.variance or keep.most"});
  }

  template<class = void>
  [[nodiscard]] double similarity_of(const canonical::subspace& a, const canonical::subspace& b) const {
    std::vector<double> workspace(kernel::product_workspace);
    if (of_pair == summary::projection_weighted) {
      const bool b_is_smaller = b.features < a.features;
      const canonical::matrix cross =
          canonical::cross_product(b_is_smaller ? b : a, b_is_smaller ? a : b, as_writable_span(workspace));
      return canonical::projection_weighted_correlation(b_is_smaller ? b : a, cross, as_writable_span(workspace)).mean;
    }
    const canonical::matrix cross = canonical::cross_product(a, b, as_writable_span(workspace));
    const std::size_t all = std::min(cross.rows, cross.cols);
    if (of_pair == summary::mean_square && leading == 0)
      return std::min(1.0, canonical::squared_correlations(cross) / static_cast<double>(all));
    const std::vector<double> values = canonical::correlations(cross, as_writable_span(workspace));
    const std::size_t count = leading == 0 ? all : std::min(leading, all);
    double sum = 0;
    for (const double v : std::span(values).first(count))
      sum = of_pair == summary::mean ? sum + v : math::fma(v, v, sum);
    return sum / static_cast<double>(count);
  }

  /// The number of layers that a table has sites of.
  [[nodiscard]] std::size_t layers_in(const cca_table& table) const noexcept {
    std::size_t layers = 0;
    for (const site& s : table.sites) layers = std::max(layers, s.layer + (units == unit_kind::block ? 0 : 1));
    return layers;
  }

  /// 1 - mean similarity to the other layers that are not constant; 0 if there are none.
  template<class = void>
  [[nodiscard]] double score_of(const cca_table& table, std::size_t i) const {
    if (table.ranks[i] == 0) return constant == constant_layer::keep ? 1 : 0;
    double sum = 0;
    std::size_t others = 0;
    for (std::size_t j = 0; j < table.ranks.size(); ++j)
      if (j != i && table.ranks[j] != 0) {
        sum += table.similarity(i, j);
        ++others;
      }
    return others == 0 ? 0 : 1 - sum / static_cast<double>(others);
  }

  /// Runs the batches, a few at a time, and keeps the selected rows at each site.
  template<class Model, class Executor>
  [[nodiscard]] std::vector<float_matrix> gather(const Model& model, std::span<const batch_of<Model>> batches,
                                                 std::span<const site> sites, Executor& run) const {
    if (every == 0) refuse({.what = "every = 0", .where = "score::cca", .expected = "at least 1"});
    constexpr std::size_t at_a_time = 32;
    std::vector<float_matrix> outputs(sites.size());
    std::size_t seen = 0;
    for (std::size_t b0 = 0; b0 < batches.size(); b0 += at_a_time) {
      const std::size_t count = std::min(at_a_time, batches.size() - b0);
      std::vector<std::vector<float_matrix>> observed(count,
                                                      std::vector<float_matrix>(sites.size()));  // [batches][sites]
      run.for_each(count, [&](std::size_t b) {
        const auto tap = [&](site at, activations_view<float> x) {
          const auto found = std::find(sites.begin(), sites.end(), at);
          if (found != sites.end()) observed[b][static_cast<std::size_t>(found - sites.begin())] = rows_of(x);
        };
        static_cast<void>(model.logits(batches[b0 + b], positions::last, precis::tap::reference(tap)));
      });
      for (std::vector<float_matrix>& of_batch : observed) {
        for (std::size_t i = 0; i < sites.size(); ++i) append(outputs[i], of_batch[i], seen, sites[i]);
        seen += of_batch.empty() ? 0 : of_batch.front().rows;
        of_batch.clear();
      }
    }
    return outputs;
  }

  template<class = void>
  [[nodiscard]] float_matrix rows_of(activations_view<const float> x) const {
    float_matrix out(rows == sample::tokens ? x.rows() : x.sequences, x.features);
    std::vector<double> sum(x.features);
    for (std::size_t s = 0; s < x.sequences; ++s) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (std::size_t t = 0; t < x.tokens; ++t) {
        const std::span<const float> from = x(s, t);
        if (rows == sample::tokens)
          copy_span(from, out.row(s * x.tokens + t));
        else
          for (std::size_t f = 0; f < x.features; ++f) sum[f] += static_cast<double>(from[f]);
      }
      if (rows == sample::sequences)
        for (std::size_t f = 0; f < x.features; ++f)
          out(s, f) = static_cast<float>(sum[f] / static_cast<double>(x.tokens));
    }
    return out;
  }

  template<class = void>
  void append(float_matrix& to, const float_matrix& from, std::size_t seen, site at) const {
    if (to.rows == 0) to.cols = from.cols;
    if (from.rows == 0 || to.cols != from.cols)
      refuse({.what = "activations of " + std::to_string(from.cols) + " features at " + at.name(),
              .where = "score::cca",
              .expected = std::to_string(to.cols) + ", as in the other batches"});
    for (std::size_t r = 0; r < from.rows; ++r)
      if (seen + r >= first && (seen + r - first) % every == 0) {
        to.values.insert(to.values.end(), from.row(r).begin(), from.row(r).end());
        ++to.rows;
      }
  }
};

PRECIS_IEEE_END
}  // namespace precis::score
