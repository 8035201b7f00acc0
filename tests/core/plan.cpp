#include <precis/core/plan.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <utility>
#include <vector>

using namespace precis;

namespace {

plan example() {
  return {.model = "8c1f5d0e",
          .units = unit_kind::half,
          .notes = {"z_tiers of causal_trace", "by hand:  two blanks"},
          .choices = {{"block.0.attention", "affine8.row", 0, 0},
                      {"block.0.mlp", "affine4.row", 0.3, 0},
                      {"block.1.attention", "float16", 0.1 + 0.2, 16}}};
}

const std::string written =
    "precis-plan 1\n"
    "model 8c1f5d0e\n"
    "units half\n"
    "note z_tiers of causal_trace\n"
    "note by hand:  two blanks\n"
    "block.0.attention  affine8.row\n"
    "block.0.mlp        affine4.row  sparsity=0.3\n"
    "block.1.attention  float16  sparsity=0.30000000000000004  rank=16\n";

}  // namespace

TEST_CASE("a plan is written so that people can read and diff it", "[core][plan][worked-example]") {
  CHECK(to_text(example()) == written);
}

TEST_CASE("a plan reads back as itself", "[core][plan][property]") {
  CHECK(parse_plan(written) == example());
  plan bare{.model = {}, .units = unit_kind::block, .notes = {}, .choices = {}};
  CHECK(parse_plan(to_text(bare)) == bare);
}

TEST_CASE("comments, blank lines and DOS line ends are ignored", "[core][plan][property]") {
  const plan p = parse_plan(
      "# my plan\r\n\r\nprecis-plan 1  # version\r\nunits half\r\n\tblock.0.mlp\taffine4.row rank=2 sparsity=0.5 # "
      "less\r\n");
  REQUIRE(p.choices.size() == 1);
  CHECK(p.choices[0] == choice{"block.0.mlp", "affine4.row", 0.5, 2});
}

TEST_CASE("a choice is found by its unit", "[core][plan][worked-example]") {
  const plan p = example();
  REQUIRE(p.find("block.0.mlp") != nullptr);
  CHECK(p.find("block.0.mlp")->codec == "affine4.row");
  CHECK(p.find("block.0") == nullptr);
}

TEST_CASE("a note of several lines cannot break the file", "[core][plan][property]") {
  plan p = example();
  p.notes = {"two\nlines # and a comment\r"};
  const plan back = parse_plan(to_text(p));
  CHECK(back.notes == std::vector<std::string>{"two lines   and a comment"});
  CHECK(back.choices == p.choices);
}

TEST_CASE("an invalid plan is refused with its line number", "[core][plan][refusal]") {
  const auto [body, said] = GENERATE(table<std::string, std::string>({
      {"block.0 a\nblock.0 b\n", "line 3: unit 'block.0' is chosen twice; expected one line per unit"},
      {"block.0\n", "line 2: unit 'block.0' without a codec; expected UNIT CODEC"},
      {"block.0 a sparsity=1.5\n", "line 2: 'sparsity=1.5'; expected a sparsity from 0 to 1"},
      {"block.0 a sparsity=nan\n", "line 2: 'sparsity=nan'"},
      {"block.0 a sparsity\n", "line 2: 'sparsity'"},
      {"block.0 a rank=0\n", "line 2: 'rank=0'; expected a rank of at least 1"},
      {"block.0 a rank=-1\n", "line 2: 'rank=-1'"},
      {"block.0 a bits=4\n", "line 2: 'bits=4'; expected sparsity=SHARE or rank=COUNT"},
      {"model a\nmodel b\nunits block\n", "line 3: an invalid 'model' line"},
      {"model a b\n", "line 2: an invalid 'model' line"},
      {"units block\nunits half\n", "line 3: an invalid 'units' line"},
      {"units heads\n", "line 2: 'heads' is not a grouping of units"},
      {"units block\nscorer a\n", "line 3: the unit name 'scorer'"},
      {"block.0 a\n", "no 'units' line"},
  }));
  CAPTURE(body);
  const std::string source = "precis-plan 1\n" + body;
  CHECK_THAT(refusal([&] { (void)parse_plan(source, "my.plan"); }), ContainsSubstring("my.plan: " + said));
}

TEST_CASE("a file of another format is not read as a plan", "[core][plan][refusal]") {
  CHECK(refusal([] { (void)parse_plan(""); }) == "plan: an empty file; expected 'precis-plan 1' on the first line");
  CHECK_THAT(refusal([] { (void)parse_plan("{\"a\": 1}"); }), ContainsSubstring("it starts with '{\\\"a\\\":'"));
  CHECK_THAT(refusal([] { (void)parse_plan("precis-plan 2\nunits block\n"); }),
             ContainsSubstring("expected 'precis-plan 1'"));
}

TEST_CASE("an option given twice on a plan line is refused", "[core][plan][refusal]") {
  for (const char* line : {"block.0 float16 sparsity=0.1 sparsity=0.2", "block.0 float16 rank=1 sparsity=0 rank=1"})
    CHECK_THAT(refusal([&] { (void)parse_plan(std::string("precis-plan 1\nunits block\n") + line); }),
               ContainsSubstring("twice"));
}

TEST_CASE("an inconsistent plan is not written", "[core][plan][refusal]") {
  const auto refused_after = [](auto change) {
    plan p = example();
    change(p);
    return refusal([&] { (void)to_text(p); });
  };
  CHECK(refused_after([](plan& p) { p.choices[1].unit = p.choices[0].unit; }) ==
        "plan: unit block.0.attention is chosen twice; expected one line per unit");
  CHECK(refused_after([](plan& p) { p.choices[1].sparsity = 1.5; }) ==
        "plan: a sparsity of 1.5 for unit block.0.mlp; expected 0 to 1");
  CHECK(refused_after([](plan& p) { p.choices[1].unit = "two words"; }) ==
        "plan: the unit name 'two words'; expected one word that is not a keyword of the file format");
  CHECK(refused_after([](plan& p) { p.choices[1].codec = ""; }) ==
        "plan: the codec name '' of unit block.0.mlp; expected one word");
  CHECK(refused_after([](plan& p) { p.model = "a b"; }) == "plan: the model name 'a b'; expected one word");
}

TEST_CASE("a unit may not have the name of a keyword, which would read back as one", "[core][plan][refusal]") {
  const std::string name = GENERATE("model", "units", "note");
  const plan p{.model = {}, .units = unit_kind::block, .notes = {}, .choices = {{name, "affine4.row"}}};
  CHECK_THROWS_WITH(to_text(p), ContainsSubstring("keyword"));
}
