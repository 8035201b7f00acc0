#include <precis/fit/power.hpp>

#include <precis/core/random.hpp>
#include <precis/kernel/lanes_scalar.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

using namespace precis;

TEST_CASE("power is within its tolerance of std::pow, with the same bits in all lanes", "[fit][power][oracle]") {
  const random_stream draw(1, purpose("powers"));
  std::vector<float> x{
      0.f,         0x1p-126f,   1e-30f, 0.25f,      std::nextafter(1.f, 0.f), 1.f, std::nextafter(1.f, 2.f),
      1.41421354f, 1.41421366f, 2.f,    3.99999976f};
  for (std::size_t i = 0; x.size() < 4096; ++i)
    x.push_back(
        static_cast<float>(std::max(1e-37, 3.999 * std::pow(draw.uniform(2 * i), 1 + 20 * draw.uniform(2 * i + 1)))));
  for (const float p : {0.1f, 0.7f, 1.f, 2.4f, 3.f, 8.f, 30.f}) {
    std::vector<float> native(x.size()), scalar(x.size());
    using lanes = kernel::native_lanes;
    for (std::size_t i = 0; i < x.size(); i += lanes::width)
      lanes::store(&native[i], fit::power<lanes>(lanes::load(&x[i]), p));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      scalar[i] = fit::power<kernel::scalar_lanes>(x[i], p);
      const double exact = std::pow(static_cast<double>(x[i]), static_cast<double>(p));
      CAPTURE(p, x[i], scalar[i], exact);
      if (exact < 0x1p-100)
        CHECK(std::abs(static_cast<double>(scalar[i]) - exact) <= 0x1p-100);
      else
        worst = std::max(worst, std::abs(static_cast<double>(scalar[i]) / exact - 1));
    }
    CAPTURE(p, worst);
    CHECK(std::memcmp(native.data(), scalar.data(), native.size() * sizeof(float)) == 0);
    CHECK(worst <= fit::power_tolerance * static_cast<double>(p + 1));
  }
}
