#include <precis/core/scores.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

const std::vector<matrix_info> matrices{
    {"a", 0, part::attention, 2, 2}, {"b", 0, part::mlp, 2, 2}, {"c", 1, part::mlp, 4, 2}};

scores example() {
  return {.model = "8c1f5d0e",
          .scorer = "causal_trace window=1 noise_runs=10",
          .measure = "probability",
          .units = group_units(matrices, unit_kind::block),
          .values = {622.03, -0.5}};
}

const std::string written =
    "precis-scores 1\n"
    "model 8c1f5d0e\n"
    "scorer causal_trace window=1 noise_runs=10\n"
    "measure probability\n"
    "units block\n"
    "block.0  622.03\n"
    "block.1  -0.5\n";

}  // namespace

TEST_CASE("normalisers: minmax, rank and sum1 by hand", "[core][scores][worked-example]") {
  const std::vector<double> values{3, -1, 1, 1};
  CHECK(normalise::minmax(values) == std::vector<double>{1, 0, 0.5, 0.5});
  CHECK(normalise::rank(values) == std::vector<double>{1, 0, 0.5, 0.5});  // ranks 3, 0, 1.5, 1.5 of 3
  CHECK(normalise::sum1(std::vector<double>{1, 0, 3}) == std::vector<double>{0.25, 0, 0.75});
}

TEST_CASE("normalisers at the edges: equal values, one value, no values", "[core][scores][worked-example]") {
  CHECK(normalise::minmax(std::vector<double>{7, 7, 7}) == std::vector<double>{0.5, 0.5, 0.5});
  CHECK(normalise::rank(std::vector<double>{7, 7, 7}) == std::vector<double>{0.5, 0.5, 0.5});
  CHECK(normalise::rank(std::vector<double>{7}) == std::vector<double>{0.5});
  CHECK(normalise::minmax(std::vector<double>{7}) == std::vector<double>{0.5});
  CHECK(normalise::minmax({}).empty());
  CHECK(normalise::rank({}).empty());
}

TEST_CASE("sum1 refuses values that are not shares", "[core][scores][refusal]") {
  CHECK_THAT(refusal([] { (void)normalise::sum1(std::vector<double>{1, -0.5}); }),
             ContainsSubstring("normalise::sum1: a negative score, -0.5"));
  CHECK(refusal([] { (void)normalise::sum1(std::vector<double>{0, 0}); }) ==
        "normalise::sum1: scores that sum to zero; expected a positive sum");
  CHECK(refusal([] { (void)normalise::sum1({}); }) ==
        "normalise::sum1: scores that sum to zero; expected a positive sum");
}

TEST_CASE("normalisers do not depend on the order of the units", "[core][scores][property]") {
  const std::vector<double> values{0.1, 2.5, 0.1, 9.0, 0.7}, shuffled{9.0, 0.1, 0.7, 0.1, 2.5};
  const std::vector<std::size_t> position{1, 4, 3, 0, 2};  // values[i] == shuffled[position[i]]
  for (auto* f : {&normalise::minmax<>, &normalise::rank<>}) {
    const auto a = f(values), b = f(shuffled);
    for (std::size_t i = 0; i < values.size(); ++i) CHECK(a[i] == b[position[i]]);
  }
}

TEST_CASE("ascending puts ties in unit order", "[core][scores][worked-example]") {
  CHECK(ascending(std::vector<double>{2, 1, 2, -3, 1}) == std::vector<std::size_t>{3, 1, 4, 0, 2});
}

TEST_CASE("a score that is not finite is refused by the name of its unit", "[core][scores][refusal]") {
  scores s = example();
  s.values[1] = GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity());
  CHECK_THAT(refusal([&] { check_finite(s, "allocate::z_tiers"); }),
             ContainsSubstring("allocate::z_tiers: the score of unit block.1 is ") &&
                 ContainsSubstring("expected finite scores"));
  CHECK_THAT(refusal([&] { (void)to_text(s); }), ContainsSubstring("block.1"));
  s.values.pop_back();
  CHECK(refusal([&] { check_finite(s, "x"); }) == "x: 1 values for 2 units; expected as many values as units");
}

TEST_CASE("a score table is written so that people can read it", "[core][scores][worked-example]") {
  CHECK(to_text(example()) == written);
}

TEST_CASE("a score table reads back as itself", "[core][scores][property]") {
  const scores back = parse_scores(written, matrices);
  CHECK(back == example());
  scores s = example();
  s.values = {1.0 / 3.0, 5e-324};
  CHECK(parse_scores(to_text(s), matrices) == s);
}

