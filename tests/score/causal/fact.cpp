#include <precis/score/causal/fact.hpp>

#include "catch.hpp"

#include <vector>

using namespace precis;

TEST_CASE("roles of a prompt, some of which are absent", "[score][causal_trace][worked-example]") {
  using score::token_role;
  using positions = std::vector<std::size_t>;
  // Subject [1, 4) of 8 tokens.
  CHECK(score::positions_of(token_role::first_subject, 1, 4, 8) == positions{1});
  CHECK(score::positions_of(token_role::middle_subject, 1, 4, 8) == positions{2});
  CHECK(score::positions_of(token_role::last_subject, 1, 4, 8) == positions{3});
  CHECK(score::positions_of(token_role::first_after, 1, 4, 8) == positions{4});
  CHECK(score::positions_of(token_role::further, 1, 4, 8) == positions{5, 6});
  CHECK(score::positions_of(token_role::last, 1, 4, 8) == positions{7});
  // The subject ends the prompt.
  CHECK(score::positions_of(token_role::first_after, 2, 4, 4).empty());
  CHECK(score::positions_of(token_role::further, 2, 4, 4).empty());
  CHECK(score::positions_of(token_role::middle_subject, 3, 4, 4).empty());
}

TEST_CASE("each position from the subject on has a role, and none before it", "[score][causal_trace][property]") {
  const std::size_t begin = GENERATE(0u, 1u, 4u), length = GENERATE(1u, 2u, 3u), after = GENERATE(0u, 1u, 2u, 5u);
  const std::size_t tokens = begin + length + after;
  std::vector<std::size_t> seen(tokens);
  for (const score::token_role r : score::token_roles)
    for (const std::size_t t : score::positions_of(r, begin, begin + length, tokens)) {
      REQUIRE(t < tokens);
      ++seen[t];
    }
  for (std::size_t t = 0; t < tokens; ++t) {
    CHECK((seen[t] > 0) == (t >= begin));
    CHECK(seen[t] <= 3);  // a one-token subject at the end is first subject, last subject and last token
  }
}

TEST_CASE("a subject that is not inside its prompt is refused by name", "[score][causal_trace][refusal]") {
  const score::fact f{.name = "outside", .prompt = {1, 2, 3}, .subject_begin = 2, .subject_end = 5, .answer = 0};
  CHECK_THROWS_WITH(score::check(f), ContainsSubstring("fact 'outside'") && ContainsSubstring("[2, 5) of 3"));
}
