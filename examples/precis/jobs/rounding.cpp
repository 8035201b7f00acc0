#include "jobs/rounding.hpp"

#include "jobs/formats.hpp"
#include "jobs/layer_by_layer.hpp"
#include "jobs/progress.hpp"
#include "jobs/run_options.hpp"
#include "jobs/session.hpp"

#include <precis/core/error.hpp>
#include <precis/cost/entry.hpp>
#include <precis/fit/gptq.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
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
      result.error = report.error;
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
    result.error = fit::compensated_error(target, decoded.view(), gram->sum, by->ridge);
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
    if (f != nullptr && f->by.usable()) {
      const double signal = signal_of(target, *g, f->by);
      result[i].relative_error = signal > 0 ? result[i].error / signal : 0.0;
    }
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
      if (how.iterations > 0) {
        std::vector<tunable_matrix> of_layer;
        for (std::size_t i = 0; i < choices.size(); ++i)
          if (matrices[choices[i].matrix].layer == l && done[choices[i].matrix])
            of_layer.push_back({choices[i].matrix, choices[i].entry, result[i].bytes});
        for (const std::size_t m : both.tune(l, of_layer)) result[of_matrix[m]].tuned = true;
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
      const double signal = in_nats ? 0.0 : signal_of(w, g, f.by);
      const double scale = in_nats ? 0.5 * c.sensitivity[m] / static_cast<double>(std::max<std::size_t>(1, g.tokens))
                           : signal > 0 ? 1.0 / signal
                                        : 0.0;
      pool.for_each(index.size(), [&](std::size_t e) {
        double& cost = t.costs[unit_of[m] * index.size() + e];
        try {
          cost += scale * round_matrix(w, index[e], matrices[m].name, &g, &f.by, &f.by_eights).error;
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
