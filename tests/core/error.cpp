#include <precis/core/error.hpp>

#include "catch.hpp"

#include <exception>
#include <string>
#include <type_traits>

using namespace precis;

TEST_CASE("a problem is one line: where, what, expected", "[core][error][worked-example]") {
  CHECK(problem{.what = "5 of 4", .where = "menu", .expected = "at most 4"}.message() ==
        "menu: 5 of 4; expected at most 4");
  CHECK(problem{.what = "5 of 4", .where = "", .expected = "at most 4"}.message() == "5 of 4; expected at most 4");
  CHECK(problem{.what = "5 of 4", .where = "menu", .expected = ""}.message() == "menu: 5 of 4");
}

TEST_CASE("refuse throws an error that keeps the three parts", "[core][error][refusal]") {
  try {
    refuse({.what = "w", .where = "x", .expected = "y"});
  } catch (const std::exception& e) {  // a caller that catches std::exception sees the whole message
    CHECK(std::string(e.what()) == "x: w; expected y");
    const auto* ours = dynamic_cast<const error*>(&e);
    REQUIRE(ours != nullptr);
    CHECK(ours->reason().what == "w");
    CHECK(ours->reason().where == "x");
    CHECK(ours->reason().expected == "y");
  }
}

TEST_CASE("a copy of an error has the same message", "[core][error][property]") {
  std::string text;
  {
    const error first(problem{.what = std::string(100, 'a'), .where = "b", .expected = "c"});
    const error copy = first;
    text = copy.what();
  }
  CHECK(text == "b: " + std::string(100, 'a') + "; expected c");
  STATIC_REQUIRE(std::is_copy_constructible_v<error>);
}

TEST_CASE("on_refusal returns the previous hook", "[core][error][property]") {
  const refusal_hook mine = [](const problem&) {};
  const refusal_hook before = on_refusal(mine);
  CHECK(on_refusal(before) == mine);
}
