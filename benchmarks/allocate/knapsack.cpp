// The exact allocator compared with general integer-programming solvers in the same run, on one thread. GLPK and CBC
// are included if their development files are installed (Debian: libglpk-dev, coinor-libcbc-dev). Times are processor
// times.
//
// The tables have 6 widths (2, 3, 4, 5, 6, 8 bits), log-normal sizes, costs of sensitivity x size x 4^-bits, and a
// budget of 4.25 bits per weight:
//   smooth  costs are convex in the width
//   noisy   each cost is multiplied by log-normal(0.25) noise, so costs are not convex
//   equal   all units have the same sensitivity, which is close to a subset-sum problem
//
// The time is the median of one solve over the seeds. Counters:
//   worst_ms       time of the slowest seed
//   reads          median number of times that the table can be summed in the time of one solve
//   proven         fraction of seeds whose solution is certified as optimal
//   x_NAME         the solver's time relative to ours, median; worst_x_NAME: the smallest ratio
//   above_NAME     the smallest relative difference of the solver's objective from ours; negative: it found less
//
// kmeans compares exact k-means in one dimension with std::sort of the same values: x_sort is the ratio of their times.

#include "yardstick.hpp"

#include <precis/allocate/kmeans_tiers.hpp>
#include <precis/allocate/solver/multiple_choice.hpp>
#include <precis/core/random.hpp>

#ifdef PRECIS_WITH_GLPK
#include <glpk.h>
#endif
#ifdef PRECIS_WITH_CBC
#include <coin/Cbc_C_Interface.h>
#endif

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace precis;
using yardstick::median;
using yardstick::seconds;

enum class kind { smooth, noisy, equal };

struct instance {
  std::size_t units = 0;
  std::vector<double> costs;
  std::vector<std::size_t> bytes;
  double limit = 0;
  static constexpr std::size_t entries = 6;

  [[nodiscard]] allocate::solver::choice_problem<double, std::size_t> problem() const {
    return {units, entries, costs, bytes, limit};
  }
};

instance make(std::size_t units, kind k, std::uint64_t seed) {
  const random_stream random(seed, purpose("benchmark"));
  instance p{.units = units, .costs = {}, .bytes = {}};
  for (std::size_t u = 0; u < units; ++u) {
    const double size = std::floor(1e5 * std::exp(random.normal(10 * u)));
    const double sensitivity = k == kind::equal ? 1 : std::exp(random.normal(10 * u + 1));
    p.limit += size * 4.25 / 8;
    for (std::size_t e = 0; e < instance::entries; ++e) {
      const double width = std::vector<double>{2, 3, 4, 5, 6, 8}[e];
      p.bytes.push_back(static_cast<std::size_t>(std::ceil(size * width / 8)));
      p.costs.push_back(sensitivity * size * std::pow(4.0, -width) *
                        (k == kind::noisy ? std::exp(0.25 * random.normal(10 * u + 2 + e)) : 1.0));
    }
  }
  p.limit = std::floor(p.limit);
  return p;
}

struct peer {
  std::string name;
  double (*solve)(const instance&);
};

#ifdef PRECIS_WITH_GLPK
double glpk(const instance& p) {
  glp_prob* lp = glp_create_prob();
  glp_term_out(GLP_OFF);
  const auto rows = static_cast<int>(p.units) + 1, columns = static_cast<int>(p.costs.size());
  glp_add_rows(lp, rows);
  glp_add_cols(lp, columns);
  for (int u = 1; u < rows; ++u) glp_set_row_bnds(lp, u, GLP_FX, 1, 1);
  glp_set_row_bnds(lp, rows, GLP_UP, 0, p.limit);
  for (int c = 1; c <= columns; ++c) {
    const auto i = static_cast<std::size_t>(c - 1);
    glp_set_col_kind(lp, c, GLP_BV);
    glp_set_obj_coef(lp, c, p.costs[i]);
    const int row[3] = {0, static_cast<int>(i / instance::entries) + 1, rows};
    const double value[3] = {0, 1, static_cast<double>(p.bytes[i])};
    glp_set_mat_col(lp, c, 2, row, value);
  }
  glp_iocp options;
  glp_init_iocp(&options);
  options.presolve = GLP_ON;
  glp_intopt(lp, &options);
  const double objective = glp_mip_obj_val(lp);
  glp_delete_prob(lp);
  return objective;
}
#endif

