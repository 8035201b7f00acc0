#include <report/colour.hpp>
#include <report/svg.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>

using namespace report;

TEST_CASE("luminance and contrast of known colours", "[report][colour][worked-example]") {
  CHECK(luminance(black) == 0);
  CHECK(luminance(white) == Approx(1));
  CHECK(luminance({255, 0, 0}) == Approx(0.2126));
  CHECK(contrast(black, white) == Approx(21));
  CHECK(contrast(white, {118, 118, 118}) == Approx(4.54).margin(0.01));  // the lightest grey that passes 4.5 on white
  CHECK(hex({1, 171, 255}) == "#01abff");
}

TEST_CASE("colour maps: luminance is monotone as documented", "[report][colour][property]") {
  for (int i = 0; i <= 990; ++i) {
    const double t = i / 1000.0, next = t + 0.01;
    CHECK(luminance(sequential(next)) > luminance(sequential(t)));
    if (next <= 0.5) CHECK(luminance(diverging(next)) > luminance(diverging(t)));
    if (t >= 0.5) CHECK(luminance(diverging(next)) < luminance(diverging(t)));
  }
  CHECK(luminance(sequential(1)) > luminance(sequential(0)) + 0.6);
  CHECK(sequential(-1) == sequential(0));
  CHECK(sequential(2) == sequential(1));
  CHECK(sequential(std::nan("")) == sequential(0));
  CHECK(diverging(0).blue > diverging(0).red);
  CHECK(diverging(1).red > diverging(1).blue);
}

TEST_CASE("colour maps: equal steps have similar lightness differences", "[report][colour][property]") {
  // CIE lightness L* = 116 Y^(1/3) - 16 of 10 equal steps. OKLab's lightness and L* differ with hue, so they agree
  // within a factor, not exactly: no step is under half or over twice the mean.
  const auto lightness = [](rgb c) { return 116 * std::cbrt(luminance(c)) - 16; };
  const double mean = (lightness(sequential(1)) - lightness(sequential(0))) / 10;
  for (int i = 0; i < 10; ++i) {
    const double step = lightness(sequential((i + 1) / 10.0)) - lightness(sequential(i / 10.0));
    CHECK(step > mean / 2);
    CHECK(step < mean * 2);
  }
}

TEST_CASE("ink_on @post: contrast of at least 4.58 on every colour", "[report][colour][property]") {
  double least = 21;
  for (int r = 0; r < 256; r += 5)
    for (int g = 0; g < 256; g += 3)
      for (int b = 0; b < 256; b += 15) {
        const rgb c{static_cast<std::uint8_t>(r), static_cast<std::uint8_t>(g), static_cast<std::uint8_t>(b)};
        least = std::min(least, contrast(ink_on(c), c));
      }
  CHECK(least >= 4.58);
}

TEST_CASE("theme colours contrast with the light and the dark background", "[report][colour][property]") {
  for (const paint& p : {ink, muted}) {
    CHECK(contrast(p.light, paper.light) >= 4.5);
    CHECK(contrast(p.dark, paper.dark) >= 4.5);
  }
}
