#include <precis/core/spectra.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <limits>
#include <string>
#include <vector>

using namespace precis;

TEST_CASE("spectra are written as text that people can read", "[core][spectra][worked-example]") {
  spectra s{.model = "8c1f", .scorer = "by hand", .measure = "nats", .slices = {}};
  s.slices.push_back(
      {{.name = "m.key", .layer = 3, .role = role::key, .first_out = 2, .out = 2, .in = 5}, {2, 0.5}, {-1, 3}});
  CHECK(to_text(s) ==
        "precis-spectra 1\n"
        "model 8c1f\n"
        "scorer by hand\n"
        "measure nats\n"
        "slice m.key  matrix=0 layer=3 role=key out=2+2 in=0+5 heads=1\n"
        "2  -1\n"
        "0.5  3\n");
  CHECK(s.values() == 2);
}

TEST_CASE("a spectra file reads back as itself", "[core][spectra][property]") {
  const std::vector<matrix_info> matrices{{"m", 3, part::attention, 4, 2}};
  spectra s{.model = "8c1f", .scorer = "by hand", .measure = "nats", .slices = {}};
  s.slices.push_back(
      {{.name = "m.key", .layer = 3, .role = role::key, .first_out = 2, .out = 2, .in = 2}, {2, 0.1}, {-1e-9, 3}});
  CHECK(parse_spectra(to_text(s), matrices) == s);
}

TEST_CASE("an invalid spectra file is refused with its line number", "[core][spectra][refusal]") {
  const std::vector<matrix_info> matrices{{"m", 0, part::mlp, 2, 2}};
  const auto says = [&](const std::string& text) {
    return refusal([&] { static_cast<void>(parse_spectra(text, matrices, "file")); });
  };
  CHECK(says("") == "file: an empty file; expected 'precis-spectra 1' or 'precis-spectra 2' on the first line");
  CHECK(says("precis-spectra 1\n1 2\n") ==
        "file: line 2: a line that is not a pair of numbers; expected SINGULAR_VALUE SCORE, below a slice");
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2 depth=1\n").find("line 2: 'depth=1'") != std::string::npos);
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2\n1 2\n") ==
        "file: slice m has 1 singular values and 1 scores; expected 2 of each");
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2\n1 2\n3 4\n") ==
        "file: slice m has the singular value 3 at 1; expected finite values, largest first");
  CHECK(says("precis-spectra 1\nslice m out=0+9 in=0+2\n").find("rows 0 to 9") != std::string::npos);
}

TEST_CASE("inconsistent spectra are refused by slice", "[core][spectra][refusal]") {
  spectrum one{{.name = "m", .out = 2, .in = 3}, {2, 1}, {0, 0}};
  const auto says = [&] {
    return refusal([&] { check({.model = {}, .scorer = {}, .measure = {}, .slices = {one}}, "here"); });
  };
  CHECK(says() == "");
  SECTION("ascending values") {
    one.values = {1, 2};
    CHECK(says() == "here: slice m has the singular value 2 at 1; expected finite values, largest first");
  }
  SECTION("a negative value") {
    one.values = {1, -1};
    CHECK(says() == "here: slice m has the singular value -1 at 1; expected finite values, largest first");
  }
  SECTION("a score that is not finite") {
    one.scores[0] = std::numeric_limits<double>::infinity();
    CHECK(says() == "here: slice m has the score inf at 0; expected finite scores");
  }
  SECTION("more scores than the rank") {
    one.scores.push_back(1);
    CHECK(says() == "here: slice m has 2 singular values and 3 scores; expected 2 of each");
  }
}
