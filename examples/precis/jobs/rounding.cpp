#include "jobs/rounding.hpp"

#include "jobs/formats.hpp"
#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <precis/core/error.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/gptq.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace program {

namespace fit = precis::fit;

namespace {

/// tr(W H W').
double signal_of(precis::weight_view w, const precis::measure::gram& g, const fit::compensation& by) {
  const std::vector<float> zeros(w.cols);
  return fit::compensated_error(w, {zeros.data(), w.rows, w.cols, 0, 1}, g.sum, by.ridge);
}

/// The program's own encoders, which formats.cpp has compiled, for fit::gptq.
struct compiled_codecs {
  std::size_t entry;

  void encode(const precis::kernel::packed_format&, precis::weight_view w, std::span<const float> importance,
              std::span<std::byte> packed) const {
    if (const auto grid = formats::format(entry))
      code_fit{.search = false}(*grid, w, packed);
    else if (importance.empty())
      formats::encode(entry, w, packed);
    else
      formats::encode(entry, w, importance, packed);
  }
  void decode(const precis::kernel::packed_format&, std::span<const std::byte> packed,
              precis::mutable_weight_view w) const {
    formats::decode(entry, packed, w);
  }
};

/// Whether an entry codes eight weights at a time.
bool codes_eights(std::size_t entry) {
  const std::string name = formats::names()[entry];
  return name.starts_with("iq2") || name.starts_with("iq3");
}

/// The factors of one input: for columns one by one and, if an entry needs it, eight at a time.
struct factors {
  fit::compensation by, by_eights;

  factors(const precis::measure::gram& g, const rounding_options& how, bool eights, const worker_pool& pool)
      : by(fit::compensate(g.sum, {.damping = how.damping}, pool)) {
    if (eights && g.sum.rows % 8 == 0) by_eights = fit::compensate(g.sum, {.damping = how.damping, .unit = 8}, pool);
  }
};

}  // namespace

rounded round_matrix(precis::weight_view target, std::size_t entry, const std::string& name,
                     const precis::measure::gram* gram, const fit::compensation* by,
                     const fit::compensation* by_eights) {
  rounded result{.bytes = precis::aligned_bytes(formats::bytes(entry, target.rows, target.cols))};
  const auto encode = [&] {
    const auto format = formats::packed_format(entry);
    const bool known = gram != nullptr && by != nullptr;
    if (known && by->usable() && format && fit::gptq::serves(*format)) {
      const fit::fitted report = fit::gptq{}(*format, target, {gram, by, by_eights}, result.bytes, precis::sequential{},
                                             compiled_codecs{entry});
      const double signal = signal_of(target, *gram, *by);
      result.relative_error = signal > 0 ? report.error / signal : 0.0;
      result.compensated = report.compensated;
      return;
    }
    const auto importance =
        known && by->usable() ? fit::input_moments{gram, by, nullptr}.mean_squares() : std::vector<float>();
    if (const auto grid = formats::format(entry))
      code_fit{.search = true}(*grid, target, result.bytes);
    else if (!importance.empty())
      formats::encode(entry, target, importance, result.bytes);
    else
      formats::encode(entry, target, result.bytes);
    if (!known || !by->usable()) return;
    precis::float_matrix decoded(target.rows, target.cols);
    formats::decode(entry, result.bytes, decoded.view());
    const double signal = signal_of(target, *gram, *by);
    result.relative_error =
        signal > 0 ? fit::compensated_error(target, decoded.view(), gram->sum, by->ridge) / signal : 0.0;
  };
  try {
    encode();
  } catch (const precis::error& e) {
    precis::problem named = e.reason();
    named.where = name + ": " + named.where;
    precis::refuse(std::move(named));
  }
  return result;
}

namespace {

/// One input of a layer while a model is rounded layer by layer.
struct layer_input {
  std::vector<std::size_t> matrices;
  precis::measure::input_statistics of_compressed;
  precis::basic_matrix<double> cross;  ///< sum over tokens of (x - y) y'; empty: tokens do not correspond
};

/// The inputs of a layer on one window, as the model reports them.
struct captured_input {
  std::vector<std::size_t> matrices;
  precis::activations values;
};
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

/// A model that is rounded layer by layer: the residuals of every window in the original and in the packed model.
class layer_by_layer {
 public:
  layer_by_layer(const session& s, const calibration& c, const rounding_options& how, const run_options& o)
      : original_(s.model), packed_(s.model), how_(how), pool_(o.pool()) {
    for (const precis::token_batch& w : c.windows) of_original_.push_back(original_.enter(w));
    of_packed_ = of_original_;
  }

