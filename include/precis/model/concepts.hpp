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

/// Which positions' logits are wanted: every token's, or the last one's of each sequence.
enum class positions { all, last };

/// What a linear map saw in one backward pass: y = W x + b with W `out x in`.
struct linear_gradient {
  std::size_t matrix = 0;                         ///< index into matrices()
  activations_view<const float> input;            ///< x, [sequences x tokens x in]
  activations_view<const float> output_gradient;  ///< d(summed NLL)/dy, [sequences x tokens x out], nats
};

/// What one or several linear maps multiplied in a forward pass: y = W x + b with W `out x in`.
struct linear_input {
  std::span<const std::size_t> matrices;  ///< indices into matrices(): query, key and value read the same input
  activations_view<const float> input;    ///< x, [sequences x tokens x in]
};

/// One layer of a partial run: continue cached sequences from the activations entering `layer`.
struct layer_run {
  std::size_t layer = 0;
  std::size_t first_token = 0;             ///< positions before it are read from the cache
  std::span<const std::size_t> sequences;  ///< row i of the residual continues cached sequence sequences[i]
  positions outputs = positions::all;  ///< `last`: only the last token's output is needed, the rest is left unspecified
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

/// Offers its weight matrices, one at a time. Needed by everything that only reads weights.
template<class M>
concept weighted_model = requires(M& model, const M& constant, std::size_t i) {
  { constant.matrices() } -> std::convertible_to<std::span<const matrix_info>>;
  { constant.weights(i) } -> std::convertible_to<weight_view>;  // out x in; valid until the next call
};

/// Its weights may be overwritten in place. Always done under a guard that restores the exact bytes.
template<class M>
concept mutable_model = weighted_model<M> && requires(M& model, std::size_t i) {
  { model.weights(i) } -> std::convertible_to<mutable_weight_view>;
};

/// The model's own type of batch.
template<class M>
using batch_of = typename M::batch_type;

/// Gives the loss of a batch: summed negative log-likelihood in nats, and how many predictions it sums.
template<class M>
concept evaluable_model = requires(const M& model, const batch_of<M>& batch) {
  { model.loss(batch) } -> std::same_as<nll>;
};

/// Runs forward and calls tap(site, activations) at every site; the tap may overwrite. Logits are
/// [sequences x vocabulary] for positions::last, [sequences * tokens x vocabulary] for positions::all.
template<class M>
concept tappable_model = requires(const M& model, const batch_of<M>& batch, detail::any_tap tap) {
  { model.layers() } -> std::convertible_to<std::size_t>;
  { model.logits(batch, positions::last, tap) } -> std::same_as<float_matrix>;
  { model.loss(batch, tap) } -> std::same_as<nll>;
};

/// Can restart from the residual state entering a layer, and knows what its earlier positions looked like.
///
/// `capture` is a `logits` run that fills a cache; `run_layer` advances a residual through one layer in place, calling
/// the tap at that layer's attention and MLP sites; `read_out` turns the last token's residual into logits. All three
/// return the bits a full run would. `M::causal` says whether a position depends on earlier positions only.
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

/// Runs forward and hands every distinct input of its matrices to a sink, once; every matrix reads exactly one of them.
template<class M>
concept observable_model =
    weighted_model<M> && requires(const M& model, const batch_of<M>& batch, detail::any_sink sink) {
      { model.inputs(batch, sink) } -> std::same_as<void>;
    };

/// Runs backward and hands every matrix's inputs and output gradients to a sink. The gradient is that of the summed NLL.
template<class M>
concept differentiable_model =
    weighted_model<M> && requires(const M& model, const batch_of<M>& batch, detail::any_sink sink) {
      { model.backward(batch, sink) } -> std::same_as<nll>;
    };

/// Its forward pass can be taken apart: what enters the first layer, one layer, and what is read off the last one's output.
///
/// `enter`, `run_layer` for every layer in order, and `read_loss` return the bits of `loss(batch)`; `read_out` makes logits
/// of residuals. A matrix of layer l takes part in run_layer(l) alone, one of layer >= layers() in the two reads alone: so a
/// run of changed weights need not repeat what lies before the change.
template<class M>
concept layered_model =
    evaluable_model<M> && requires(const M& model, const batch_of<M>& batch, std::size_t layer, activations& residual,
                                   activations_view<const float> last, matrix_view<const float> rows) {
      { model.layers() } -> std::convertible_to<std::size_t>;
      { model.enter(batch) } -> std::same_as<activations>;  // entering layer 0
      {
        model.run_layer(layer, residual)
      } -> std::same_as<void>;                                 // in place: from entering layer to entering layer + 1
      { model.read_loss(batch, last) } -> std::same_as<nll>;   // of the residual entering the head
      { model.read_out(rows) } -> std::same_as<float_matrix>;  // [rows x features] -> [rows x vocabulary]
    };

/// Knows which rows and columns of its matrices are linear maps of their own, and what they are for.
template<class M>
concept sliced_model = weighted_model<M> && requires(const M& model) {
  { model.slices() } -> std::same_as<std::vector<matrix_slice>>;
};

/// Can add a constant to the output of a matrix, also where the map has no bias yet.
template<class M>
concept bias_model = weighted_model<M> && requires(M& model, std::size_t matrix, std::span<const double> bias) {
  { model.add_bias(matrix, bias) } -> std::same_as<void>;  // [out], at every position
};

/// Can add a constant of its own at every token position. Longer sequences than `by_token` has rows are refused by the model,
/// unless there are `later` values [out], which all later positions get.
template<class M>
concept token_bias_model = bias_model<M> && requires(M& model, std::size_t matrix, matrix_view<const double> by_token,
                                                     std::span<const double> later) {
  { model.add_token_bias(matrix, by_token, later) } -> std::same_as<void>;  // [tokens x out]
};

/// Batches whose sequences can be taken apart and put together in another order.
template<class B>
concept divisible_batch = requires(const B& batch, std::span<const B> batches, std::span<const std::size_t> order) {
  { batch.sequences } -> std::convertible_to<std::size_t>;
  { batch.tokens } -> std::convertible_to<std::size_t>;
  { gather_sequences(batches, order) } -> std::same_as<B>;
};

/// The slices of a model's matrices: what it says, or every matrix as a whole.
template<weighted_model Model>
[[nodiscard]] std::vector<matrix_slice> slices_of(const Model& model) {
  if constexpr (sliced_model<Model>) return model.slices();
  return whole_matrices(model.matrices());
}

/// Its batch is made of tokens, so prompts can be run through it.
template<class M>
concept token_model = std::same_as<batch_of<M>, token_batch>;

}  // namespace precis
