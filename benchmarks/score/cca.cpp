// Canonical correlations of 12 layers, 2,000 rows, all 66 pairs, on one thread, with five algorithms in the same run:
//
//   precis        score::cca: all correlations, or for /index only the sum of their squares
//   svcca         the algorithm of google/svcca, per pair: the covariances of both layers, their inverse square roots
//                 from eigenvectors, and the SVD of the whitened cross-covariance (singular values and vectors)
//   fresh         per pair: a QR of both layers, and the singular values of Q^T Q
//   reused        12 QRs, then Q^T Q and its singular values per pair
//   reused_index  12 QRs, then |Q^T Q|^2 per pair
//
// The last four use Eigen: HouseholderQR with its thin Q, SelfAdjointEigenSolver, BDCSVD. svcca and fresh are timed on
// one pair and multiplied by 66; reused is timed on three layers and three pairs and multiplied by 4 and 22. The three
// pairs must agree to 1e-6; otherwise the benchmark reports an error.
//
// The data is in float. Layer l is layer l-1 mixed with new noise. The columns have equal scales (even), or their
// scales decrease by a factor of 1000 and neighbours are mixed (steep), which resembles residual streams.
//
// Counters: svcca_s, fresh_s, reused_s or reused_index_s: times; x_...: these relative to precis. gflops: operations
// per second of the 12 bases (2 rows features^2 each) and 66 products (2 rows features^2 each); peak: the same relative
// to the peak of fused multiply-adds in double, measured just before and after; products: that share for the products
// alone.

#include <precis/core/random.hpp>
#include <precis/kernel/constants.hpp>
#include <precis/kernel/lanes.hpp>
#include <precis/score/cca.hpp>

#include "yardstick.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;
using yardstick::seconds;

namespace {

using matrix = Eigen::MatrixXd;
constexpr std::size_t layers = 12, rows = 2000, pairs = layers * (layers - 1) / 2;

/// Peak floating-point operations per second of ten chains of fused multiply-adds in double: the best of several
/// attempts.
double fma_peak() {
  using lanes = kernel::native_double_lanes;
  using kernel::for_constants;
  constexpr std::size_t chains = 10, steps = 100'000;
  double values[(chains + 1) * lanes::width];
  for (std::size_t i = 0; i < (chains + 1) * lanes::width; ++i) values[i] = 1e-9 * static_cast<double>(i + 1);
  benchmark::DoNotOptimize(values);
  double best = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double time = seconds([&] {
      typename lanes::vector sum[chains];
      for_constants<chains>([&](auto c) { sum[c] = lanes::load(values + c * lanes::width); });
      const typename lanes::vector factor = lanes::load(values + chains * lanes::width);
      for (std::size_t step = 0; step < steps; ++step)
        for_constants<chains>([&](auto c) { sum[c] = lanes::fma(sum[c], factor, sum[c]); });
      for_constants<chains>([&](auto c) { lanes::store(values + c * lanes::width, sum[c]); });
    });
    benchmark::DoNotOptimize(values);
    best = std::max(best, 2.0 * chains * lanes::width * steps / time);
  }
  return best;
}

std::vector<float_matrix> make_layers(std::size_t features, bool steep) {
  std::vector<float_matrix> all;
  matrix stream = matrix::Zero(rows, static_cast<Eigen::Index>(features));
  for (std::size_t l = 0; l < layers; ++l) {
    const random_stream draw(1, purpose("cca benchmark") + l);
    float_matrix x(rows, features);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < features; ++c) {
        double& s = stream(static_cast<Eigen::Index>(r), static_cast<Eigen::Index>(c));
        s = 0.9 * s + 0.5 * draw.normal(r * features + c);
        const double place = static_cast<double>(c) / static_cast<double>(features);
        x(r, c) = static_cast<float>(s * (steep ? std::pow(1e-3, place) : 1.0));
        if (steep && c > 0) x(r, c) += 0.5f * x(r, c - 1);
      }
    all.push_back(std::move(x));
  }
  return all;
}

matrix centred(const float_matrix& x) {
  using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  matrix m =
      Eigen::Map<const row_major>(x.values.data(), static_cast<Eigen::Index>(x.rows), static_cast<Eigen::Index>(x.cols))
          .cast<double>();
  m.rowwise() -= m.colwise().mean().eval();
  return m;
}

matrix orthonormal(const matrix& x) {
  const Eigen::HouseholderQR<matrix> qr(x);
  return qr.householderQ() * matrix::Identity(x.rows(), x.cols());
}

matrix cross(const matrix& a, const matrix& b) {
  matrix c(a.cols(), b.cols());
  c.noalias() = a.transpose() * b;
  return c;
}

double mean_of(const Eigen::VectorXd& values) { return values.cwiseMin(1.0).mean(); }
double mean_correlation(const matrix& c) { return mean_of(Eigen::BDCSVD<matrix>(c).singularValues()); }

double as_svcca(const matrix& x, const matrix& y) {
  const auto count = static_cast<double>(x.rows() - 1);
  const matrix xx = cross(x, x) / count, yy = cross(y, y) / count, xy = cross(x, y) / count;
  const auto inverse_root = [](const matrix& m) -> matrix {
    const Eigen::SelfAdjointEigenSolver<matrix> e(m);
    return e.eigenvectors() * e.eigenvalues().cwiseSqrt().cwiseInverse().asDiagonal() * e.eigenvectors().transpose();
  };
  const matrix between = inverse_root(xx) * xy * inverse_root(yy);
  return mean_of(Eigen::BDCSVD<matrix>(between, Eigen::ComputeThinU | Eigen::ComputeThinV).singularValues());
}

