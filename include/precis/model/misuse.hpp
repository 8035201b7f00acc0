#pragma once

#include <precis/core/error.hpp>
#include <precis/core/executor.hpp>
#include <precis/model/concepts.hpp>

#include <concepts>
#include <span>
#include <type_traits>

/// Explains calls that have a suitable model but other arguments than the call operator takes. A stage adds one
/// overload per call operator:
///
///     template<class Model, class Data, class... Rest>
///       requires(THE MODEL'S CONCEPTS && misuses<reads_weights, std::span<const DATUM>, Model, Data, Rest...>)
///     refused operator()(Model&&, const Data&, Rest&&...) const {
///       return explain_misuse<reads_weights, std::span<const DATUM>, Model, Data, Rest...>();
///     }
namespace precis {

/// What a stage does to the weights of its model.
enum class weight_use { reads, changes };
inline constexpr weight_use reads_weights = weight_use::reads;
inline constexpr weight_use changes_weights = weight_use::changes;

namespace detail {

/// Whether a model passed as `Model&&` can be passed to a stage.
template<weight_use Use, class Model>
inline constexpr bool suits_use =
    Use == weight_use::reads || (std::is_lvalue_reference_v<Model> && !std::is_const_v<std::remove_reference_t<Model>>);

}  // namespace detail

/// Whether a call operator (model, data, executor) has to refuse these arguments, whatever the model is capable of.
/// Wanted: the span that it takes as its data.
template<weight_use Use, class Wanted, class Model, class Data, class... Rest>
inline constexpr bool misuses =
    !detail::suits_use<Use, Model> || !std::convertible_to<const Data&, Wanted> || !(executor<Rest> && ...);

/// Says which argument is wrong and what to pass instead.
template<weight_use Use, class Wanted, class Model, class Data, class... Rest>
refused explain_misuse() {
  static_assert(
      detail::suits_use<Use, Model>,
      "precis: this stage changes the weights of the model while it works, so it needs a model that is neither "
      "const nor a temporary. Pass a variable, or a copy of the model. See docs/models.md#mutable");
  static_assert(
      std::convertible_to<const Data&, Wanted>,
      "precis: this stage takes a contiguous range of data, as std::vector<batch_type> or "
      "std::span<const batch_type>; a single batch or fact b is std::span(&b, 1). See docs/models.md#batches");
  static_assert((executor<Rest> && ...),
                "precis: the last argument of this stage is an executor, anything with for_each(n, body): "
                "precis::sequential{}, or precis::thread_pool{4} for four threads. See docs/determinism.md#executors");
  return {};
}

}  // namespace precis
