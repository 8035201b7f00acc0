#include <engine/files/memory.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cstddef>
#include <limits>
#include <new>
#include <vector>

TEST_CASE("want of memory is refused with its size and purpose", "[engine][files][refusal]") {
  CHECK(engine::bytes_as_text(35'000'000) == "35.0 MB");
  CHECK(engine::bytes_as_text(1'249'000'000) == "1.2 GB");
  CHECK(engine::with_memory(1, "nothing", [] { return 7; }) == 7);
  const auto said = [](auto&& work) {
    return refusal([&] { engine::with_memory(1'200'000'000, "the cache of 10 tokens", work); });
  };
  const std::string expected = "not enough memory: needs 1.2 GB for the cache of 10 tokens";
  CHECK_THAT(said([] { throw std::bad_alloc(); }), ContainsSubstring(expected));
  CHECK_THAT(said([] {
               std::vector<float> none;
               none.reserve(std::numeric_limits<std::size_t>::max());  // more than any vector holds
             }),
             ContainsSubstring(expected));
}
