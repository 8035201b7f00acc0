#include <precis/core/checks.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <limits>
#include <string_view>
#include <vector>

using namespace precis;

namespace {
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN(),
                 infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("checks accept valid input", "[core][checks][property]") {
  CHECK_NOTHROW(check_not_empty(1, "units", "here"));
  CHECK_NOTHROW(check_same_count(0, "values", 0, "units", "here"));
  CHECK_NOTHROW(check_finite_value(-1e308, "the score", "here"));
  CHECK_NOTHROW(check_range(0, 0, 1, "a sparsity", "here"));
  CHECK_NOTHROW(check_range(1, 0, 1, "a sparsity", "here"));
  CHECK_NOTHROW(check_unique({}, "unit", "here"));
  CHECK_NOTHROW(check_unique({"b", "a"}, "unit", "here"));
  CHECK_NOTHROW(check_unit_name("h.0.mlp", "here"));
  CHECK_NOTHROW(check_model_name("", "here"));
  CHECK_NOTHROW(check_model_name("8c1f", "here"));
}

TEST_CASE("an empty input is refused", "[core][checks][refusal]") {
  CHECK(refusal([] { check_not_empty(0, "units", "here"); }) == "here: no units; expected at least one");
}

TEST_CASE("counts that differ are refused with both numbers", "[core][checks][refusal]") {
  CHECK(refusal([] { check_same_count(3, "values", 4, "units", "here"); }) ==
        "here: 3 values for 4 units; expected as many values as units");
}

TEST_CASE("a value that is not finite is refused by name", "[core][checks][refusal]") {
  CHECK(refusal([] { check_finite_value(not_a_number, "the score of unit a", "here"); }) ==
        "here: the score of unit a is nan; expected a finite number");
  CHECK(refusal([] { check_finite_value(-infinity, "the score of unit a", "here", "finite scores"); }) ==
        "here: the score of unit a is -inf; expected finite scores");
}

TEST_CASE("a value outside a range is refused, NaN too", "[core][checks][refusal]") {
  CHECK(refusal([] { check_range(1.5, 0, 1, "a sparsity", "here"); }) == "here: a sparsity of 1.5; expected 0 to 1");
  CHECK(refusal([] { check_range(-0.5, 0, 1, "a sparsity", "here"); }) == "here: a sparsity of -0.5; expected 0 to 1");
  CHECK(refusal([] { check_range(not_a_number, 0, 0.25, "a cap", "here"); }) ==
        "here: a cap of nan; expected 0 to 0.25");
}

TEST_CASE("a repeated name is refused wherever it stands", "[core][checks][refusal]") {
  CHECK(refusal([] { check_unique({"b", "a", "b"}, "slice", "here"); }) ==
        "here: slice b appears twice; expected unique slice names");
}

TEST_CASE("names that a file could not hold are refused", "[core][checks][refusal]") {
  const std::string_view name = GENERATE("", "two words", "units", "note");
  CHECK(refusal([&] { check_unit_name(name, "here"); }) ==
        "here: the unit name '" + std::string(name) + "'; expected one word that is not a keyword of the file format");
  CHECK(refusal([] { check_model_name("a b", "here"); }) == "here: the model name 'a b'; expected one word");
}

TEST_CASE("an unknown name is refused with the known ones", "[core][checks][refusal]") {
  const std::vector<std::string_view> known{"plain", "quarters"};
  CHECK(refusal([&] { refuse_unknown("codec", "q4", known, "menu"); }) ==
        "menu: no codec called 'q4'; expected one of plain, quarters");
}

TEST_CASE("a weight that is not finite is refused by its position", "[core][checks][refusal]") {
  CHECK(refusal([] { refuse_weight(-std::numeric_limits<float>::infinity(), "h.0.mlp", 3, 17, "here"); }) ==
        "here: the weight of h.0.mlp in row 3, column 17 is -inf; expected finite weights");
}
