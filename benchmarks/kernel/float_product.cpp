// kernel::product on the shapes of a transformer, compared with the FMA peak and Eigen's product, interleaved in one
// run. Counters: medians in GFLOP/s; of_peak and of_eigen are medians of the ratios within one round.

#include <precis/kernel/float_product.hpp>

#include "yardstick.hpp"

#include <benchmark/benchmark.h>
#include <Eigen/Core>

#include <cstddef>
#include <vector>

namespace {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using transposed = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

/// rows x inner x cols; weights are stored `in x out` (0) or `out x in` (1).
void product(benchmark::State& state) {
  const auto rows = static_cast<std::size_t>(state.range(0)), inner = static_cast<std::size_t>(state.range(1)),
             cols = static_cast<std::size_t>(state.range(2));
  const bool by_column = state.range(3) == 1;
  std::vector<float> a(rows * inner, 0.5f), b(inner * cols, 0.25f), c(rows * cols);
  std::vector<float> workspace(precis::kernel::product_workspace);
  const auto r = state.range(0), k = state.range(1), n = state.range(2);
  const precis::kernel::strided<const float> left{a.data(), rows, inner, k, 1};
  const precis::kernel::strided<const float> right{b.data(), inner, cols, by_column ? 1 : n, by_column ? k : 1};
  const Eigen::Map<const matrix> eigen_left(a.data(), r, k);
  const Eigen::Map<const matrix> eigen_rows(b.data(), k, n);
  const Eigen::Map<const transposed> eigen_columns(b.data(), k, n);
  Eigen::Map<matrix> eigen_out(c.data(), r, n);

  const double operations = 2.0 * static_cast<double>(rows * inner * cols);
  const int repeats = static_cast<int>(1 + 2e8 / operations);
  std::vector<double> ours, eigens, of_peak, of_eigen, quiet;
  for (auto _ : state) {
    quiet.push_back(yardstick::undisturbed());
    const double peak = yardstick::fma_peak();
    const double mine =
        operations * repeats / yardstick::seconds([&] {
          for (int i = 0; i < repeats; ++i)
            precis::kernel::product(left, right, precis::kernel::strided<float>{c.data(), rows, cols, n, 1}, workspace);
        });
    benchmark::DoNotOptimize(c.data());
    const double eigen = operations * repeats / yardstick::seconds([&] {
                           for (int i = 0; i < repeats; ++i) {
                             if (by_column)
                               eigen_out.noalias() = eigen_left * eigen_columns;
                             else
                               eigen_out.noalias() = eigen_left * eigen_rows;
                           }
                         });
    benchmark::DoNotOptimize(c.data());
    state.SetIterationTime(operations / mine);
    ours.push_back(mine * 1e-9);
    eigens.push_back(eigen * 1e-9);
    of_peak.push_back(mine / peak);
    of_eigen.push_back(mine / eigen);
  }
  state.counters["gflops"] = yardstick::median(ours);
  state.counters["eigen"] = yardstick::median(eigens);
  state.counters["of_peak"] = yardstick::median(of_peak);
  state.counters["of_eigen"] = yardstick::median(of_eigen);
  state.counters["undisturbed"] = yardstick::mean(quiet);
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"rows", "in", "out", "out_x_in"});
  for (const int by_column : {0, 1}) {
    b->Args({2048, 256, 1024, by_column});
    b->Args({2048, 1024, 256, by_column});
    b->Args({2048, 256, 768, by_column});
    b->Args({2048, 256, 256, by_column});
    b->Args({1000, 256, 1024, by_column});
    b->Args({100, 256, 1024, by_column});
    b->Args({16, 256, 1024, by_column});
    b->Args({1, 256, 1024, by_column});
  }
}
BENCHMARK(product)->Apply(shapes)->UseManualTime()->Iterations(21)->Unit(benchmark::kMicrosecond);

}  // namespace
