#include <report/chart.hpp>
#include <report/html.hpp>

#include <precis/core/error.hpp>

#include "catch.hpp"
#include "report/picture.hpp"

#include <string>

using namespace report;

namespace {

page example() {
  const bar_chart chart{.title = "Scores",
                        .subtitle = {},
                        .category_label = "layer",
                        .value_label = "score",
                        .bars = {{"0", 1}, {"1", 2}}};
  return {.title = "What <imdb-gpt2> can afford to lose",
          .subtitle = "12 layers & 256 wide",
          .sections = {{"Scores", {paragraph{"A \"paragraph\" <of> text.\x01"}, figure{draw(chart), "Caption & more"}}},
                       {"Table",
                        {table{"Sizes",
                               {"unit", "bytes", "note"},
                               {{"block.0", "1,024", "x"}, {"block.1", "n/a", ""}, {"block.2", "-3.5", "7"}}}}},
                       {"Command", {listing{"precis sweep MODEL \\\n\t--text a<b.txt"}}}}};
}

}  // namespace

TEST_CASE("a page is well-formed and keeps its texts", "[report][html][worked-example]") {
  const picture::document d = picture::read(draw(example()));
  REQUIRE(d.fault == "");
  std::string headings, listings, captions;
  for (const picture::element& e : d.elements) {
    if (e.name == "h1" || e.name == "h2") headings += e.text + "|";
    if (e.name == "pre") listings += e.text;
    if (e.name == "figcaption" || e.name == "caption") captions += e.text + "|";
  }
  CHECK(headings == "What <imdb-gpt2> can afford to lose|Scores|Table|Command|");
  CHECK(listings == "precis sweep MODEL \\\n\t--text a<b.txt");
  CHECK(captions == "Caption & more|Sizes|");
}

TEST_CASE("numbers and their headings are right-aligned", "[report][html][worked-example]") {
  std::vector<std::string> right;
  for (const picture::element& e : picture::read(draw(example())).elements)
    if ((e.name == "td" || e.name == "th") && e.attributes.count("class")) right.push_back(e.text);
  CHECK(right == std::vector<std::string>{"bytes", "1,024", "n/a", "-3.5"});  // "note" contains a word
}

TEST_CASE("a page is self-contained and has no scripts", "[report][html][property]") {
  const std::string html = draw(example());
  for (const picture::element& e : picture::read(html).elements) {
    CHECK((e.name != "script" && e.name != "link" && e.name != "iframe" && e.name != "img"));
    for (const char* attribute : {"src", "href"})
      if (const auto at = e.attributes.find(attribute); at != e.attributes.end()) CHECK(at->second.substr(0, 1) == "#");
    for (const auto& [key, value] : e.attributes) CHECK(key.substr(0, 2) != "on");
  }
  CHECK(html.find("url(") == std::string::npos);
  CHECK(html.find("@import") == std::string::npos);
  CHECK_THAT(html, ContainsSubstring("prefers-color-scheme:dark"));
  CHECK_THAT(html, ContainsSubstring("@media print"));
}

TEST_CASE("links in the table of contents lead to sections", "[report][html][property]") {
  std::set<std::string> targets;
  std::vector<std::string> links;
  for (const picture::element& e : picture::read(draw(example())).elements) {
    if (e.name == "section") targets.insert("#" + e.attributes.at("id"));
    if (e.name == "a") links.push_back(e.attributes.at("href"));
  }
  CHECK(links.size() == 3);
  for (const std::string& link : links) CHECK(targets.count(link) == 1);
}

TEST_CASE("an empty page and an empty table are valid", "[report][html][property]") {
  CHECK(picture::read(draw(page{})).fault == "");
  CHECK(picture::read(draw(page{"t", "", {{"s", {table{"", {"a"}, {}}, table{"", {}, {}}}}}})).fault == "");
}

TEST_CASE("a row shorter than its header is refused", "[report][html][refusal]") {
  const page p{"t", "", {{"s", {table{"Sizes", {"a", "b"}, {{"1"}}}}}}};
  CHECK_THROWS_WITH(draw(p), ContainsSubstring("table Sizes: a row of 1 cells under a header of 2"));
}
