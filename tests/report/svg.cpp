#include <report/svg.hpp>

#include "catch.hpp"
#include "report/picture.hpp"

#include <string>

using namespace report;

TEST_CASE("escape makes markup, quotes and forbidden characters harmless", "[report][svg][worked-example]") {
  CHECK(escape("<a href=\"x\">'&'</a>") == "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  CHECK(escape("caf\xc3\xa9 \xe6\x9d\xb1 \xf0\x9f\x98\x80") == "caf\xc3\xa9 \xe6\x9d\xb1 \xf0\x9f\x98\x80");
  CHECK(escape(std::string("\0\x1b\x7f", 3)) == "\u2400\u241B\u2421");
  CHECK(escape("\xff") == "\uFFFD");
  CHECK(escape("\xe2\x80\xae") == "\uFFFD");                        // right-to-left override
  CHECK(escape("\xef\xbf\xbe") == "\uFFFD");                        // U+FFFE is not an XML character
  CHECK(escape("\xc0\xaf") == "\uFFFD\uFFFD");                      // overlong '/'
  CHECK(escape("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");            // a surrogate
  CHECK(escape("\xf4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
  CHECK(escape("\xe6\x9d") == "\uFFFD\uFFFD");                      // truncated
}

TEST_CASE("escape of any bytes is well-formed inside text and attributes", "[report][svg][property]") {
  std::uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    for (int i = 0; i < 40; ++i) {
      state = state * 1664525u + 1013904223u;
      bytes += static_cast<char>(state >> 24);
    }
    const picture::document d = picture::read("<a b=\"" + escape(bytes) + "\">" + escape(bytes) + "</a>");
    REQUIRE(d.fault == "");
    REQUIRE(d.elements.front().text == d.elements.front().attributes.at("b"));
  }
}

TEST_CASE("the XML reader of these tests refuses malformed text", "[report][svg][refusal]") {
  for (const char* bad : {"<a>", "<a></b>", "<a b=\"1\" b=\"2\"/>", "<a>&nbsp;</a>", "<a>&</a>", "<a b=\"<\"/>",
                          "<a/><b/>", "x<a/>", "<a>\x01</a>", "<a>\xff</a>", "<a b=1/>", "<a b=\"1\"c=\"2\"/>", ""})
    CHECK(picture::read(bad).fault != "");
  CHECK(picture::read("<a b=\"&lt;\"><c/>x</a>").fault == "");
}

TEST_CASE("token_label shows spaces and line ends, and shortens in the middle", "[report][svg][worked-example]") {
  CHECK(token_label(" the") == "\u2423the");
  CHECK(token_label("\n") == "\u21B5");
  CHECK(token_label("") == "\u2205");
  CHECK(token_label("abcdefghij", 5) == "ab\u2026ij");
  CHECK(token_label("abcde", 5) == "abcde");
}

TEST_CASE("text_width is additive, grows with size and weight, and ignores combining marks",
          "[report][svg][property]") {
  CHECK(text_width("", 12) == 0);
  CHECK(text_width("ab", 12) == Approx(text_width("a", 12) + text_width("b", 12)));
  CHECK(text_width("Seattle", 24) == Approx(2 * text_width("Seattle", 12)));
  CHECK(text_width("Seattle", 12, true) > text_width("Seattle", 12));
  CHECK(text_width("e\xcc\x81", 12) == text_width("e", 12));  // combining acute accent
  CHECK(text_width("0000", 10) == Approx(25.44));             // DejaVu Sans digits: 0.636 of the size
}

TEST_CASE("wrap keeps every word, in order, within the width", "[report][svg][property]") {
  const std::string text = "causal tracing  of a_word_that_is_far_longer_than_a_line and\nmore";
  std::string joined;
  for (const std::string& line : wrap(text, 90, 12)) {
    CHECK(text_width(line, 12) <= 90);
    joined += line;
  }
  std::erase(joined, ' ');
  CHECK(joined == "causaltracingofa_word_that_is_far_longer_than_a_lineandmore");
  CHECK(wrap("", 90, 12).empty());
  CHECK(wrap("ab", 0, 12) == std::vector<std::string>{"a", "b"});  // at least one character per line
}

TEST_CASE("a drawing escapes its texts once and never writes NaN", "[report][svg][property]") {
  drawing d;
  d.text({40, 40}, "<&\"'>");
  d.fill({10, 10, 20, 20}, ink, "a < b");
  d.circle({std::nan(""), 20}, 3, muted);
  const std::string svg = d.finish(200, 100, "T & \"t\"", "D < d");
  CHECK(picture::faults(svg) == "");
  const picture::document read = picture::read(svg);
  CHECK(read.elements[1].text == "T & \"t\"");
  bool found = false;
  for (const picture::element& e : read.elements) found = found || (e.name == "text" && e.text == "<&\"'>");
  CHECK(found);
}

TEST_CASE("a hatch stays inside its box", "[report][svg][property]") {
  drawing d;
  d.hatch({13, 17, 31, 9});
  const picture::document read = picture::read(d.finish(100, 100, "t", "d"));
  const std::string path = read.elements.back().attributes.at("d");
  int points = 0;
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] != 'M' && path[at] != 'L') continue;
    char* rest = nullptr;
    const double x = std::strtod(path.c_str() + at + 1, &rest), y = std::strtod(rest, nullptr);
    CHECK((x >= 13 && x <= 44 && y >= 17 && y <= 26));
    ++points;
  }
  CHECK(points >= 10);
}
