#include <report/heatmap.hpp>

#include <precis/core/error.hpp>

#include "catch.hpp"
#include "report/picture.hpp"

#include <cmath>
#include <limits>
#include <set>
#include <string>

using namespace report;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN(),
             infinity = std::numeric_limits<double>::infinity();

/// Values that rise with the index.
trace_map rising(std::size_t tokens, std::size_t layers, std::size_t panels = 3) {
  trace_map m{.prompt = "The Space Needle is in downtown",
              .answer = " Seattle",
              .tokens = {},
              .layers = layers,
              .panels = {},
              .p_low = 0.02,
              .p_clean = 0.9};
  for (std::size_t t = 0; t < tokens; ++t) m.tokens.push_back({" token" + std::to_string(t), t == 1});
  for (std::size_t k = 0; k < panels; ++k) {
    m.panels.push_back({k == 0 ? "restoring one hidden state" : "attention outputs, window 10", {}});
    for (std::size_t i = 0; i < tokens * layers; ++i)
      m.panels.back().values.push_back(0.02 + 0.88 * static_cast<double>(i) / static_cast<double>(tokens * layers));
  }
  return m;
}

}  // namespace

TEST_CASE("trace_map: no text is cut off, tiny or overlapping, from 3 to 40 tokens and 1 to 96 layers",
          "[report][heatmap][property]") {
  for (const std::size_t tokens : {1u, 3u, 12u, 13u, 40u})
    for (const std::size_t layers : {1u, 2u, 6u, 12u, 24u, 32u, 48u, 96u})
      for (const std::size_t panels : {1u, 3u}) {
        INFO(tokens << " tokens, " << layers << " layers, " << panels << " panels");
        CHECK(picture::faults(draw(rising(tokens, layers, panels))) == "");
      }
}

TEST_CASE("trace_map: cells tile each panel without gaps or overlaps", "[report][heatmap][property]") {
  const std::size_t tokens = 7, layers = 12;
  const std::vector<picture::element> cells = picture::cells(draw(rising(tokens, layers)));
  REQUIRE(cells.size() == 3 * tokens * layers);
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t t = 0; t < tokens; ++t)
      for (std::size_t l = 0; l < layers; ++l) {
        const picture::element& first = cells[k * tokens * layers];
        const picture::element& cell = cells[(k * tokens + t) * layers + l];
        const double w = picture::value(first, "width"), h = picture::value(first, "height");
        CHECK(picture::value(cell, "width") == w);
        CHECK(picture::value(cell, "height") == h);
        CHECK(picture::value(cell, "x") == Approx(picture::value(first, "x") + w * static_cast<double>(l)));
        CHECK(picture::value(cell, "y") == Approx(picture::value(first, "y") + h * static_cast<double>(t)));
      }
}

TEST_CASE("trace_map: a higher probability is a brighter cell, on one scale for all panels",
          "[report][heatmap][property]") {
  const std::vector<picture::element> cells = picture::cells(draw(rising(5, 6)));
  for (std::size_t i = 1; i < 30; ++i)
    CHECK(luminance(picture::colour(cells[i])) >= luminance(picture::colour(cells[i - 1])));
  for (std::size_t i = 0; i < 30; ++i) CHECK(picture::colour(cells[i]) == picture::colour(cells[30 + i]));
  CHECK(cells[7].text == "\u2423token1 *, layer 1: 0.225");
}

TEST_CASE("trace_map: subject tokens are bold and marked, p_clean and p_low are named",
          "[report][heatmap][worked-example]") {
  std::set<std::string> bold, plain;
  for (const picture::element& e : picture::read(draw(rising(3, 4))).elements)
    if (e.name == "text") (e.attributes.count("font-weight") ? bold : plain).insert(e.text);
  CHECK(bold.count("\u2423token1 *") == 1);
  CHECK(plain.count("\u2423token0") == 1);
  CHECK(bold.count("clean 0.900") == 1);
  CHECK(bold.count("noised 0.020") == 1);
}

TEST_CASE("trace_map survives hostile labels", "[report][heatmap][property]") {
  trace_map m = rising(9, 4);
  m.prompt = "</svg><script>alert('x')</script> & \xff\xfe \"q\" " + std::string(600, 'W');
  m.answer = std::string("\0<", 2);
  const char* hostile[] = {"<b>", "&amp;", "\"'", "\n", "\x1b[31m", "\xc3", "\xe2\x80\xae", "]]>", ""};
  for (std::size_t i = 0; i < 9; ++i) m.tokens[i].text = hostile[i];
  m.tokens[8].text = std::string(5000, 'M');
  const std::string svg = draw(m);
  CHECK(picture::faults(svg) == "");
  CHECK(svg.find("<script") == std::string::npos);
  CHECK(svg.size() < 40000);  // the long token is shortened
}

TEST_CASE("trace_map with equal, missing and infinite values", "[report][heatmap][property]") {
  trace_map m = rising(3, 3);
  for (panel& p : m.panels) p.values.assign(9, 0.5);
  m.p_low = m.p_clean = 0.5;
  CHECK(picture::faults(draw(m)) == "");
  m.panels[0].values.assign(9, not_a_number);
  m.panels[1].values[4] = infinity;
  CHECK(picture::faults(draw(m)) == "");
  CHECK_THAT(draw(m), ContainsSubstring("not measured"));
  m.p_low = m.p_clean = not_a_number;
  for (panel& p : m.panels) p.values.assign(9, not_a_number);
  CHECK(picture::faults(draw(m)) == "");
  m.panels.clear();
  CHECK(picture::faults(draw(m)) == "");
}

TEST_CASE("role_map: zero is neutral, signs have different colours, absent roles are hatched",
          "[report][heatmap][worked-example]") {
  role_map m{.title = "AIE",
             .subtitle = {},
             .roles = {"first subject", "middle subject", "last"},
             .layers = 3,
             .panels = {{"attention", {0, 0.2, -0.1, not_a_number, not_a_number, not_a_number, 0.1, 0, 0.05}}}};
  const std::string svg = draw(m);
  CHECK(picture::faults(svg) == "");
  const std::vector<picture::element> cells = picture::cells(svg);
  REQUIRE(cells.size() == 9);
  CHECK(picture::colour(cells[0]) == diverging(0.5));
  CHECK(picture::colour(cells[1]) == diverging(1));
  CHECK(picture::colour(cells[2]) == diverging(0.25));  // half as far as 0.2, on the other side
  for (const std::size_t absent : {3u, 4u, 5u}) {
    CHECK(cells[absent].attributes.at("class") == "f-paper");
    CHECK_THAT(cells[absent].text, ContainsSubstring("absent"));
  }
}

TEST_CASE("role_map with only zeros, only one sign, or no values", "[report][heatmap][property]") {
  for (const double v : {0.0, 0.3, -0.3, not_a_number, 1e-12, 1e12}) {
    const role_map m{.title = "AIE", .subtitle = "s", .roles = {"a role"}, .layers = 1, .panels = {{"p", {v}}}};
    INFO(v);
    CHECK(picture::faults(draw(m)) == "");
  }
}

TEST_CASE("heatmaps refuse grids that are empty or have the wrong number of values", "[report][heatmap][refusal]") {
  trace_map m = rising(3, 4);
  m.panels[1].values.pop_back();
  CHECK_THROWS_WITH(draw(m), ContainsSubstring("11 values for 3 rows x 4 columns"));
  CHECK_THROWS_AS(draw(trace_map{}), precis::error);
  CHECK_THROWS_AS(draw(role_map{}), precis::error);
}
