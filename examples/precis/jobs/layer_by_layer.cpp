#include "jobs/layer_by_layer.hpp"

#include "jobs/formats.hpp"
#include "jobs/progress.hpp"
#include "jobs/session.hpp"

#include <precis/fit/signed_rounding.hpp>
#include <precis/kernel/float_product.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace program {

namespace fit = precis::fit;

namespace {

std::vector<captured_input> capture(const engine::transformer& model, std::size_t layer,
                                    precis::activations& residual) {
  std::vector<captured_input> all;
  model.run_layer(layer, residual, [&](const precis::linear_input& i) {
    captured_input one{{i.matrices.begin(), i.matrices.end()},
                       precis::activations(i.input.sequences, i.input.tokens, i.input.features)};
    for (std::size_t q = 0; q < i.input.sequences; ++q)
      for (std::size_t t = 0; t < i.input.tokens; ++t)
        std::ranges::copy(i.input(q, t), one.values.view()(q, t).begin());
    all.push_back(std::move(one));
  });
  return all;
}

/// One layer of the packed model for fit::signed_rounding: the mean squared difference between the residual that leaves it
/// and the one that leaves the layer of the original.
class packed_layer {
 public:
  packed_layer(engine::transformer& packed, std::size_t layer, std::span<const std::size_t> matrices,
               std::span<const precis::activations> entering, std::span<const precis::activations> wanted,
               const rounding_options& how, const worker_pool& pool)
      : packed_(packed),
        layer_(layer),
        matrices_(matrices),
        entering_(entering),
        wanted_(wanted),
        how_(how),
        pool_(pool) {}

  [[nodiscard]] double loss(std::span<const fit::rounding_variables> m) const {
    put(m);
    std::vector<double> losses(entering_.size());
    pool_.for_each(entering_.size(), [&](std::size_t w) {
      precis::activations x = entering_[w];
      packed_.run_layer(layer_, x);
      losses[w] = squared_difference(x, wanted_[w], nullptr);
    });
    double sum = 0;
    for (const double l : losses) sum += l;
    return sum / values(entering_);
  }

  void differentiate(std::size_t iteration, std::span<fit::rounding_variables> m) const {
    put(m);
    const std::size_t count = std::min(how_.batch, entering_.size());
    std::vector<std::vector<precis::float_matrix>> gradients(count);
    pool_.for_each(count, [&](std::size_t k) {
      const std::size_t w = (iteration * count + k) % entering_.size();
      for (const fit::rounding_variables& v : m) gradients[k].emplace_back(v.values.rows, v.values.cols);
      add_gradients(w, gradients[k]);
    });
    for (std::size_t i = 0; i < m.size(); ++i) {
      std::ranges::fill(m[i].gradient.values, 0.f);
      for (const std::vector<precis::float_matrix>& of_window : gradients)
        for (std::size_t j = 0; j < m[i].gradient.values.size(); ++j) m[i].gradient.values[j] += of_window[i].values[j];
    }
  }

 private:
  /// The packed model's matrices take the values of the variables.
  void put(std::span<const fit::rounding_variables> m) const {
    for (std::size_t i = 0; i < m.size(); ++i)
      precis::codec::copy_values(m[i].values.view(), packed_.weights(matrices_[i]));
  }
  [[nodiscard]] double values(std::span<const precis::activations> windows) const {
    double sum = 0;
    for (const precis::activations& w : windows) sum += static_cast<double>(w.sequences * w.tokens * width());
    return sum;
  }
  [[nodiscard]] std::size_t width() const { return packed_.shape().width; }
  /// Of the residuals, without what the stream holds behind them. `gradient`: of half the sum, or null.
  [[nodiscard]] double squared_difference(const precis::activations& x, const precis::activations& wanted,
                                          precis::activations* gradient) const {
    double sum = 0;
    for (std::size_t t = 0; t < x.tokens; ++t)
      for (std::size_t f = 0; f < width(); ++f) {
        const float d = x.view()(0, t)[f] - wanted.view()(0, t)[f];
        sum += static_cast<double>(d) * static_cast<double>(d);
        if (gradient != nullptr) gradient->view()(0, t)[f] = d;
      }
    return sum;
  }
  void add_gradients(std::size_t window, std::vector<precis::float_matrix>& to) const {
    precis::activations x = entering_[window], dx(x.sequences, x.tokens, x.features);
    std::vector<float> workspace(precis::kernel::product_workspace);
    packed_.differentiate_layer(
        layer_, x, dx, [&] { static_cast<void>(squared_difference(x, wanted_[window], &dx)); },
        [&](const precis::linear_gradient& g) {
          const auto at = std::ranges::find(matrices_, g.matrix);
          if (at == matrices_.end()) return;
          precis::kernel::product_add<>(g.output_gradient.as_matrix().transposed(), g.input.as_matrix(),
                                        to[static_cast<std::size_t>(at - matrices_.begin())].view(),
                                        precis::as_writable_span(workspace));
        });
  }

  engine::transformer& packed_;
  std::size_t layer_;
  std::span<const std::size_t> matrices_;
  std::span<const precis::activations> entering_, wanted_;
  const rounding_options& how_;
  const worker_pool& pool_;
};

}  // namespace

