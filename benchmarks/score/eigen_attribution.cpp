// Eigen-attribution: the effects of the singular values of one matrix for samples of tokens, on one thread, compared in
// the same run with
//
//   products   the two products alone: gradients x U and inputs x V
//   parts      the published algorithm: for each singular value, form its rank-one part, apply it to the differences of
//              the inputs, and take the maximum over pairs and tokens of the inner products with the gradients. It is
//              timed for 32 singular values and extrapolated; its results must agree to 1e-6 of the largest
//   eigen      the SVD by Eigen's BDCSVD in float, with all factors
//
// Data: d x d weights, 80 samples of 8 tokens, normal numbers; one partner per sample, or all 79.
//
// Counters: effects_ms, svd_ms, products_ms: times. x_products: (effects + SVD) / (products + SVD), at most 1.2.
// x_parts: parts / effects. x_parts_svd: (parts + SVD) / (effects + SVD). x_eigen: BDCSVD / our SVD. peak: throughput
// of the effects (4 rows d^2 operations) relative to the fused multiply-add peak measured in the same run.
// all_over_one: time of all pairs relative to one partner per sample.

#include <precis/core/random.hpp>
#include <precis/linear_algebra/singular_values.hpp>
#include <precis/score/eigenpruning/cycle.hpp>
#include <precis/score/eigenpruning/every_pair.hpp>

#include "yardstick.hpp"

#include <Eigen/Core>
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
using namespace precis::score;
using yardstick::seconds;

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
constexpr std::size_t samples = 80, tokens = 8;

[[nodiscard]] auto map_of(const activations& a) {
  return Eigen::Map<const row_major>(a.values.data(), static_cast<Eigen::Index>(a.sequences * a.tokens),
                                     static_cast<Eigen::Index>(a.features));
}

struct problem {
  std::size_t width;
  float_matrix w;
  activations x, g;
  linear_algebra::singular_system parts;
  double svd = 0, peer = 0, parts_time = 0;
  bool agrees = false;

