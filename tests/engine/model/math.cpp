#include <engine/model/math.hpp>

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace {

/// Distance in ulps of the correctly rounded result.
double error_in_ulps(float found, double exact) {
  const auto rounded = static_cast<float>(exact);
  const float next = std::nextafter(rounded, std::numeric_limits<float>::infinity());
  return std::abs(static_cast<double>(found) - exact) / (static_cast<double>(next) - static_cast<double>(rounded));
}

}  // namespace

TEST_CASE("exponential is within 1 ulp of e^x, 2 for subnormal results", "[engine][math][oracle]") {
  double worst = 0, worst_subnormal = 0;
  for (float x = -103.9f; x < 88.7f; x += 0.0007f) {
    double& w = x < -87.33f ? worst_subnormal : worst;
    w = std::max(w, error_in_ulps(engine::exponential(x), std::exp(static_cast<double>(x))));
  }
  CHECK(worst <= 1);
  CHECK(worst_subnormal <= 2);
  CHECK(engine::exponential(0.f) == 1.f);
  CHECK(engine::exponential(-1000.f) == 0.f);
  CHECK(engine::exponential(-std::numeric_limits<float>::infinity()) == 0.f);
  CHECK(engine::exponential(89.f) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(engine::exponential(std::numeric_limits<float>::quiet_NaN())));
}

TEST_CASE("activations and their slopes agree with their definitions in double", "[engine][math][oracle]") {
  // Absolute error relative to |x|: x and the factor are each rounded by one ulp, about 1e-7 of |x|.
  const auto logistic = [](double x) { return 1 / (1 + std::exp(-x)); };
  const auto tanh_form = [](double x) {
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
  };
  const auto erf_form = [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); };
  const auto silu_form = [&](double x) { return x * logistic(x); };
  const auto check = [](auto function, auto exact) {
    using one = engine::scalar_lanes;
    for (float x = -12.f; x < 12.f; x += 0.0013f) {
      const auto d = static_cast<double>(x);
      const double size = 1 + std::abs(d);
      REQUIRE(std::abs(static_cast<double>(function.template value<one>(x)) - exact(d)) < 4e-7 * size);
      const double difference = (exact(d + 1e-5) - exact(d - 1e-5)) / 2e-5;  // error of the difference itself: 1e-10
      REQUIRE(std::abs(static_cast<double>(function.template slope<one>(x)) - difference) < 1e-6 * size);
    }
  };
  check(engine::gelu_tanh{}, tanh_form);
  check(engine::gelu_erf{}, erf_form);
  check(engine::silu{}, silu_form);
}

TEST_CASE("element-wise functions are bit-identical for every lane type", "[engine][math][property]") {
  std::vector<float> x;
  for (float v = -110.f; v < 95.f; v += 0.013f) x.push_back(v);
  for (const float v : {0.f, -0.f, 1e-40f, -1e-40f, 1e30f, -1e30f, std::numeric_limits<float>::infinity(),
                        -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    x.push_back(v);
  std::vector<float> wide(x.size());
  const auto check = [&](auto in_lanes, auto scalar) {
    engine::for_each_lane(in_lanes, x.size(), wide.data(), x.data());
    std::size_t different = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float expected = scalar(x[i]);
      different += std::isnan(expected)
                       ? !std::isnan(wide[i])
                       : std::bit_cast<std::uint32_t>(wide[i]) != std::bit_cast<std::uint32_t>(expected);
    }
    CHECK(different == 0);
  };
  using one = engine::scalar_lanes;
  check([]<class L>(L, auto v) { return engine::exponential<L>(v); }, [](float v) { return engine::exponential(v); });
  const auto check_activation = [&]<class F>(F) {
    check([]<class L>(L, auto v) { return F::template value<L>(v); },
          [](float v) { return F::template value<one>(v); });
    check([]<class L>(L, auto v) { return F::template slope<L>(v); },
          [](float v) { return F::template slope<one>(v); });
  };
  check_activation(engine::gelu_tanh{});
  check_activation(engine::gelu_erf{});
  check_activation(engine::silu{});
  check_activation(engine::relu{});
}

TEST_CASE("relu and its slope, including values around zero", "[engine][math][worked-example]") {
  using one = engine::scalar_lanes;
  const float tiny = std::numeric_limits<float>::denorm_min();
  for (const float x : {-1e30f, -2.5f, -tiny, -0.f, 0.f}) {
    CHECK(engine::relu::value<one>(x) == 0.f);
    CHECK(engine::relu::slope<one>(x) == 0.f);
  }
  for (const float x : {tiny, 1e-38f, 2.5f, 1e30f, std::numeric_limits<float>::infinity()}) {
    CHECK(engine::relu::value<one>(x) == x);
    CHECK(engine::relu::slope<one>(x) == 1.f);
  }
}

TEST_CASE("softmax sums to one, is invariant under a shift and zeroes the padding", "[engine][math][property]") {
  for (std::size_t n = 1; n < 70; ++n) {
    std::vector<float> x(engine::whole_lanes(n), 99.f), shifted = x;
    for (std::size_t i = 0; i < n; ++i) {
      x[i] = static_cast<float>((i * 37) % 11) - 4.f;
      shifted[i] = x[i] + 64.f;  // exact
    }
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) total += std::exp(0.5 * static_cast<double>(x[i]));
    const std::vector<float> before = x;
    engine::softmax(x.data(), n, 0.5f);
    engine::softmax(shifted.data(), n, 0.5f);
    CHECK(x == shifted);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double exact = i < n ? std::exp(0.5 * static_cast<double>(before[i])) / total : 0;
      CHECK(static_cast<double>(x[i]) == Approx(exact).epsilon(3e-7));
    }
  }
}

TEST_CASE("lane_sum and largest read every element once", "[engine][math][worked-example]") {
  for (std::size_t n = 1; n < 50; ++n) {
    std::vector<float> x(n);
    std::iota(x.begin(), x.end(), 1.f);
    CHECK(engine::lane_sum(n, [&](std::size_t i) { return static_cast<double>(x[i]); }) ==
          static_cast<double>(n * (n + 1) / 2));
    for (std::size_t top = 0; top < n; ++top) {
      std::vector<float> y(n, -3.f);
      y[top] = -2.f;
      CHECK(engine::largest(y.data(), n) == -2.f);
    }
  }
}

TEST_CASE("a token's loss is a multiple of 2^-32 nats", "[engine][math][worked-example]") {
  CHECK(engine::token_loss(3.5, 1.25f) == 2.25);
  CHECK(engine::token_loss(1.0 + 0x1p-34, 0.f) == 1.0);
  CHECK(engine::token_loss(1.0 + 0x1.8p-33, 0.f) == 1.0 + 0x1p-32);
}