  /// Runs a layer of the original on all windows and keeps its inputs; the original's residuals then leave the layer.
  /// @return the matrices that read each input, in the order of the layer's computation.
  [[nodiscard]] std::vector<std::vector<std::size_t>> enter(std::size_t layer) {
    of_layer_.assign(of_original_.size(), {});
    pool_.for_each(of_original_.size(),
                   [&](std::size_t w) { of_layer_[w] = capture(original_, layer, of_original_[w]); });
    std::vector<std::vector<std::size_t>> stages;
    for (const std::vector<captured_input>& window : of_layer_)
      for (const captured_input& i : window)
        if (std::ranges::find(stages, i.matrices) == stages.end()) stages.push_back(i.matrices);
    return stages;
  }
  /// Gathers one input of the layer in the packed model as it is now, whose earlier matrices make up for errors already.
  [[nodiscard]] layer_input gather(std::size_t layer, const std::vector<std::size_t>& readers) {
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

  /// Replaces a matrix of the packed model.
  void replace(std::size_t matrix, std::size_t entry, std::span<const std::byte> bytes) {
    formats::decode(entry, bytes, packed_.weights(matrix));
  }
  /// The packed model's residuals leave the layer, with its matrices as they are now.
  void leave(std::size_t layer) {
    pool_.for_each(of_packed_.size(), [&](std::size_t w) { packed_.run_layer(layer, of_packed_[w]); });
  }

 private:
  const engine::transformer& original_;
  engine::transformer packed_;
  rounding_options how_;
  worker_pool pool_;
  std::vector<precis::activations> of_original_, of_packed_;
  std::vector<std::vector<captured_input>> of_layer_;  ///< [windows] inputs of the current layer in the original
};

/// A copy of a matrix, pruned as the choice says.
precis::float_matrix pruned(precis::weight_view w, const precis::matrix_choice& c) {
  precis::float_matrix copy(w.rows, w.cols);
  precis::codec::copy_values(w, copy.view());
  precis::codec::check_finite(copy.view(), c.name);
  if (c.sparsity > 0)
    precis::refuse({.what = fmt::format("{} is pruned to sparsity {}", c.name, c.sparsity),
                    .where = "--fit gptq",
                    .expected = "a plan without sparsity, or --fit clip_search: compensation would fill the zeros"});
  return copy;
}

}  // namespace

std::vector<rounded> round_model(const session& s, std::span<const precis::matrix_choice> choices, const calibration& c,
                                 const rounding_options& how, const run_options& o) {
  const std::span<const precis::matrix_info> matrices = s.model.matrices();
  const worker_pool pool = o.pool();
  std::vector<rounded> result(choices.size());
  std::vector<std::size_t> of_matrix(matrices.size(), calibration::none);
  for (std::size_t i = 0; i < choices.size(); ++i) of_matrix[choices[i].matrix] = i;
  progress bar("rounding", choices.size(), o.how());
  const auto round = [&](std::size_t m, precis::weight_view target, const precis::measure::gram* g, const factors* f) {
    const std::size_t i = of_matrix[m];
    result[i] = round_matrix(target, choices[i].entry, choices[i].name, g, f == nullptr ? nullptr : &f->by,
                             f == nullptr ? nullptr : &f->by_eights);
    bar.step();
  };
  std::vector<bool> done(matrices.size());
  const auto round_input = [&](std::span<const std::size_t> readers, const precis::measure::gram& g,
                               const precis::basic_matrix<double>* cross) {
    const bool eights = std::ranges::any_of(readers, [&](std::size_t m) {
      return of_matrix[m] != calibration::none && codes_eights(choices[of_matrix[m]].entry);
    });
    const factors f(g, how, eights, pool);
    pool.for_each(readers.size(), [&](std::size_t k) {
      const std::size_t m = readers[k];
      if (of_matrix[m] == calibration::none) return;
      precis::float_matrix w = pruned(s.model.weights(m), choices[of_matrix[m]]);
      if (cross != nullptr && cross->rows != 0 && f.by.usable()) w = fit::corrected_target(w.view(), *cross, f.by);
      round(m, w.view(), &g, &f);
    });
    for (const std::size_t m : readers) done[m] = true;
  };
  if (how.from_compressed) {
    layer_by_layer both(s, c, how, o);
    for (std::size_t l = 0; l < s.model.layers(); ++l) {
      for (const std::vector<std::size_t>& stage : both.enter(l)) {
        stop_if_interrupted();
        const layer_input in = both.gather(l, stage);
        round_input(in.matrices, in.of_compressed.moments, &in.cross);
        for (const std::size_t m : in.matrices)
          if (of_matrix[m] != calibration::none)
            both.replace(m, choices[of_matrix[m]].entry, result[of_matrix[m]].bytes);
      }
      both.leave(l);
    }
  }
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    std::vector<std::size_t> readers;
    for (std::size_t m = 0; m < matrices.size(); ++m)
      if (c.reads[m] == i && !done[m]) readers.push_back(m);
    stop_if_interrupted();
    if (!readers.empty()) round_input(readers, c.inputs[i].moments, nullptr);
  }
  for (std::size_t m = 0; m < matrices.size(); ++m)  // what no data reached
    if (!done[m] && of_matrix[m] != calibration::none) round(m, s.model.weights(m), nullptr, nullptr);
  return result;
}

