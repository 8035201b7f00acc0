#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/cost/measured.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/pack.hpp>

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {
PRECIS_IEEE_BEGIN

/// The end-to-end loss of whole plans: KL(original || every unit in its entry), on a sample of the sequences. This is
/// the fitness function of allocate::evolve.
///
///     plan_divergence<menu, model> fitness(model, batches, table);
///     allocate::evolve{...}.solve(table, fitness.tokens(), fitness);
///
/// Every batch holds one sequence. A unit is packed once per entry, on first use, and decoded only if its entry differs
/// from that of the previous plan. Plans are evaluated in an order in which consecutive ones share their first layers;
/// a layered_model restarts at the first layer that differs.
///
/// Unit      nats per prediction.
/// Errors    those of cost::measured; a batch without predictions.
/// Cost      per plan, at most one forward pass of each sequence in the sample. Memory: the original's logits of all
///           predictions, a copy of the weights, the packed units, and about `memory` bytes of layer inputs.
/// Threads   plans are evaluated one after another, because there is one set of weights; the sequences of a plan run on
///           the executor.
/// Source    EvoPress (Sieberling et al. 2024, arXiv:2410.14649): the KL divergence of its fitness.
///           docs/methods/evolve.md.
/// @post     the loss of a plan depends neither on the plans evaluated with it or before it nor on layered_model, bit
///           for bit.
/// @post     the model's weights have their original bits once the object is destroyed.
template<codec_menu Menu, mutable_model Model, executor Executor = sequential, class Fit = fit::nearest>
  requires evaluable_model<Model> && (layered_model<Model> || tappable_model<Model>)
class plan_divergence {
 public:
  /// The entries of candidates are indices into those of the table. The model, the batches and the table must outlive
  /// the object.
  plan_divergence(Model& model, std::span<const batch_of<Model>> batches, const cost_table& table, Executor run = {},
                  Fit fit = {}, std::size_t memory = std::size_t{1} << 28)
      : model_(&model),
        units_(table.units),
        run_(std::move(run)),
        batches_(batches),
        memory_(memory),
        fit_(std::move(fit)),
        reading_(std::as_const(model), batches, run_),
        installed_(units_.size(), original) {
    for (const std::string& entry : table.entries) entries_.push_back(Menu::index_of(entry));
    for (std::size_t m = 0; m < model.matrices().size(); ++m) {
      const weight_view w = std::as_const(model).weights(m);
      float_matrix copy(w.rows, w.cols);
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) copy(r, c) = w(r, c);
      weights_.push_back(std::move(copy));
    }
    packed_.resize(model.matrices().size(), std::vector<std::vector<std::byte>>(entries_.size()));
    by_layer_.resize(units_.size());
    std::iota(by_layer_.begin(), by_layer_.end(), std::size_t{0});
    std::stable_sort(by_layer_.begin(), by_layer_.end(),
                     [&](std::size_t a, std::size_t b) { return place_of(units_[a]) < place_of(units_[b]); });
    for (std::size_t b = 0; b < batches.size(); ++b) {
      tokens_.push_back(reading_.predictions(b));
      if (tokens_.back() == 0)
        refuse({.what = "nothing to predict in batch " + std::to_string(b),
                .where = name,
                .expected = "at least one target per batch"});
    }
  }
  plan_divergence(const plan_divergence&) = delete;
  plan_divergence& operator=(const plan_divergence&) = delete;
  ~plan_divergence() {
    for (std::size_t m = 0; m < weights_.size(); ++m) {
      const mutable_weight_view w = model_->weights(m);
      for (std::size_t r = 0; r < w.rows; ++r)
        for (std::size_t c = 0; c < w.cols; ++c) w(r, c) = weights_[m](r, c);
    }
  }

  /// [batches] The number of predictions per batch. Samples count it as the length of the batch in tokens.
  [[nodiscard]] std::span<const std::size_t> tokens() const noexcept { return as_span(tokens_); }

  /// The mean loss of each candidate on sample.sequences. Of the last sequence only the first sample.tokens_of_last
  /// predictions count.
  template<class Sample>
  [[nodiscard]] std::vector<double> operator()(std::span<const std::vector<std::size_t>> candidates,
                                               const Sample& sample) {
    const std::size_t sequences = sample.sequences.size();
    std::vector<std::size_t> order(candidates.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      for (const std::size_t u : by_layer_)
        if (candidates[a][u] != candidates[b][u]) return candidates[a][u] < candidates[b][u];
      return false;
    });
    std::vector<nll> read(candidates.size() * sequences);
    for (std::size_t first = 0; first < sequences;) {
      std::vector<std::vector<activations>> entering = enter(std::span(sample.sequences).subspan(first));
      for (std::size_t k = 0; k < order.size(); ++k) {
        const std::size_t c = order[k];
        const std::size_t place = k == 0 ? 0 : first_difference(candidates[order[k - 1]], candidates[c]);
        const std::size_t layer = place == 0 ? 0 : place - 1;
        install(candidates[c]);
        run_.for_each(entering.size(), [&](std::size_t i) {
          const std::size_t b = sample.sequences[first + i];
          if (place == 0) enter_again(entering[i], b);
          const std::size_t limit = first + i + 1 == sequences ? sample.tokens_of_last : tokens_[b];
          read[c * sequences + first + i] = read_from(layer, entering[i], b, limit);
        });
      }
      first += entering.size();
    }
    std::vector<double> losses;
    for (std::size_t c = 0; c < candidates.size(); ++c)
      losses.push_back(total(std::span<const nll>(read).subspan(c * sequences, sequences)).mean());
    return losses;
  }

 private:
  static constexpr const char* name = "cost::plan_divergence";
  static constexpr std::size_t original = std::numeric_limits<std::size_t>::max();

  /// Sets the model's weights to those of a candidate.
  void install(const std::vector<std::size_t>& candidate) {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      const std::size_t e = candidate[u];
      if (installed_[u] == e) continue;
      installed_[u] = original;  // in case packing is refused half-way
      for (const std::size_t m : units_[u].matrices) {
        std::vector<std::byte>& bytes = packed_[m][e];
        if (bytes.empty())
          bytes = packed_in<Menu>(std::as_const(weights_[m]).view(), model_->matrices()[m], entries_[e], fit_);
        Menu::decode(entries_[e], bytes, model_->weights(m));
      }
      installed_[u] = e;
    }
  }

  /// Where a unit is first used: 0 before the layers, 1 + l in layer l.
  [[nodiscard]] static std::size_t place_of(const unit& u) noexcept {
    return u.layer == before_layers ? 0 : u.layer + 1;
  }

  /// The first place at which two plans differ, or a number above all places if they are equal.
  [[nodiscard]] std::size_t first_difference(const std::vector<std::size_t>& a,
                                             const std::vector<std::size_t>& b) const noexcept {
    const auto at = std::find_if(by_layer_.begin(), by_layer_.end(), [&](std::size_t u) { return a[u] != b[u]; });
    return at == by_layer_.end() ? std::numeric_limits<std::size_t>::max() : place_of(units_[*at]);
  }

  /// Replaces the inputs of layer 0 by those of the installed weights.
  void enter_again(std::vector<activations>& entering, std::size_t b) const {
    if constexpr (layered_model<Model>) entering[0] = std::as_const(*model_).enter(batches_[b]);
  }

  /// The inputs of layer 0 for at least one sequence, and for as many as fit into `memory` together with the inputs of
  /// all other layers.
  [[nodiscard]] std::vector<std::vector<activations>> enter(std::span<const std::size_t> sequences) const {
    std::vector<std::vector<activations>> entering;
    if constexpr (layered_model<Model>) {
      const Model& constant = *model_;
      std::size_t left = memory_;
      for (const std::size_t b : sequences) {
        std::vector<activations> layers(constant.layers() + 1);
        layers[0] = constant.enter(batches_[b]);
        const auto x = std::as_const(layers[0]).view();
        const std::size_t bytes = layers.size() * x.rows() * x.features * sizeof(float);
        if (!entering.empty() && bytes > left) break;
        left -= std::min(left, bytes);
        entering.push_back(std::move(layers));
      }
    } else {
      entering.resize(sequences.size());
    }
    return entering;
  }

  [[nodiscard]] nll read_from(std::size_t layer, std::vector<activations>& entering, std::size_t b,
                              std::size_t limit) const {
    const Model& constant = *model_;
    if constexpr (layered_model<Model>) {
      for (std::size_t l = layer; l < constant.layers(); ++l) {
        entering[l + 1] = entering[l];
        constant.run_layer(l, entering[l + 1]);
      }
      return reading_.first(constant, b, limit, std::as_const(entering.back()).view());
    } else {
      static_cast<void>(layer);
      static_cast<void>(entering);
      return reading_.first(constant, b, limit);
    }
  }

  Model* model_;
  std::span<const unit> units_;
  Executor run_;
  std::span<const batch_of<Model>> batches_;
  std::size_t memory_;
  Fit fit_;
  divergence_reading<Model> reading_;
  std::vector<float_matrix> weights_;                        // the original weights
  std::vector<std::vector<std::vector<std::byte>>> packed_;  // [matrices][entries of the table], empty until first use
  std::vector<std::size_t> by_layer_;                        // indices of units, sorted by layer
  std::vector<std::size_t> entries_;                         // [entries of the table] index of the menu entry
  std::vector<std::size_t> installed_;                       // [units] the table's entry whose weights the model has
  std::vector<std::size_t> tokens_;
};

PRECIS_IEEE_END
}  // namespace precis::cost
