#include <precis/core/cost_table.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

using namespace precis;

namespace {

const std::vector<matrix_info> matrices{
    {"a", 0, part::attention, 2, 3}, {"b", 0, part::mlp, 4, 2}, {"c", 1, part::mlp, 5, 2}};

cost_table example() {
  return {.model = "8c1f5d0e",
          .maker = "weighted_error of causal_trace noise_runs=10",
          .measure = "squared error",
          .original_bytes = 96,
          .entries = {"one", "two"},
          .units = group_units(matrices, unit_kind::block),
          .bytes = {20, 34, 15, 25},
          .costs = {0.5, -0.25, 1e-9, not_admitted}};
}

const std::string written =
    "precis-costs 1\n"
    "model 8c1f5d0e\n"
    "maker weighted_error of causal_trace noise_runs=10\n"
    "measure squared error\n"
    "original 96\n"
    "units block\n"
    "entries one two\n"
    "block.0  20 0.5  34 -0.25\n"
    "block.1  15 1e-09  25 -\n";

template<std::size_t Header, std::size_t Each>
struct sized {
  static std::string name() { return Header == 3 ? "one" : "two"; }
  static constexpr std::size_t bytes(std::size_t out, std::size_t in) { return Header * out + Each * out * in; }
  static void encode(weight_view, std::span<std::byte>) {}
  static void decode(std::span<const std::byte>, mutable_weight_view) {}
};

}  // namespace

TEST_CASE("a cost table is written so that people can read it", "[core][cost_table][worked-example]") {
  CHECK(to_text(example()) == written);
  CHECK(example().weights() == 24);
  CHECK(example().admits(0, 1));
  CHECK_FALSE(example().admits(1, 1));
}

TEST_CASE("a cost table reads back as itself", "[core][cost_table][property]") {
  CHECK(parse_costs(written, matrices) == example());
  cost_table t = example();
  t.costs = {1.0 / 3.0, 5e-324, -1e300, not_admitted};
  CHECK(parse_costs(to_text(t), matrices) == t);
  t.maker = "two\nlines # here";  // a remark of several lines becomes one line
  CHECK(parse_costs(to_text(t), matrices).costs == t.costs);
}

TEST_CASE("exact bytes are those of the matrices of a unit, in the order of the given entries",
          "[core][cost_table][worked-example]") {
  // one: 3 out + 2 out in; two: out + out in. Block 0 is 2 x 3 and 4 x 2, block 1 is 5 x 2.
  using offered = menu<sized<3, 2>, sized<1, 1>>;
  const std::vector<unit> units = group_units(matrices, unit_kind::block);
  const std::vector<std::string> entries{"two", "one"};
  CHECK(exact_bytes<offered>(matrices, units, entries) == std::vector<std::size_t>{20, 18 + 28, 15, 35});
  CHECK_THROWS_WITH(exact_bytes<offered>(matrices, units, std::vector<std::string>{"three"}),
                    ContainsSubstring("no codec called 'three'"));
}

TEST_CASE("a table that no allocator can use is refused by unit and entry", "[core][cost_table][refusal]") {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  cost_table t = example();
  const auto said = [&] { return refusal([&] { check(t, "here"); }); };
  SECTION("sound") { CHECK_NOTHROW(check(t)); }
  SECTION("NaN") {
    t.costs[1] = nan;
    CHECK_THAT(said(), ContainsSubstring("here: the cost of unit block.0 in two is nan"));
  }
  SECTION("minus infinity") {
    t.costs[2] = -not_admitted;
    CHECK_THAT(said(), ContainsSubstring("the cost of unit block.1 in one is -inf"));
  }
  SECTION("a unit without an admissible entry") {
    t.costs[2] = not_admitted;
    CHECK_THAT(said(), ContainsSubstring("unit block.1 has no admissible entry"));
  }
  SECTION("the wrong number of sizes") {
    t.bytes.pop_back();
    CHECK_THAT(said(), ContainsSubstring("3 sizes and 4 costs for 2 units and 2 entries"));
  }
  SECTION("no entries") {
    t.entries.clear();
    CHECK_THAT(said(), ContainsSubstring("no entries"));
  }
  SECTION("a repeated entry") {
    t.entries[1] = "one";
    CHECK_THAT(said(), ContainsSubstring("entry one appears twice"));
  }
  SECTION("a repeated unit") {
    t.units[1].name = "block.0";
    CHECK_THAT(said(), ContainsSubstring("unit block.0 appears twice"));
  }
  SECTION("a unit with the name of a keyword") {
    t.units[1].name = GENERATE("entries", "maker", "original", "two words", "");
    CHECK_THAT(said(), ContainsSubstring("one word that is not a keyword"));
  }
  SECTION("an entry of two words") {
    t.entries[1] = "two words";
    CHECK_THAT(said(), ContainsSubstring("the entry name 'two words'"));
  }
  SECTION("sizes that overflow") {
    t.bytes[0] = std::numeric_limits<std::size_t>::max();
    CHECK_THAT(said(), ContainsSubstring("more than 2^53 bytes"));
  }
  SECTION("sizes of entries that are not admissible do not count") {
    t.bytes[3] = std::numeric_limits<std::size_t>::max();
    CHECK_NOTHROW(check(t));
  }
  SECTION("costs that overflow") {
    t.costs = {1e308, 0, -1e308, 0};
    CHECK_THAT(said(), ContainsSubstring("costs whose sum overflows"));
  }
}