precis::cost_table rounding_costs(const session& s, const std::vector<std::string>& entries, precis::unit_kind units,
                                  const calibration& c, const rounding_options& how, const run_options& o) {
  const std::span<const precis::matrix_info> matrices = s.model.matrices();
  precis::cost_table t = precis::cost::blank_table<formats>(matrices, units, entries, 32, "cost");
  const bool in_nats = std::ranges::any_of(c.sensitivity, [](double v) { return v > 0; });
  t.maker = fmt::format("gptq output errors on {} tokens", c.tokens());
  t.measure =
      in_nats ? "increase of KL divergence that output errors predict, nats per token" : "share of the squared outputs";
  std::vector<std::size_t> index, unit_of(matrices.size());
  for (const std::string& each : t.entries) index.push_back(formats::index_of(each));
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (const std::size_t m : t.units[u].matrices) unit_of[m] = u;
  const worker_pool pool = o.pool();
  progress bar("rounding", matrices.size(), o.how());
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    std::vector<std::size_t> readers;
    for (std::size_t m = 0; m < matrices.size(); ++m)
      if (c.reads[m] == i) readers.push_back(m);
    if (readers.empty()) continue;
    const precis::measure::gram& g = c.inputs[i].moments;
    const factors f(g, how, std::ranges::any_of(index, codes_eights), pool);
    for (const std::size_t m : readers) {
      stop_if_interrupted();
      const precis::weight_view w = s.model.weights(m);
      const double scale = in_nats ? 0.5 * c.sensitivity[m] * signal_of(w, g, f.by) /
                                         static_cast<double>(std::max<std::size_t>(1, g.tokens))
                                   : 1.0;
      pool.for_each(index.size(), [&](std::size_t e) {
        double& cost = t.costs[unit_of[m] * index.size() + e];
        try {
          cost += scale * round_matrix(w, index[e], matrices[m].name, &g, &f.by, &f.by_eights).relative_error;
        } catch (const precis::error&) {
          precis::codec::check_finite(w, matrices[m].name);
          cost =
              precis::not_admitted;  // a format that cannot hold these weights, such as rows that are not whole blocks
        }
      });
      bar.step();
    }
  }
  for (std::size_t m = 0; m < matrices.size(); ++m)
    if (c.reads[m] == calibration::none) t.notes.push_back("no data reached " + matrices[m].name);
  set_fit(t.notes, o.coder());
  for (std::string& note : precis::note_not_admitted(t)) t.notes.push_back(std::move(note));
  t.model = s.fingerprint;
  t.original_bytes = stored_bytes(s);
  precis::check(t, "cost");
  return t;
}

}  // namespace program
