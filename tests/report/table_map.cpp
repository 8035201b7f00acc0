#include <report/table_map.hpp>

#include <precis/core/error.hpp>

#include "catch.hpp"
#include "report/picture.hpp"

#include <limits>
#include <string>

using namespace report;

namespace {

const double not_a_number = std::numeric_limits<double>::quiet_NaN(),
             infinity = std::numeric_limits<double>::infinity();

table_map example() {
  return {.title = "Perplexity after compression",
          .subtitle = "WikiText-2",
          .row_title = "bits per tier (low, medium, high)",
          .rows = {"2, 3, 4", "4, 8, 16", "8, 16, 24"},
          .columns = {{"causal trace"}, {"weight magnitude"}, {"constant low", true}, {"constant high", true}},
          .values = {1203.4, 998.1, 1.234e5, 61.2, 30.11, 31.5, 61.0, 29.5, 29.431, 29.434, not_a_number, infinity},
          .original = 29.41};
}

/// The colour of the text that shows `words`, and of the cell drawn before it.
double cell_contrast(const picture::document& d, std::size_t text) {
  for (std::size_t i = text; i-- > 0;)
    if (d.elements[i].name == "rect" && d.elements[i].attributes.at("fill") != "none")
      return contrast(picture::colour(d.elements[text]), picture::colour(d.elements[i]));
  return 0;
}

}  // namespace

TEST_CASE("table_map: numbers contrast with the colour of their cell", "[report][table_map][property]") {
  table_map m = example();
  m.values.clear();
  m.rows.clear();
  for (int r = 0; r < 30; ++r) {
    m.rows.push_back(std::to_string(r));
    for (int c = 0; c < 4; ++c) m.values.push_back(20 + r * 4 + c);
  }
  const picture::document d = picture::read(draw(m));
  std::size_t numbers = 0;
  for (std::size_t i = 0; i < d.elements.size(); ++i)
    if (d.elements[i].name == "text" && picture::value(d.elements[i], "font-size") == 13) {
      CHECK(cell_contrast(d, i) >= 4.5);
      ++numbers;
    }
  CHECK(numbers == 120);
}

TEST_CASE("table_map: the best scorer of each row is bold, references do not compete",
          "[report][table_map][worked-example]") {
  const std::string svg = draw(example());
  CHECK(picture::faults(svg) == "");
  std::vector<std::string> bold, all;
  for (const picture::element& e : picture::read(svg).elements)
    if (e.name == "text" && picture::value(e, "font-size") == 13) {
      all.push_back(e.text);
      if (e.attributes.count("font-weight")) bold.push_back(e.text);
    }
  CHECK(bold == std::vector<std::string>{"998.1", "30.11", "29.431"});
  // Row 3 needs five digits to tell its best scorer from the other.
  CHECK(all == std::vector<std::string>{"1203", "998.1", "1.2e5", "61.20", "30.11", "31.50", "61.00", "29.50", "29.431",
                                        "29.434", "n/a", "\u221E"});
}

TEST_CASE("table_map: a row without a finite value has no best", "[report][table_map][worked-example]") {
  table_map m = example();
  m.values = {infinity, infinity, 1, 2, not_a_number, infinity, 3, 4, not_a_number, not_a_number, 5, 6};
  for (const picture::element& e : picture::read(draw(m)).elements)
    if (e.name == "text" && picture::value(e, "font-size") == 13) CHECK(e.attributes.count("font-weight") == 0);
  CHECK_THAT(draw(m), !ContainsSubstring("best scorer of the row"));
}

TEST_CASE("table_map: lower is brighter; values past the limit and infinity share the last colour",
          "[report][table_map][property]") {
  table_map m = example();
  m.values = {10, 20, 30, 40, 50, 60, 70, 80, 90, 1e6, infinity, 95};
  m.limit = 100;
  m.original = 0;
  for (const colouring colours : {colouring::automatic, colouring::linear, colouring::logarithmic}) {
    m.colours = colours;
    const std::vector<picture::element> cells = picture::cells(draw(m));
    REQUIRE(cells.size() == 12);
    for (std::size_t i = 1; i < 9; ++i)
      CHECK(luminance(picture::colour(cells[i])) < luminance(picture::colour(cells[i - 1])));
    CHECK(picture::colour(cells[9]) == sequential(0));
    CHECK(picture::colour(cells[10]) == sequential(0));
    CHECK(picture::colour(cells[0]) == sequential(1));
  }
}

TEST_CASE("table_map: one broken setting does not change the other colours", "[report][table_map][property]") {
  table_map m = example();
  m.values = {29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 1e9};
  const std::vector<picture::element> cells = picture::cells(draw(m));
  CHECK(luminance(picture::colour(cells[0])) - luminance(picture::colour(cells[10])) > 0.1);
}

TEST_CASE("table_map: one cell, equal values, negative values, nothing measured, long and hostile names",
          "[report][table_map][property]") {
  for (const double v : {3.0, 0.0, -2.0, not_a_number, infinity, 1e308, 1e-308}) {
    INFO(v);
    const table_map one{
        .title = "t", .subtitle = {}, .row_title = {}, .rows = {"r"}, .columns = {{"c"}}, .values = {v}};
    CHECK(picture::faults(draw(one)) == "");
    table_map equal = example();
    equal.values.assign(12, v);
    CHECK(picture::faults(draw(equal)) == "");
  }
  table_map m = example();
  m.columns[0].name = "averyveryverylongscorernamewithoutanyblank <&> \"quoted\"";
  m.columns[1].name = "";
  m.rows[1] = "(8, 16, 24) bits, pruned (0.3, 0.2, 0.1) \xff\x02";
  m.row_title = "bits and pruning per tier of the twelve blocks of the model (low, medium, high)";
  CHECK(picture::faults(draw(m)) == "");
}

TEST_CASE("table_map refuses a table that is empty or has the wrong number of values", "[report][table_map][refusal]") {
  table_map m = example();
  m.values.pop_back();
  CHECK_THROWS_WITH(draw(m), ContainsSubstring("11 values for 3 rows x 4 columns"));
  CHECK_THROWS_AS(draw(table_map{}), precis::error);
}
