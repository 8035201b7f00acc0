#include <engine/model/gated_norm.hpp>

#include "catch.hpp"
#include "engine/differences.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

using engine::gate_order;
using engine::gated_norm;

namespace {

struct numbers {
  gate_order order;
  std::size_t groups;
  double epsilon;
  std::vector<double> x, z, weight;

  [[nodiscard]] std::vector<double> made() const {
    const std::size_t n = x.size(), width = n / groups;
    const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
    std::vector<double> y(n);
    for (std::size_t g = 0; g < groups; ++g) {
      double square = 0;
      for (std::size_t i = g * width; i < (g + 1) * width; ++i) {
        y[i] = order == gate_order::norm_then_gate ? x[i] : x[i] * silu(z[i]);
        square += y[i] * y[i];
      }
      for (std::size_t i = g * width; i < (g + 1) * width; ++i) {
        if (order != gate_order::gate_alone)
          y[i] *= weight[i % weight.size()] / std::sqrt(square / static_cast<double>(width) + epsilon);
        if (order == gate_order::norm_then_gate) y[i] *= silu(z[i]);
      }
    }
    return y;
  }
};

}  // namespace

TEST_CASE("the gated norm in its three orders, with groups", "[engine][gated_norm][oracle]") {
  for (const gate_order order : {gate_order::gate_alone, gate_order::gate_then_norm, gate_order::norm_then_gate})
    for (const std::size_t groups : {1u, 3u})
      for (const bool shared : {false, true}) {
        const std::size_t n = 21;
        const std::vector<float> x = support::waves(n, 0.3, 2), z = support::waves(n, 1.7, 3),
                                 weight = support::waves(shared ? n / groups : n, 2.9), dy = support::waves(n, 4.1);
        numbers ref{order, groups, 0.01, support::doubles(x), support::doubles(z), support::doubles(weight)};
        const gated_norm norm{.order = order, .groups = groups, .epsilon = 0.01f, .weight = weight};
        std::vector<float> y(n);
        norm(x, z, y);
        CHECK(support::distance(y, ref.made()) < 2e-6);
        std::vector<float> in_place = x;
        norm(in_place, z, in_place);
        CHECK(in_place == y);

        std::vector<float> dx(n, 99.f), dz(n, 99.f);
        std::vector<double> d_weight(weight.size(), 0.0);
        norm.backward(x, z, dy, dx, dz, d_weight);
        const auto loss = [&] { return support::along(ref.made(), dy); };
        CHECK(support::gradient_error(ref.x, dx, loss) < 1e-6);
        CHECK(support::gradient_error(ref.z, dz, loss) < 1e-6);
        if (order != gate_order::gate_alone)
          CHECK(support::gradient_error(ref.weight, {d_weight.begin(), d_weight.end()}, loss) < 1e-6);
        std::vector<float> same_x(n), same_z(n);
        norm.backward(x, z, dy, same_x, same_z, {});
        CHECK(same_x == dx);
        CHECK(same_z == dz);
      }
}
