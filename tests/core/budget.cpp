#include <precis/core/budget.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstdint>
#include <limits>
#include <string>

#include <precis/core/random.hpp>

using namespace precis;

TEST_CASE("every kind of budget converts to bytes", "[core][budget][worked-example]") {
  // 1000 weights of 4 bytes, at 4.16 bits per weight: 4160 bits = 520 bytes, compression ratio 7.6923.
  CHECK(bits_per_weight(4.16).bytes(1000, 4000) == 520);
  CHECK(percent_of_original(13).bytes(1000, 4000) == 520);  // a reduction of 87 %
  CHECK(at_most_bytes(520).bytes(1000, 4000) == 520);
  CHECK(bits_per_weight(4.5).bytes(3, 12) == 1);  // 13.5 bits are one whole byte
  CHECK(bits_per_weight(4.5).bytes(0, 0) == 0);
}

TEST_CASE("a budget is printed in the form in which it is parsed", "[core][budget][worked-example]") {
  CHECK(to_string(bits_per_weight(4.5)) == "4.5bpw");
  CHECK(to_string(at_most_bytes(1200000)) == "1200000B");
  CHECK(to_string(percent_of_original(40)) == "40%");
  CHECK(parse_budget("4.5bpw") == bits_per_weight(4.5));
  CHECK(parse_budget("1200000B") == at_most_bytes(1200000));
  CHECK(parse_budget("40%") == percent_of_original(40));
  CHECK(to_string(at_most_nanoseconds(870000)) == "870000ns");
  CHECK(to_string(parse_budget("0.1ms")) == "100000ns");
  for (const char* form : {"870000ns", "870us", "0.87ms"}) CHECK(parse_budget(form) == at_most_nanoseconds(870000));
}

TEST_CASE("a budget bounds bytes or nanoseconds, and leaves the other without a limit",
          "[core][budget][worked-example]") {
  constexpr std::size_t any = std::numeric_limits<std::size_t>::max();
  const budget time = at_most_nanoseconds(870.5), size = at_most_bytes(520);
  CHECK((time.bounds() == resource::nanoseconds && size.bounds() == resource::bytes));
  CHECK((time.nanoseconds() == 870 && time.bytes(1000, 4000) == any));
  CHECK((size.nanoseconds() == any && size.bytes(1000, 4000) == 520));
}

TEST_CASE("parse_budget reads what to_string writes", "[core][budget][property]") {
  const random_stream draws(1, purpose("budget"));
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const budget bits = bits_per_weight(32 * draws.uniform(3 * i) + 1e-9);
    const budget bytes = at_most_bytes(static_cast<std::size_t>(draws.below(3 * i + 1, 1ull << 53)) + 1);
    const budget percent = percent_of_original(100 * draws.uniform(3 * i + 2) + 1e-9);
    const budget time = at_most_nanoseconds(1e9 * draws.uniform(3 * i) + 1e-9);
    for (const budget& b : {bits, bytes, percent, time}) {
      if (b.value >= 0x1.0p53) continue;
      REQUIRE(parse_budget(to_string(b)) == b);
    }
  }
}

TEST_CASE("an invalid budget is refused, and the message shows the forms", "[core][budget][refusal]") {
  const std::string bad = GENERATE("", "4.5", "bpw", "-1bpw", "0bpw", "0B", "1.5B", "nanbpw", "infB", "4.5 bpw",
                                   "4.5bpwx", "4,5bpw", "1e17B", "10KB", "%", "2s", "0ms");
  CAPTURE(bad);
  const std::string said = refusal([&] { (void)parse_budget(bad); });
  CHECK_THAT(said, ContainsSubstring("budget: '" + bad + "' is not a budget"));
  CHECK_THAT(said, ContainsSubstring("4.5bpw") && ContainsSubstring("1200000B") && ContainsSubstring("40%") &&
                       ContainsSubstring("2.5ms"));
}

TEST_CASE("a budget beyond any model allows everything", "[core][budget][property]") {
  CHECK(parse_budget("1e300bpw").bytes(1000, 4000) == std::numeric_limits<std::size_t>::max());
}