TEST_CASE("an invalid score table is refused with its line number", "[core][scores][refusal]") {
  const auto [body, said] = GENERATE(table<std::string, std::string>({
      {"units block\nblock.0 1\n", "unit block.1 has no score; expected one line per unit"},
      {"units block\nblock.0 1\nblock.0 2\n", "line 4: unit 'block.0' is scored twice; expected one line per unit"},
      {"units block\nblock.7 1\n", "line 3: unit 'block.7' is not in this model; expected a table made for this model"},
      {"units block\nblock.0 nan\n", "line 3: 'nan' is not a score; expected UNIT NUMBER, with a finite number"},
      {"units block\nblock.0 1 2\n", "line 3: '1 2' is not a score"},
      {"units block\nblock.0\n", "line 3: '' is not a score"},
      {"units block\nunits half\n", "line 3: a second 'units' line; expected one"},
      {"units heads\n", "line 2: 'heads' is not a grouping of units"},
      {"scorer a\nscorer b\n", "line 3: a second 'scorer' line; expected one"},
      {"model a b\n", "line 2: the model name 'a b'; expected one word"},
      {"block.0 1\n", "line 2: unit 'block.0' is not in this model"},
      {"scorer x\n", "no units; expected a 'units' line"},
  }));
  CAPTURE(body);
  const std::string source = "precis-scores 1\n" + body;
  CHECK_THAT(refusal([&] { (void)parse_scores(source, matrices, "my.scores"); }),
             ContainsSubstring("my.scores: " + said));
}

TEST_CASE("a file of another format is not read as a score table", "[core][scores][refusal]") {
  CHECK_THAT(refusal([] { (void)parse_scores("", matrices); }), ContainsSubstring("scores: an empty file"));
  CHECK_THAT(refusal([] { (void)parse_scores("precis-plan 1\n", matrices); }),
             ContainsSubstring("it starts with 'precis-plan'"));
}

TEST_CASE("notes and units without a score are written and read back", "[core][scores][worked-example]") {
  scores s = example();
  s.unscored.push_back(s.units.back());
  s.units.pop_back();
  s.values.pop_back();
  s.notes = {"no data reached a"};
  const std::string text =
      "precis-scores 2\n"
      "model 8c1f5d0e\n"
      "scorer causal_trace window=1 noise_runs=10\n"
      "measure probability\n"
      "units block\n"
      "note no data reached a\n"
      "unscored block.1\n"
      "block.0  622.03\n";
  CHECK(to_text(s) == text);
  CHECK(parse_scores(text, matrices) == s);
  CHECK(all_units(s) == example().units);
  CHECK_THAT(refusal([&] { (void)parse_scores(text + "block.1  1\n", matrices); }),
             ContainsSubstring("line 9: unit 'block.1' is scored twice"));
  CHECK_THAT(refusal([&] {
               (void)parse_scores("precis-scores 2\nunits block\nunscored block.0\nunscored block.1\n", matrices);
             }),
             ContainsSubstring("no scored units"));
}

TEST_CASE("unreached matrices are noted; a table that is only looked up loses its score",
          "[core][scores][worked-example]") {
  const std::vector<matrix_info> infos{{"wte", before_layers, part::other, 2, 2}, {"a", 0, part::mlp, 2, 2}};
  scores s{.scorer = "by hand", .measure = "m", .units = group_units(infos, unit_kind::matrix), .values = {0, 0}};
  scores all = s;
  report_unreached(s, infos, {false, false});
  CHECK(list_of_names(s.units) == "a");
  CHECK(list_of_names(s.unscored) == "wte");
  CHECK(s.notes == std::vector<std::string>{"no data reached a"});
  const scores before = all;
  report_unreached(all, infos, {true, true});
  CHECK(all == before);
}

TEST_CASE("notes list names", "[core][scores][worked-example]") {
  CHECK(note_matrices("no data reached", matrices, {false, true, false}) ==
        std::vector<std::string>{"no data reached a, c"});
  CHECK(note_matrices("no data reached", matrices, {true, true, true}).empty());
  const std::vector<unit> units = group_units(matrices, unit_kind::block);
  CHECK(note_unchanged(units, [](std::size_t u) { return u == 1; }) ==
        std::vector<std::string>{"no loss changed with block.1"});
  CHECK(note_unchanged(units, [](std::size_t) { return false; }).empty());
}

TEST_CASE("a remark of several lines becomes one line of a score table", "[core][scores][property]") {
  const std::vector<matrix_info> one_matrix{{"a", 0, part::mlp, 1, 1}};
  const scores s{.model = {},
                 .scorer = "two\nlines # here",
                 .measure = "m",
                 .units = group_units(one_matrix, unit_kind::matrix),
                 .values = {1.0}};
  CHECK(parse_scores(to_text(s), one_matrix).values == s.values);
}

TEST_CASE("two matrices with the same name are refused, not merged", "[core][scores][refusal]") {
  const std::vector<matrix_info> twice{{"a", 0, part::mlp, 1, 1}, {"a", 1, part::mlp, 1, 1}};
  CHECK_THROWS_WITH(group_units(twice, unit_kind::matrix), ContainsSubstring("matrix a appears twice"));
}

TEST_CASE("zscore counts standard deviations of the population", "[core][scores][worked-example]") {
  CHECK(precis::normalise::zscore(std::vector<double>{0, 2, 2, 4}) ==
        std::vector<double>{-2 / std::sqrt(2.0), 0, 0, 2 / std::sqrt(2.0)});
  CHECK(precis::normalise::zscore(std::vector<double>{1e300, 1e300}) == std::vector<double>{0, 0});  // all alike
  CHECK(precis::normalise::zscore(std::vector<double>{7}) == std::vector<double>{0});
  CHECK(precis::normalise::zscore(std::vector<double>{}).empty());
}
