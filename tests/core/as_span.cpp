#include <precis/core/aligned_bytes.hpp>
#include <precis/core/as_span.hpp>

#include "catch.hpp"

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

using namespace precis;

TEST_CASE("as_span and as_writable_span are the spans to which a vector converts", "[core][as_span][oracle]") {
  std::vector<int> v{3, 1, 2};
  const std::span<const int> read = v;
  const std::span<int> write = v;

  static_assert(std::is_same_v<decltype(as_span(v)), std::span<const int>>);
  static_assert(std::is_same_v<decltype(as_span(std::as_const(v))), std::span<const int>>);
  static_assert(std::is_same_v<decltype(as_writable_span(v)), std::span<int>>);
  CHECK((as_span(v).data() == read.data() && as_span(v).size() == read.size()));
  CHECK((as_writable_span(v).data() == write.data() && as_writable_span(v).size() == write.size()));

  as_writable_span(v)[1] = 7;
  CHECK(v == std::vector<int>{3, 7, 2});
  CHECK(as_span(std::vector<double>{}).empty());
  aligned_bytes bytes(5);  // a vector with another allocator
  CHECK((as_span(bytes).data() == bytes.data() && as_span(bytes).size() == 5));
}

TEST_CASE("as_span and as_writable_span take an address and a count", "[core][as_span][worked-example]") {
  int values[]{3, 1, 2};
  as_writable_span(values + 1, 2)[0] = 7;
  CHECK(values[1] == 7);
  static_assert(std::is_same_v<decltype(as_span(values + 1, 2)), std::span<const int>>);
  CHECK(as_span(values + 1, 2)[1] == 2);
  CHECK(as_span(values, 0).empty());
}