  explicit problem(std::size_t d) : width(d), w(d, d), x(samples, tokens, d), g(samples, tokens, d) {
    const random_stream draw(1, purpose("eigen_attribution benchmark"));
    std::uint64_t at = 0;
    for (std::vector<float>* all : {&w.values, &x.values, &g.values})
      for (float& v : *all) v = static_cast<float>(draw.normal(at++));
    std::vector<double> ours, theirs;
    for (int i = 0; i < (d > 512 ? 2 : 7); ++i) {
      ours.push_back(seconds([&] { parts = linear_algebra::singular_values(w.view()); }));
      theirs.push_back(seconds([&] {
        const Eigen::Map<const row_major> m(w.values.data(), static_cast<Eigen::Index>(d),
                                            static_cast<Eigen::Index>(d));
        const Eigen::BDCSVD<Eigen::MatrixXf> decomposed(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
        benchmark::DoNotOptimize(decomposed.singularValues().data());
      }));
    }
    svd = yardstick::median(ours);
    peer = yardstick::median(theirs);
    compare_parts();
  }

  [[nodiscard]] eigenpruning::observed seen() const { return {x.view(), g.view()}; }
  [[nodiscard]] std::vector<eigenpruning::tracked> tracked() const {
    std::vector<eigenpruning::tracked> one;
    one.emplace_back(matrix_slice{.name = "w", .out = width, .in = width}, parts);
    return one;
  }
  [[nodiscard]] double operations() const {
    return 4.0 * static_cast<double>(samples * tokens * width) * static_cast<double>(width);
  }

  static const problem& of(std::size_t d) {
    static std::map<std::size_t, problem> all;
    return all.try_emplace(d, d).first->second;
  }

 private:
  /// Times explicit rank-one parts for `tried` singular values and compares their effects.
  void compare_parts() {
    const auto gradients = map_of(g);
    row_major differences = -map_of(x);
    const auto sample = static_cast<Eigen::Index>(tokens);
    differences.bottomRows(differences.rows() - sample) += map_of(x).topRows(differences.rows() - sample);
    differences.topRows(sample) += map_of(x).bottomRows(sample);
    std::vector<float> effects;
    constexpr std::size_t tried = 32;
    const double time = seconds([&] {
      for (std::size_t i = 0; i < tried; ++i) {
        const std::size_t r = i * width / tried;
        row_major part(width, width);
        for (std::size_t o = 0; o < width; ++o)
          for (std::size_t f = 0; f < width; ++f)
            part(static_cast<Eigen::Index>(o), static_cast<Eigen::Index>(f)) =
                static_cast<float>(parts.left(r, o)) * static_cast<float>(parts.right(r, f));
        row_major image(differences.rows(), gradients.cols());
        image.noalias() = differences * part.transpose();
        effects.push_back(image.cwiseProduct(gradients).rowwise().sum().maxCoeff());
      }
    });
    parts_time = time * static_cast<double>(width) / tried;
    eigenpruning::cycle pairs("w", tracked(), eigenpruning::reduction::max_over_pairs_and_tokens);
    pairs.add(seen(), sequential{});
    pairs.close(sequential{});
    const std::vector<float>& ours = pairs.slices()[0].most;
    const float largest = *std::ranges::max_element(ours);
    agrees = true;
    for (std::size_t i = 0; i < tried; ++i)
      agrees = agrees && std::abs(effects[i] - ours[i * width / tried]) < 1e-6f * largest;
  }
};

void effects(benchmark::State& state, std::size_t width) {
  const problem& p = problem::of(width);
  if (!p.agrees) state.SkipWithError("the effects differ from those of explicit rank-one parts");
  std::vector<float> workspace(kernel::product_workspace);
  const std::vector<eigenpruning::tracked> parts = p.tracked();
  float_matrix a(samples * tokens, width), b(samples * tokens, width);
  std::vector<double> one, all, products, shares, ratio, all_over_one;
  for (auto _ : state) {
    const double peak_before = yardstick::fma_peak();
    eigenpruning::cycle one_partner("w", p.tracked(), eigenpruning::reduction::max_over_pairs_and_tokens);
    eigenpruning::every_pair all_partners("w", p.tracked(), eigenpruning::reduction::max_over_pairs_and_tokens);
    one.push_back(seconds([&] {
      one_partner.add(p.seen(), sequential{});
      one_partner.close(sequential{});
    }));
    all.push_back(seconds([&] { all_partners.add_all_samples(p.seen(), sequential{}); }));
    products.push_back(seconds([&] {
      kernel::product(p.g.view().as_matrix(), parts[0].left.view(), a.view(), workspace);
      kernel::product(p.x.view().as_matrix(), parts[0].right.view(), b.view(), workspace);
    }));
    const double peak = std::max(peak_before, yardstick::fma_peak());
    shares.push_back(p.operations() / one.back() / peak);
    ratio.push_back((one.back() + p.svd) / (products.back() + p.svd));
    all_over_one.push_back(all.back() / one.back());
    state.SetIterationTime(one.back());
  }
  const double time = yardstick::median(one);
  state.counters["effects_ms"] = time * 1e3;
  state.counters["svd_ms"] = p.svd * 1e3;
  state.counters["products_ms"] = yardstick::median(products) * 1e3;
  state.counters["x_products"] = yardstick::median(ratio);
  state.counters["x_parts"] = p.parts_time / time;
  state.counters["x_parts_svd"] = (p.parts_time + p.svd) / (time + p.svd);
  state.counters["x_eigen"] = p.peer / p.svd;
  state.counters["peak"] = yardstick::median(shares);
  state.counters["all_over_one"] = yardstick::median(all_over_one);
}

const bool registered = [] {
  for (const std::size_t width : {256u, 1024u})
    benchmark::RegisterBenchmark(("eigen_attribution/" + std::to_string(width)).c_str(),
                                 [=](benchmark::State& s) { effects(s, width); })
        ->UseManualTime()
        ->Iterations(21)
        ->Unit(benchmark::kMillisecond);
  return true;
}();

}  // namespace
