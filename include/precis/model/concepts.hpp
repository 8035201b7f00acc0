#pragma once

#include <precis/core/site.hpp>
#include <precis/core/slice.hpp>
#include <precis/core/unit.hpp>
#include <precis/core/view.hpp>
#include <precis/model/batch.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <vector>

namespace precis {

/// The positions to compute logits for: every token, or the last token of each sequence.
enum class positions { all, last };

/// The input and the output gradient of a linear map y = W x + b, W [out x in], in one backward pass.
struct linear_gradient {
  std::size_t matrix = 0;                              ///< index into matrices()
  activations_view<const float> input = {};            ///< x, [sequences x tokens x in]
  activations_view<const float> output_gradient = {};  ///< d(summed NLL)/dy, [sequences x tokens x out], in nats
};

/// The input shared by one or more linear maps y = W x + b, W [out x in], in a forward pass.
struct linear_input {
  std::span<const std::size_t> matrices = {};  ///< indices into matrices(); query, key and value share one input
  activations_view<const float> input = {};    ///< x, [sequences x tokens x in]
};

/// One layer of a resumed run, which continues cached sequences from the activations entering `layer`.
struct layer_run {
  std::size_t layer = 0;
  std::size_t first_token = 0;                  ///< earlier positions are read from the cache
  std::span<const std::size_t> sequences = {};  ///< row i of the residual continues cached sequence sequences[i]
  positions outputs = positions::all;  ///< `last`: only the last token's output is needed; the others are unspecified
};

namespace detail {
struct any_tap {
  void operator()(site, activations_view<float>) const {}
};
struct any_sink {
  void operator()(const linear_gradient&) const {}
  void operator()(const linear_input&) const {}
};
}  // namespace detail

/// A model that gives access to its weight matrices, one at a time.
template<class M>
concept weighted_model = requires(M& model, const M& constant, std::size_t i) {
  { constant.matrices() } -> std::convertible_to<std::span<const matrix_info>>;
  { constant.weights(i) } -> std::convertible_to<weight_view>;  // [out x in]; valid until the next call
};

/// A model whose weights can be overwritten in place. precis always does so under a weight_guard, which restores the
/// exact bytes.
template<class M>
concept mutable_model = weighted_model<M> && requires(M& model, std::size_t i) {
  { model.weights(i) } -> std::convertible_to<mutable_weight_view>;
};

/// A mutable_model that keeps its weights in another form until somebody overwrites them: `release` says that a matrix
/// has its bytes back, so that the model may give up the copy that was overwritten. It must not throw.
template<class M>
concept releasing_model = mutable_model<M> && requires(M& model, std::size_t i) {
  { model.release(i) } -> std::same_as<void>;
};

/// The batch type of a model.
template<class M>
using batch_of = typename M::batch_type;

/// A model that computes the loss of a batch: the summed negative log-likelihood in nats, and the number of
/// predictions.
template<class M>
concept evaluable_model = requires(const M& model, const batch_of<M>& batch) {
  { model.loss(batch) } -> std::same_as<nll>;
};

/// A model that calls tap(site, activations) at every site of a forward pass; the tap may overwrite the activations.
/// Logits are [sequences x vocabulary] for positions::last and [sequences * tokens x vocabulary] for positions::all.
template<class M>
concept tappable_model = requires(const M& model, const batch_of<M>& batch, detail::any_tap tap) {
  { model.layers() } -> std::convertible_to<std::size_t>;
  { model.logits(batch, positions::last, tap) } -> std::same_as<float_matrix>;
  { model.loss(batch, tap) } -> std::same_as<nll>;
};

/// A model that can resume from the residual stream entering a layer, with earlier positions taken from a cache.
///
/// `capture` computes `logits` and fills a cache; `run_layer` advances a residual stream through one layer in place and
/// calls the tap at that layer's attention and MLP sites; `read_out` turns the last token's residual into logits. All
/// three return the same bits as a full run. `M::causal` is true if each position depends on earlier positions only.
template<class M>
concept resumable_model =
    tappable_model<M> &&
    requires(const M& model, const batch_of<M>& batch, typename M::cache_type& cache,
             const typename M::cache_type& filled, const layer_run& run, activations_view<float> residual,
             matrix_view<const float> last, detail::any_tap tap) {
      { M::causal } -> std::convertible_to<bool>;
      { model.capture(batch, cache, tap) } -> std::same_as<float_matrix>;  // logits, positions::last
      {
        filled.residual(std::size_t{})
      } -> std::convertible_to<activations_view<const float>>;  // entering layer l <= layers()
      { model.run_layer(run, filled, residual, tap) } -> std::same_as<void>;
      { model.read_out(last) } -> std::same_as<float_matrix>;  // [rows x features] -> [rows x vocabulary]
    };

/// A model that passes each distinct input of its matrices to a sink, once per forward pass; each matrix reads exactly
/// one.
template<class M>
concept observable_model =
    weighted_model<M> && requires(const M& model, const batch_of<M>& batch, detail::any_sink sink) {
      { model.inputs(batch, sink) } -> std::same_as<void>;
    };

/// A model that passes the input and the output gradient of each matrix to a sink in a backward pass of the summed NLL.
template<class M>
concept differentiable_model =
    weighted_model<M> && requires(const M& model, const batch_of<M>& batch, detail::any_sink sink) {
      { model.backward(batch, sink) } -> std::same_as<nll>;
    };

/// A model whose forward pass can be run layer by layer.
///
/// `enter`, `run_layer` for each layer in order, and `read_loss` together give the same bits as `loss(batch)`;
/// `read_out` turns residuals into logits. A matrix of layer l is used by run_layer(l) only, and one of layer >=
/// layers() by the two reads only, so that a run with changed weights can skip the layers before the change. A matrix of
/// before_layers may be used by `enter` and by the two reads: a tied embedding and head.
template<class M>
concept layered_model =
    evaluable_model<M> && requires(const M& model, const batch_of<M>& batch, std::size_t layer, activations& residual,
                                   activations_view<const float> last, matrix_view<const float> rows) {
      { model.layers() } -> std::convertible_to<std::size_t>;
      { model.enter(batch) } -> std::same_as<activations>;         // residual stream entering layer 0
      { model.run_layer(layer, residual) } -> std::same_as<void>;  // in place
      { model.read_loss(batch, last) } -> std::same_as<nll>;       // from the residual stream entering the head
      { model.read_out(rows) } -> std::same_as<float_matrix>;      // [rows x features] -> [rows x vocabulary]
    };

/// A model that lists the slices of its matrices, such as the query map of each head, with their roles.
template<class M>
concept sliced_model = weighted_model<M> && requires(const M& model) {
  { model.slices() } -> std::same_as<std::vector<matrix_slice>>;
};

/// A model that can add a constant to the output of a matrix, even if that map has no bias.
template<class M>
concept bias_model = weighted_model<M> && requires(M& model, std::size_t matrix, std::span<const double> bias) {
  { model.add_bias(matrix, bias) } -> std::same_as<void>;  // [out], at every position
};

/// A model that can add a different constant at each token position. `later` [out] holds for positions beyond the rows
/// of `by_token`; if it is empty, the model refuses longer sequences.
template<class M>
concept token_bias_model = bias_model<M> && requires(M& model, std::size_t matrix, matrix_view<const double> by_token,
                                                     std::span<const double> later) {
  { model.add_token_bias(matrix, by_token, later) } -> std::same_as<void>;  // [tokens x out]
};

/// Batches whose sequences can be regrouped into other batches.
template<class B>
concept divisible_batch = requires(const B& batch, std::span<const B> batches, std::span<const std::size_t> order) {
  { batch.sequences } -> std::convertible_to<std::size_t>;
  { batch.tokens } -> std::convertible_to<std::size_t>;
  { gather_sequences(batches, order) } -> std::same_as<B>;
};

/// The slices of a sliced_model; otherwise each matrix as one slice.
template<weighted_model Model>
[[nodiscard]] std::vector<matrix_slice> slices_of(const Model& model) {
  if constexpr (sliced_model<Model>) return model.slices();
  return whole_matrices(model.matrices());
}

/// A model whose batches are token batches, so that prompts can be run through it.
template<class M>
concept token_model = std::same_as<batch_of<M>, token_batch>;

}  // namespace precis
