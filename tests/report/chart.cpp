#include <report/chart.hpp>

#include <precis/core/error.hpp>

#include "catch.hpp"
#include "report/picture.hpp"

#include <limits>
#include <set>
#include <string>

using namespace report;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN(),
             infinity = std::numeric_limits<double>::infinity();

bar_chart layers(std::size_t n) {
  bar_chart c{.title = "Layer scores",
              .subtitle = "48 facts",
              .category_label = "layer",
              .value_label = "score (probability)",
              .bars = {},
              .levels = {{0.3, "z = -0.5"}, {0.31, "z = +0.5"}}};
  for (std::size_t i = 0; i < n; ++i)
    c.bars.push_back(
        {std::to_string(i), static_cast<double>(i + 1) / static_cast<double>(n), static_cast<tier>(i % 3)});
  return c;
}

line_chart curves(std::size_t n) {
  line_chart c{.title = "Quality against size",
               .subtitle = {},
               .x_label = "size (MB)",
               .y_label = "perplexity",
               .lines = {},
               .levels = {{29.4, "original 29.4"}}};
  for (std::size_t k = 0; k < n; ++k) {
    c.lines.push_back({"scorer number " + std::to_string(k), {}, k % 2 ? uncertainty::band : uncertainty::bars});
    for (int i = 1; i < 6; ++i)
      c.lines.back().points.push_back({5.0 * i, 30.0 + 20.0 / i, 29.5 + 20.0 / i, 31.0 + 20.0 / i});
  }
  return c;
}

std::set<std::string> texts(const std::string& svg) {
  std::set<std::string> out;
  for (const picture::element& e : picture::read(svg).elements)
    if (e.name == "text") out.insert(e.text);
  return out;
}

}  // namespace

TEST_CASE("bar_chart: no text is cut off or overlaps another, for any number and length of labels",
          "[report][chart][property]") {
  for (const std::size_t n : {1u, 2u, 6u, 12u, 48u, 130u}) {
    INFO(n);
    bar_chart c = layers(n);
    CHECK(picture::faults(draw(c)) == "");
    for (bar& b : c.bars) b.label = "block." + b.label + ".attention.query";
    CHECK(picture::faults(draw(c)) == "");
  }
}

TEST_CASE("bar_chart: heights are proportional to values, from zero", "[report][chart][worked-example]") {
  bar_chart c = layers(4);
  c.bars[0].value = 1;
  c.bars[1].value = 2;
  c.bars[2].value = -1;
  c.bars[3].value = 0.5;
  c.levels.clear();
  const std::vector<picture::element> bars = picture::cells(draw(c));
  REQUIRE(bars.size() == 4);
  const double unit = picture::value(bars[0], "height");
  CHECK(picture::value(bars[1], "height") == Approx(2 * unit).margin(0.02));
  CHECK(picture::value(bars[2], "height") == Approx(unit).margin(0.02));
  CHECK(picture::value(bars[3], "height") == Approx(unit / 2).margin(0.02));
  const double zero = picture::value(bars[0], "y") + unit;
  CHECK(picture::value(bars[2], "y") == Approx(zero).margin(0.02));
}

TEST_CASE("bar_chart: tiers differ in colour, contrast with light and dark backgrounds, and are in the legend",
          "[report][chart][property]") {
  bar_chart c = layers(3);
  c.tier_names = {"low: 8 bits", "medium: 16 bits", "high: 24 bits"};
  const std::string svg = draw(c);
  std::set<std::string> colours;
  for (const picture::element& e : picture::cells(svg)) {
    colours.insert(e.attributes.at("fill"));
    CHECK(contrast(picture::colour(e), paper.light) >= 3);
    CHECK(contrast(picture::colour(e), paper.dark) >= 3);
  }
  CHECK(colours.size() == 3);
  for (const char* words :
       {"low: 8 bits", "medium: 16 bits", "high: 24 bits", "z = -0.5", "z = +0.5", "layer", "score (probability)"})
    CHECK(texts(svg).count(words) == 1);
}

TEST_CASE("bar_chart with zeros, NaN, infinite and huge values", "[report][chart][property]") {
  for (const double v : {0.0, not_a_number, infinity, -infinity, 1e308, -1e308, 1e-308, 5.0}) {
    INFO(v);
    bar_chart c = layers(3);
    for (bar& b : c.bars) b.value = v;
    c.levels = {{v, "level"}};
    CHECK(picture::faults(draw(c)) == "");
    c.bars.resize(1);
    c.levels.clear();
    CHECK(picture::faults(draw(c)) == "");
  }
  bar_chart c = layers(5);
  c.bars[2].value = not_a_number;
  CHECK_THAT(draw(c), ContainsSubstring("hatched: 1 without a finite value"));
}