TEST_CASE("an invalid cost table is refused with its line number", "[core][cost_table][refusal]") {
  const auto [body, said] = GENERATE(table<std::string, std::string>({
      {"units block\nentries e\nblock.0 1 1\n", "unit block.1 has no costs; expected one line per unit"},
      {"units block\nentries e\nblock.0 1 1\nblock.0 1 1\n", "line 5: unit 'block.0' has two lines"},
      {"units block\nentries e\nblock.7 1 1\n", "line 4: unit 'block.7' is not in this model"},
      {"units block\nentries e\nblock.0 1\n", "line 4: 1 words for 1 entry; expected UNIT, then BYTES COST"},
      {"units block\nentries e f\nblock.0 1 2 3\n", "line 4: 3 words for 2 entries"},
      {"units block\nentries e\nblock.0 -1 2\n", "line 4: '-1' is not a size"},
      {"units block\nentries e\nblock.0 1 nan\n", "line 4: 'nan' is not a cost"},
      {"units block\nentries e\nblock.0 1 inf\n", "line 4: 'inf' is not a cost; expected a finite number, or -"},
      {"units block\nentries e\nblock.0 1 -\nblock.1 1 1\n", "unit block.0 has no admissible entry"},
      {"units block\nentries e e\nblock.0 1 1 1 1\nblock.1 1 1 1 1\n", "entry e appears twice"},
      {"units block\nunits half\n", "line 3: a second 'units' line"},
      {"original 1\noriginal 2\n", "line 3: a second 'original' line"},
      {"units block\nblock.0\n", "line 3: no entries above the first unit"},
      {"entries e\nentries f\n", "line 3: a second 'entries' line"},
      {"original many\n", "line 2: 'many' is not a size"},
      {"maker x\n", "no units"},
  }));
  CAPTURE(body);
  CHECK_THAT(refusal([&, b = body] { (void)parse_costs("precis-costs 1\n" + b, matrices, "my.costs"); }),
             ContainsSubstring("my.costs: " + said));
}

TEST_CASE("times and notes are written and read back; files without them as before",
          "[core][cost_table][worked-example]") {
  cost_table t{.model = "8c1f",
               .maker = "hand",
               .measure = "nats",
               .original_bytes = 64,
               .entries = {"e", "f"},
               .units = group_units(matrices, unit_kind::block),
               .bytes = {1, 2, 3, 4},
               .costs = {0.5, not_admitted, 2, -1}};
  const std::string old = to_text(t);
  CHECK(old.starts_with("precis-costs 1\n"));
  CHECK(parse_costs(old, matrices) == t);
  t.nanoseconds = {870, 355, not_timed, 615};
  t.notes = {"no data reached b"};
  const std::string text =
      "precis-costs 2\n"
      "model 8c1f\n"
      "maker hand\n"
      "measure nats\n"
      "original 64\n"
      "units block\n"
      "entries e f\n"
      "note no data reached b\n"
      "columns bytes cost nanoseconds\n"
      "block.0  1 0.5 870  2 - 355\n"
      "block.1  3 2 -  4 -1 615\n";
  CHECK(to_text(t) == text);
  CHECK(parse_costs(text, matrices) == t);
}

TEST_CASE("invalid times are refused", "[core][cost_table][refusal]") {
  const auto [body, said] = GENERATE(table<std::string, std::string>({
      {"columns bytes\n", "line 2: columns 'bytes'; expected bytes cost, or bytes cost nanoseconds"},
      {"units block\nentries e\ncolumns bytes cost nanoseconds\nblock.0 1 2\n",
       "line 5: 2 words for 1 entry; expected UNIT, then BYTES COST NANOSECONDS"},
      {"units block\nentries e\ncolumns bytes cost nanoseconds\nblock.0 1 2 -3\n", "line 5: '-3' is not a time"},
      {"units block\nentries e\nblock.0 1 2\ncolumns bytes cost nanoseconds\n", "line 5: columns below the units"},
  }));
  CAPTURE(body);
  CHECK_THAT(refusal([&, b = body] { (void)parse_costs("precis-costs 2\n" + b, matrices, "my.costs"); }),
             ContainsSubstring("my.costs: " + said));
  cost_table t = parse_costs("precis-costs 1\nunits block\nentries e\nblock.0 1 2\nblock.1 1 2\n", matrices);
  t.nanoseconds = {1};
  CHECK(refusal([&] { check(t); }) ==
        "cost table: 1 times for 2 units and 1 entries; expected one time per unit and entry, or none");
  t.nanoseconds = {std::size_t{1} << 53, 1};
  CHECK_THAT(refusal([&] { check(t); }), ContainsSubstring("more than 2^53 nanoseconds"));
}

TEST_CASE("a file of another format is not read as a cost table", "[core][cost_table][refusal]") {
  CHECK_THAT(refusal([] { (void)parse_costs("", matrices); }), ContainsSubstring("cost table: an empty file"));
  CHECK_THAT(refusal([] { (void)parse_costs("precis-scores 1\n", matrices); }),
             ContainsSubstring("it starts with 'precis-scores'"));
}