#ifdef PRECIS_WITH_CBC
double cbc(const instance& p) {
  Cbc_Model* model = Cbc_newModel();
  const auto rows = static_cast<int>(p.units) + 1, columns = static_cast<int>(p.costs.size());
  std::vector<int> start, row;
  std::vector<double> value, zero(p.costs.size(), 0.0), one(p.costs.size(), 1.0);
  std::vector<double> low(static_cast<std::size_t>(rows), 1.0), high(static_cast<std::size_t>(rows), 1.0);
  low.back() = 0;
  high.back() = p.limit;
  for (std::size_t c = 0; c < p.costs.size(); ++c) {
    start.push_back(static_cast<int>(row.size()));
    row.insert(row.end(), {static_cast<int>(c / instance::entries), rows - 1});
    value.insert(value.end(), {1.0, static_cast<double>(p.bytes[c])});
  }
  start.push_back(static_cast<int>(row.size()));
  Cbc_loadProblem(model, columns, rows, start.data(), row.data(), value.data(), zero.data(), one.data(), p.costs.data(),
                  low.data(), high.data());
  for (int c = 0; c < columns; ++c) Cbc_setInteger(model, c);
  Cbc_setParameter(model, "logLevel", "0");
  Cbc_setParameter(model, "ratioGap", "0");
  Cbc_setParameter(model, "allowableGap", "0");
  Cbc_solve(model);
  const double objective = Cbc_getObjValue(model);
  Cbc_deleteModel(model);
  return objective;
}
#endif

const std::vector<peer> peers{
#ifdef PRECIS_WITH_GLPK
    {"glpk", glpk},
#endif
#ifdef PRECIS_WITH_CBC
    {"cbc", cbc},
#endif
};

void knapsack(benchmark::State& state, kind k, bool beside) {
  const auto units = static_cast<std::size_t>(state.range(0));
  const std::size_t seeds = beside ? 3 : 6;
  for (auto _ : state) {
    std::vector<double> times, reads;
    double proven = 0;
    struct against {
      std::vector<double> ratios;
      double above = std::numeric_limits<double>::infinity();
    };
    std::vector<against> found(peers.size());
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
      const instance p = make(units, k, seed);
      allocate::solver::selection s;
      std::vector<double> own, pass;
      for (int i = 0; i < 5; ++i) {
        own.push_back(seconds([&] { s = allocate::solver::choose(p.problem()); }));
        pass.push_back(seconds([&] {
          double sum = 0;
          for (std::size_t c = 0; c < p.costs.size(); ++c) sum += p.costs[c] + static_cast<double>(p.bytes[c]);
          benchmark::DoNotOptimize(sum);
        }));
      }
      times.push_back(median(own));
      reads.push_back(median(own) / median(pass));
      proven += s.optimal ? 1.0 / static_cast<double>(seeds) : 0.0;
      if (s.weight > p.limit) state.SkipWithError("over budget");
      if (!beside) continue;
      for (std::size_t i = 0; i < peers.size(); ++i) {
        double objective = 0;
        found[i].ratios.push_back(seconds([&] { objective = peers[i].solve(p); }) / median(own));
        found[i].above = std::min(found[i].above, (objective - s.value) / s.value);
      }
    }
    state.SetIterationTime(median(times));
    state.counters["worst_ms"] = 1e3 * *std::ranges::max_element(times);
    state.counters["reads"] = median(reads);
    state.counters["proven"] = proven;
    if (beside)
      for (std::size_t i = 0; i < peers.size(); ++i) {
        state.counters["x_" + peers[i].name] = median(found[i].ratios);
        state.counters["worst_x_" + peers[i].name] = *std::ranges::min_element(found[i].ratios);
        state.counters["above_" + peers[i].name] = found[i].above;
      }
  }
}
BENCHMARK_CAPTURE(knapsack, smooth, kind::smooth, false)
    ->Arg(100)
    ->Arg(1000)
    ->Arg(10000)
    ->Arg(100000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(knapsack, noisy, kind::noisy, false)
    ->Arg(100)
    ->Arg(1000)
    ->Arg(10000)
    ->Arg(100000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(knapsack, equal, kind::equal, false)
    ->Arg(100)
    ->Arg(1000)
    ->Arg(10000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(knapsack, smooth_beside, kind::smooth, true)
    ->Arg(100)
    ->Arg(1000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(knapsack, noisy_beside, kind::noisy, true)
    ->Arg(100)
    ->Arg(1000)
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

void kmeans(benchmark::State& state) {
  const random_stream random(1, purpose("benchmark"));
  std::vector<double> values;
  for (std::size_t i = 0; i < static_cast<std::size_t>(state.range(0)); ++i)
    values.push_back(std::exp(random.normal(i)));
  std::vector<double> times, ratios;
  for (auto _ : state) {
    std::vector<double> copy = values;
    const double sort = seconds([&] { std::ranges::sort(copy); });
    times.push_back(seconds([&] { benchmark::DoNotOptimize(allocate::cluster(values, 3).sse); }));
    ratios.push_back(times.back() / sort);
    state.SetIterationTime(times.back());
  }
  state.counters["x_sort"] = median(ratios);
}
BENCHMARK(kmeans)->Arg(100)->Arg(1000)->Arg(10000)->Arg(100000)->UseManualTime()->Iterations(15)->Unit(
    benchmark::kMicrosecond);

}  // namespace