layer_by_layer::layer_by_layer(const session& s, const calibration& c, const rounding_options& how,
                               const run_options& o)
    : original_(s.model), packed_(s.model), how_(how), pool_(o.pool()), chat_(o.how()) {
  for (const precis::token_batch& w : c.windows) of_original_.push_back(original_.enter(w));
  of_packed_ = of_original_;
}

std::vector<std::vector<std::size_t>> layer_by_layer::enter(std::size_t layer) {
  of_layer_.assign(of_original_.size(), {});
  pool_.for_each(of_original_.size(),
                 [&](std::size_t w) { of_layer_[w] = capture(original_, layer, of_original_[w]); });
  std::vector<std::vector<std::size_t>> stages;
  for (const std::vector<captured_input>& window : of_layer_)
    for (const captured_input& i : window)
      if (std::ranges::find(stages, i.matrices) == stages.end()) stages.push_back(i.matrices);
  return stages;
}

layer_input layer_by_layer::gather(std::size_t layer, const std::vector<std::size_t>& readers) {
  layer_input input{.matrices = readers, .of_compressed = {}, .cross = {}};
  bool comparable = true;
  constexpr std::size_t at_a_time = 4;
  for (std::size_t first = 0; first < of_packed_.size(); first += at_a_time) {
    const std::size_t count = std::min(at_a_time, of_packed_.size() - first);
    std::vector<std::vector<captured_input>> y(count);
    pool_.for_each(count, [&](std::size_t k) {
      precis::activations residual = of_packed_[first + k];
      y[k] = capture(packed_, layer, residual);
    });
    for (std::size_t k = 0; k < count; ++k) {
      const auto reads_same = [&](const captured_input& i) { return i.matrices == readers; };
      const auto of_y = std::ranges::find_if(y[k], reads_same);
      const auto of_x = std::ranges::find_if(of_layer_[first + k], reads_same);
      if (of_y == y[k].end()) continue;
      const precis::activations_view<const float> b = std::as_const(of_y->values).view();
      input.of_compressed.add(b, pool_);
      // Tokens that are routed to an expert need not be the same ones.
      comparable = comparable && of_x != of_layer_[first + k].end() && b.rows() == of_packed_[first + k].tokens &&
                   of_x->values.view().rows() == b.rows();
      if (comparable)
        precis::measure::detail::add_cross_moments(std::as_const(of_x->values).view(), b, input.cross, pool_);
    }
  }
  if (!comparable) input.cross = {};
  input.of_compressed.finish(original_.matrices()[readers.front()].name);
  return input;
}

void layer_by_layer::replace(std::size_t matrix, std::size_t entry, std::span<const std::byte> bytes) {
  formats::decode(entry, bytes, packed_.weights(matrix));
}

void layer_by_layer::leave(std::size_t layer) {
  pool_.for_each(of_packed_.size(), [&](std::size_t w) { packed_.run_layer(layer, of_packed_[w]); });
}

std::vector<std::size_t> layer_by_layer::tune(std::size_t layer, std::span<const tunable_matrix> matrices) {
  std::vector<std::size_t> tuned;
  std::vector<fit::rounding_variables> variables;
  std::vector<std::span<std::byte>> packed;
  for (const tunable_matrix& each : matrices) {
    const auto format = formats::packed_format(each.entry);
    if (!format || !fit::signed_rounding::serves(*format)) continue;
    const precis::weight_view target = original_.weights(each.matrix);
    variables.emplace_back(*format, target, std::as_const(packed_).weights(each.matrix), each.bytes);
    packed.push_back(each.bytes);
    tuned.push_back(each.matrix);
  }
  if (tuned.empty()) return tuned;
  packed_layer block(packed_, layer, tuned, of_packed_, of_original_, how_, pool_);
  if (!bar_) {
    const auto began = std::chrono::steady_clock::now();
    block.differentiate(0, variables);
    const double seconds = seconds_since(began) * static_cast<double>(how_.iterations * original_.layers());
    if (chat_ == chatter::normal)
      fmt::print("tuning {} iterations of {} windows per layer: about {}\n", how_.iterations,
                 std::min(how_.batch, of_packed_.size()), duration(1.3 * seconds));
    bar_ = std::make_unique<progress>("tuning", how_.iterations * original_.layers(), chat_);
  }
  struct counted {
    packed_layer& of;
    progress& bar;
    [[nodiscard]] double loss(std::span<const fit::rounding_variables> m) const { return of.loss(m); }
    void differentiate(std::size_t i, std::span<fit::rounding_variables> m) const {
      stop_if_interrupted();
      of.differentiate(i, m);
      bar.step();
    }
  };
  const fit::tuned found =
      fit::signed_rounding{.iterations = how_.iterations}(variables, packed, counted{block, *bar_});
  for (std::size_t i = 0; i < matrices.size(); ++i) replace(matrices[i].matrix, matrices[i].entry, matrices[i].bytes);
  if (found.iteration == 0) tuned.clear();
  return tuned;
}

}  // namespace program
