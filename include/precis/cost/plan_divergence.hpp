#pragma once

#include <precis/core/cost_table.hpp>
#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/cost/entry.hpp>
#include <precis/cost/measured.hpp>
#include <precis/fit/nearest.hpp>
#include <precis/model/batch.hpp>
#include <precis/model/concepts.hpp>
#include <precis/pack.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace precis::cost {

/// The loss of whole plans, end to end: KL(original || every unit in its entry), on some sequences of the data. What
/// allocate::evolve calls its fitness.
///
///     plan_divergence<menu, model> fitness(model, batches, table);
///     allocate::evolve{...}.solve(table, fitness.tokens(), fitness);
///
/// One sequence a batch. Only what differs from the plan before is packed and decoded again.
///
/// Unit      nats per prediction.
/// Errors    as cost::measured; a batch without predictions.
/// Cost      a forward of every sequence asked for, a plan; the original's logits of all predictions and a copy of the weights
///           stay in memory.
/// Threads   plans follow each other, because there is one set of weights; the sequences of one run on the executor.
/// Source    methods C6 (fitness), A4 (KL).
/// @post     the model's weights have their bits again when this goes out of scope.
template<codec_menu Menu, mutable_model Model, executor Executor = sequential, class Fit = fit::nearest>
  requires evaluable_model<Model> &&(layered_model<Model> || tappable_model<Model>)class plan_divergence {
   public:
    /// Entries of candidates are those of the table. The model, the batches and the table must outlive this.
    plan_divergence(Model& model, std::span<const batch_of<Model>> batches, const cost_table& table, Executor run = {},
                    Fit fit = {})
        : model_(&model),
          units_(table.units),
          run_(std::move(run)),
          fit_(std::move(fit)),
          reading_(std::as_const(model), batches, run_),
          now_(units_.size(), original) {
      for (const std::string& entry : table.entries) entries_.push_back(Menu::index_of(entry));
      for (std::size_t m = 0; m < model.matrices().size(); ++m) {
        const weight_view w = std::as_const(model).weights(m);
        float_matrix copy(w.rows, w.cols);
        for (std::size_t r = 0; r < w.rows; ++r)
          for (std::size_t c = 0; c < w.cols; ++c) copy(r, c) = w(r, c);
        weights_.push_back(std::move(copy));
      }
      for (std::size_t b = 0; b < batches.size(); ++b) {
        tokens_.push_back(reading_.predictions(b));
        if (tokens_.back() == 0)
          refuse({.what = "nothing to predict in batch " + std::to_string(b),
                  .where = name,
                  .expected = "at least one target in every one"});
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

    /// [batches] predictions of each, which is how long it counts.
    [[nodiscard]] std::span<const std::size_t> tokens() const noexcept { return tokens_; }

    /// `sample` has `sequences`, and `tokens_of_last`: of the last one only the first predictions count.
    template<class Sample>
    [[nodiscard]] std::vector<double> operator()(std::span<const std::vector<std::size_t>> candidates,
                                                 const Sample& sample) {
      std::vector<double> losses;
      for (const std::vector<std::size_t>& candidate : candidates) {
        put(candidate);
        std::vector<nll> parts(sample.sequences.size());
        run_.for_each(parts.size(), [&](std::size_t i) {
          const std::size_t b = sample.sequences[i];
          const std::size_t most = i + 1 == parts.size() ? sample.tokens_of_last : tokens_[b];
          parts[i] = reading_.first(std::as_const(*model_), b, most);
        });
        losses.push_back(total(parts).mean());
      }
      return losses;
    }

   private:
    static constexpr const char* name = "cost::plan_divergence";
    static constexpr std::size_t original = std::numeric_limits<std::size_t>::max();

    void put(const std::vector<std::size_t>& candidate) {
      for (std::size_t u = 0; u < units_.size(); ++u) {
        if (now_[u] == candidate[u]) continue;
        now_[u] = original;  // should packing be refused half way
        for (const std::size_t m : units_[u].matrices)
          round_trip<Menu>(std::as_const(weights_[m]).view(), model_->matrices()[m], entries_[candidate[u]], fit_,
                           model_->weights(m));
        now_[u] = candidate[u];
      }
    }

    Model* model_;
    std::span<const unit> units_;
    Executor run_;
    Fit fit_;
    divergence_reading<Model> reading_;
    std::vector<float_matrix> weights_;  // the original ones
    std::vector<std::size_t> entries_;   // of the menu, by the table's
    std::vector<std::size_t> now_;       // [units] the table's entry that is in the model
    std::vector<std::size_t> tokens_;
  };

}  // namespace precis::cost
