#include <precis/core/text.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include <precis/core/random.hpp>

using namespace precis;

TEST_CASE("lines lose blanks and comments and keep their numbers", "[core][text][worked-example]") {
  const auto lines = text::split("first line\n\n  # only a comment\n\tnote  a  b \t# why\r\nlast");
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].number == 1);
  CHECK(lines[0].words == std::vector<std::string_view>{"first", "line"});
  CHECK(lines[1].number == 4);
  CHECK(lines[1].words == std::vector<std::string_view>{"note", "a", "b"});
  CHECK(lines[1].rest == "a  b");  // inner blanks survive, outer ones do not
  CHECK(lines[2].number == 5);
  CHECK(lines[2].rest.empty());
}

TEST_CASE("an empty text has no lines", "[core][text][worked-example]") {
  CHECK(text::split("").empty());
  CHECK(text::split("\n\n \t\r\n# x").empty());
}

TEST_CASE("a written number reads back as the same double", "[core][text][property]") {
  const random_stream draws(1, purpose("text"));
  for (std::uint64_t i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(draws.at(i));
    double read = 0;
    const std::string written = text::number(value);
    if (value - value != 0) {  // NaN and infinity are not numbers here
      REQUIRE_FALSE(text::read(written, read));
      continue;
    }
    REQUIRE(text::read(written, read));
    REQUIRE(std::bit_cast<std::uint64_t>(read) == std::bit_cast<std::uint64_t>(value));
  }
  CHECK(text::number(0.3) == "0.3");  // the shortest, not all digits
}

TEST_CASE("a word with trailing characters is not a number", "[core][text][worked-example]") {
  double d = 0;
  std::size_t n = 0;
  CHECK(text::read("1e3", d));
  CHECK(d == 1000);
  CHECK(text::read("16", n));
  CHECK(n == 16);
  for (const char* bad : {"", "1x", "x", "1 ", " 1", "nan", "inf", "1e999"}) {
    CAPTURE(bad);
    CHECK_FALSE(text::read(bad, d));
  }
  for (const char* bad : {"", "-1", "1.5", "99999999999999999999"}) {
    CAPTURE(bad);
    CHECK_FALSE(text::read(bad, n));
  }
}

TEST_CASE("a name with blanks, control characters or # is not a word", "[core][text][worked-example]") {
  CHECK(text::is_word("h.3.attn.c_attn"));
  CHECK(text::is_word("caf\xC3\xA9"));  // UTF-8 is fine
  for (const char* bad : {"", "a b", "a\tb", "a\nb", "#a", "a#b", "a\x7F"}) {
    CAPTURE(bad);
    CHECK_FALSE(text::is_word(bad));
  }
}

TEST_CASE("a refused line shows the file and the line number", "[core][text][refusal]") {
  CHECK(refusal([] {
          text::refuse_line({.number = 7, .words = {}, .rest = {}}, "my.plan", "no codec", "UNIT CODEC");
        }) == "my.plan: line 7: no codec; expected UNIT CODEC");
}

TEST_CASE("a file starts with its format, and with the model if it is known", "[core][text][worked-example]") {
  CHECK(text::header("precis-plan", "8c1f") == "precis-plan 1\nmodel 8c1f\n");
  CHECK(text::header("precis-plan", "") == "precis-plan 1\n");
  CHECK(text::field("note", "two\nlines # here") == "note two lines   here\n");
  CHECK(text::padded("ab", 4) == "ab  ");
  CHECK(text::padded("abc", 2) == "abc");
}

TEST_CASE("the body is what follows the first line", "[core][text][worked-example]") {
  const auto lines = text::split("# a comment\nprecis-plan 1\nunits block\n");
  const auto body = text::body(lines, "precis-plan", "my.plan");
  REQUIRE(body.size() == 1);
  CHECK(body.front().words.front() == "units");
}

TEST_CASE("another format, another version and an empty file are refused", "[core][text][refusal]") {
  const auto says = [](std::string_view source) {
    const auto lines = text::split(source);
    return refusal([&] { (void)text::body(lines, "precis-plan", "my.plan"); });
  };
  CHECK(says("") == "my.plan: an empty file; expected 'precis-plan 1' on the first line");
  CHECK(says("precis-scores 1") ==
        "my.plan: it starts with 'precis-scores'; expected 'precis-plan 1' on the first line");
  CHECK(says("precis-plan 2") ==
        "my.plan: it starts with 'precis-plan 2', which a newer version of precis wrote; expected 'precis-plan 1' on "
        "the first line");
  CHECK(says("precis-plan 1 draft") ==
        "my.plan: it starts with 'precis-plan 1 draft'; expected 'precis-plan 1' on the first line");
  const auto marked = text::split("\xEF\xBB\xBFprecis-plan 1\nunits block\n");  // a byte order mark
  CHECK(text::body(marked, "precis-plan", "my.plan").size() == 1);
}