TEST_CASE("line_chart: no text is cut off or overlaps another with 1 to 14 series", "[report][chart][property]") {
  for (const std::size_t n : {1u, 3u, 6u, 14u}) {
    line_chart c = curves(n);
    CHECK(picture::faults(draw(c)) == "");
    c.x = c.y = spacing::logarithmic;
    CHECK(picture::faults(draw(c)) == "");
  }
  line_chart c = curves(2);
  c.lines[0].name = std::string(40, 'W') + " <&> " + std::string(200, 'M');
  c.y_label =
      "a very long name of what is measured here, in units that need many words to be said properly, one after another";
  CHECK(picture::faults(draw(c)) == "");
}

TEST_CASE("line_chart: points lie at their values", "[report][chart][worked-example]") {
  line_chart c = curves(1);
  c.levels.clear();
  c.lines[0].points = {{1, 10}, {10, 100}, {100, 1000}};
  c.x = c.y = spacing::logarithmic;
  std::vector<point> at;
  for (const picture::element& e : picture::read(draw(c)).elements)
    if (e.name == "circle") at.push_back({picture::value(e, "cx"), picture::value(e, "cy")});
  REQUIRE(at.size() == 4);  // the legend's, then three points
  CHECK(at[2].x - at[1].x == Approx(at[3].x - at[2].x).margin(0.02));
  CHECK(at[1].y - at[2].y == Approx(at[2].y - at[3].y).margin(0.02));
  CHECK(at[3].x > at[1].x);
  CHECK(at[3].y < at[1].y);
}

TEST_CASE("line_chart: points that cannot be shown leave a gap and are counted", "[report][chart][worked-example]") {
  line_chart c = curves(1);
  c.lines[0].points = {{1, 1}, {2, 2}, {3, not_a_number}, {4, 4}, {5, 5}, {6, -1}};
  c.y = spacing::logarithmic;
  const std::string svg = draw(c);
  CHECK(picture::faults(svg) == "");
  std::size_t stretches = 0;
  for (const picture::element& e : picture::read(svg).elements) stretches += e.name == "polyline" ? 1 : 0;
  CHECK(stretches == 2);
  CHECK(texts(svg).count("not shown: 2 without a finite positive value") == 1);
}

TEST_CASE("line_chart with one point, no point, equal and huge values", "[report][chart][property]") {
  line_chart c = curves(1);
  for (const std::vector<series_point>& points : {std::vector<series_point>{},
                                                  {{1, 1}},
                                                  {{2, 3}, {2, 3}},
                                                  {{not_a_number, 1}, {1, infinity}},
                                                  {{-1e308, -1e308}, {1e308, 1e308}},
                                                  {{1e-300, 1e-300}},
                                                  {{0, 0, -1, 1}}})
    for (const spacing kind : {spacing::linear, spacing::logarithmic}) {
      c.lines[0].points = points;
      c.x = c.y = kind;
      CHECK(picture::faults(draw(c)) == "");
    }
  c.lines[0].points.clear();
  CHECK(texts(draw(c)).count("no data") == 1);
}

TEST_CASE("line_chart: neighbouring series differ and contrast with light and dark backgrounds",
          "[report][chart][property]") {
  line_chart c = curves(18);
  c.levels.clear();
  std::set<std::string> looks;
  for (const picture::element& e : picture::read(draw(c)).elements) {
    if (e.name != "polyline") continue;
    const auto dashes = e.attributes.find("stroke-dasharray");
    looks.insert(e.attributes.at("stroke") + (dashes == e.attributes.end() ? "" : dashes->second));
    picture::element stroke = e;
    stroke.attributes["fill"] = e.attributes.at("stroke");
    CHECK(contrast(picture::colour(stroke), paper.light) >= 3);
    CHECK(contrast(picture::colour(stroke), paper.dark) >= 3);
  }
  CHECK(looks.size() == 18);
}

TEST_CASE("charts refuse empty data", "[report][chart][refusal]") {
  CHECK_THROWS_WITH(draw(bar_chart{}), ContainsSubstring("no bars"));
  CHECK_THROWS_WITH(draw(line_chart{}), ContainsSubstring("no series"));
}