/// The times of the other algorithms, measured once per width and shape of data.
struct others {
  double svcca = 0, fresh = 0, reused = 0, reused_index = 0;
  double pair[3] = {};  ///< (0, 1), (0, 2), (1, 2) by QR
  double by_svcca = 0;  ///< (0, 1)

  explicit others(const std::vector<float_matrix>& all) {
    matrix x[3], q[3];
    double qr = 0, product = 0, values = 0, squares = 0;
    for (int i = 0; i < 3; ++i) x[i] = centred(all[static_cast<std::size_t>(i)]);
    for (int i = 0; i < 3; ++i) qr += seconds([&] { q[i] = orthonormal(x[i]); });
    const std::pair<int, int> which[] = {{0, 1}, {0, 2}, {1, 2}};
    for (std::size_t p = 0; p < 3; ++p) {
      matrix c;
      product += seconds([&] { c = cross(q[which[p].first], q[which[p].second]); });
      values += seconds([&] { pair[p] = mean_correlation(c); });
      double sum = 0;
      squares += seconds([&] { sum = c.squaredNorm(); });
      benchmark::DoNotOptimize(sum);
    }
    constexpr double per_pair = static_cast<double>(pairs) / 3;
    reused = 4 * qr + per_pair * (product + values);
    reused_index = 4 * qr + per_pair * (product + squares);
    fresh = per_pair * (2 * qr + product + values);
    svcca = static_cast<double>(pairs) * seconds([&] { by_svcca = as_svcca(x[0], x[1]); });
  }
};

struct problem {
  std::vector<float_matrix> data;
  others rest;
  problem(std::size_t features, bool steep) : data(make_layers(features, steep)), rest(data) {}

  static const problem& of(std::size_t features, bool steep) {
    static std::map<std::pair<std::size_t, bool>, problem> all;
    return all.try_emplace({features, steep}, features, steep).first->second;
  }
};

void cca(benchmark::State& state, std::size_t features, bool steep, bool index) {
  const problem& p = problem::of(features, steep);
  std::vector<site> sites;
  std::vector<matrix_view<const float>> views;
  for (const float_matrix& x : p.data) {
    sites.push_back({site_kind::residual, sites.size() + 1});
    views.push_back(x.view());
  }
  const score::cca scorer{.of_pair = index ? score::cca::summary::mean_square : score::cca::summary::mean};
  std::vector<double> times, shares;
  score::cca_table table;
  const double width = static_cast<double>(features);
  const double operations = 2 * static_cast<double>(rows) * width * width * static_cast<double>(layers + pairs);
  for (auto _ : state) {
    const double before = fma_peak();
    const double time = seconds([&] { table = scorer.compare(sites, views); });
    const double peak = std::max(before, fma_peak());
    state.SetIterationTime(time);
    times.push_back(time);
    shares.push_back(operations / time / peak);
  }
  const std::pair<std::size_t, std::size_t> which[] = {{0, 1}, {0, 2}, {1, 2}};
  for (std::size_t i = 0; i < 3 && !index; ++i)
    if (std::abs(table.similarity(which[i].first, which[i].second) - p.rest.pair[i]) > 1e-6 ||
        std::abs(p.rest.by_svcca - p.rest.pair[0]) > 1e-6)
      state.SkipWithError("the algorithms disagree");

  // The products alone.
  std::vector<double> work(kernel::product_workspace), products;
  const auto a = score::canonical::span_of(views[0], {}, false, "a", work);
  const auto b = score::canonical::span_of(views[1], {}, false, "b", work);
  for (int i = 0; i < 9; ++i) {
    const double peak = fma_peak();
    const double time = seconds([&] { benchmark::DoNotOptimize(score::canonical::cross_product(a, b, work)); });
    products.push_back(2 * static_cast<double>(rows) * width * width / time / peak);
  }

  const double time = yardstick::median(times);
  const double reused = index ? p.rest.reused_index : p.rest.reused;
  state.counters["svcca_s"] = p.rest.svcca;
  state.counters["fresh_s"] = p.rest.fresh;
  state.counters[index ? "reused_index_s" : "reused_s"] = reused;
  state.counters["x_svcca"] = p.rest.svcca / time;
  state.counters["x_fresh"] = p.rest.fresh / time;
  state.counters["x_reused"] = reused / time;
  state.counters["gflops"] = operations / time * 1e-9;
  state.counters["peak"] = yardstick::median(shares);
  state.counters["products"] = yardstick::median(products);
}

const bool registered = [] {
  for (const std::size_t features : {64u, 256u, 768u})
    for (const bool steep : {false, true})
      for (const bool index : {false, true})
        benchmark::RegisterBenchmark(
            ("cca/" + std::to_string(features) + (steep ? "/steep" : "/even") + (index ? "/index" : "/correlations"))
                .c_str(),
            [=](benchmark::State& s) { cca(s, features, steep, index); })
            ->UseManualTime()
            ->Iterations(features == 768 ? 1 : 5)
            ->Unit(benchmark::kMillisecond);
  return true;
}();

}  // namespace
