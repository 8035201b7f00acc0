#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/math.hpp>
#include <precis/core/site.hpp>
#include <precis/core/view.hpp>
#include <precis/kernel/ieee.hpp>
#include <precis/model/batch.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace precis::score {
PRECIS_IEEE_BEGIN

/// Which activations are restored: those of one kind of site, in a window of layers around each layer. `residual`
/// stands for the block's output.
struct restoration {
  site_kind kind = site_kind::residual;
  std::size_t window = 1;  ///< layers [l - window/2, l + (window + 1)/2), clipped to the model

  bool operator==(const restoration&) const = default;
};

/// The prediction of the answer after restoring each token at each layer.
struct restoration_table {
  restoration what;
  basic_matrix<double> probability = {};  ///< [tokens x layers] mean over runs of P(answer)
  basic_matrix<double> recovery = {};     ///< [tokens x layers] share of runs whose first choice is the answer

  bool operator==(const restoration_table&) const = default;
};

/// The result of tracing one fact.
struct fact_trace {
  std::string name{};
  std::size_t tokens = 0;
  std::size_t subject_begin = 0;
  std::size_t subject_end = 0;
  bool known = false;                       ///< whether the first choice of the clean run is the answer
  double clean = 0;                         ///< P(answer) in the clean run
  double corrupted = 0;                     ///< mean P(answer) over the noisy runs
  double corrupted_recovery = 0;            ///< share of noisy runs whose first choice is still the answer
  std::vector<restoration_table> tables{};  ///< empty if the fact is not known
  std::size_t block_positions = 0;          ///< work done: rows x positions, summed over the blocks run

  bool operator==(const fact_trace&) const = default;
};

/// The layers [first, end).
struct layer_range {
  std::size_t first = 0;
  std::size_t end = 0;

  bool operator==(const layer_range&) const = default;
};

/// The layers that a restoration centred on `layer` overwrites, in a model of `layers` layers.
[[nodiscard]] constexpr layer_range restored_layers(std::size_t layer, std::size_t window,
                                                    std::size_t layers) noexcept {
  const std::size_t back = window / 2;
  return {layer > back ? layer - back : 0, std::min(layers, layer + (window + 1) / 2)};
}

/// The prediction of the answer in one run.
struct answer_prediction {
  double probability = 0;
  bool first_choice = false;  ///< the answer is the arg-max; the lowest token wins ties
};

/// The probability of the answer, and whether it is the first choice, from the logits of the last position.
template<class = void>
[[nodiscard]] inline answer_prediction predict_answer(std::span<const float> logits, token answer) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < logits.size(); ++i)
    if (logits[i] > logits[best]) best = i;
  const double top = logits[best];
  double sum = 0;
  for (const float z : logits) sum += math::exp(static_cast<double>(z) - top);
  const auto a = static_cast<std::size_t>(answer);
  return {math::exp(static_cast<double>(logits[a]) - top) / sum, best == a};
}

/// The mean over runs.
struct mean_prediction {
  double probability = 0;
  double recovery = 0;  ///< share of runs whose first choice is the answer
};

/// Averages predictions, in order.
template<class = void>
[[nodiscard]] inline mean_prediction average(std::span<const answer_prediction> runs) {
  mean_prediction m;
  for (const answer_prediction& r : runs) {
    m.probability += r.probability;
    m.recovery += r.first_choice ? 1.0 : 0.0;
  }
  m.probability /= static_cast<double>(runs.size());
  m.recovery /= static_cast<double>(runs.size());
  return m;
}

PRECIS_IEEE_END
}  // namespace precis::score
