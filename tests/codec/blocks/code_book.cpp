#include <precis/codec/blocks/code_book.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

using namespace precis;

TEST_CASE("code_book: the first candidate is a nearest entry, found by comparing all", "[codec][blocks][oracle]") {
  namespace tables = kernel::blocks::lattice_tables;
  const auto check = [](std::span<const std::uint16_t> entries, unsigned values, unsigned levels) {
    const codec::blocks::code_book book(entries, values, 2);
    for (std::size_t t = 0; t < 500; ++t) {
      std::size_t tuple = 0, rest = t * 2654435761u;
      for (unsigned i = 0; i < values; ++i, rest /= levels) tuple |= rest % levels << book.bits() * i;
      unsigned least = std::numeric_limits<unsigned>::max();
      const auto distance = [&](std::size_t other) {
        unsigned sum = 0;
        for (unsigned i = 0; i < values; ++i) {
          const int step = static_cast<int>(book.code(tuple, i)) - static_cast<int>(book.code(other, i));
          sum += static_cast<unsigned>(step * step);
        }
        return sum;
      };
      for (const std::uint16_t e : entries) least = std::min(least, distance(e));
      REQUIRE(distance(book.tuple_of(book.candidates(tuple)[0])) == least);
      REQUIRE(book.holds(tuple) == (least == 0));
    }
  };
  check(tables::iq2_xs, 8, 3);
  check(tables::iq3_xxs, 4, 8);
}
