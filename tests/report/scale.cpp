#include <report/scale.hpp>

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace report;

namespace {
const double not_a_number = std::numeric_limits<double>::quiet_NaN(),
             infinity = std::numeric_limits<double>::infinity();

std::vector<std::string> labels(const std::vector<tick>& ticks) {
  std::vector<std::string> out;
  for (const tick& t : ticks) out.push_back(t.label);
  return out;
}
}  // namespace

TEST_CASE("short_number of known values", "[report][scale][worked-example]") {
  CHECK(short_number(5.552) == "5.552");
  CHECK(short_number(13.275) == "13.28");
  CHECK(short_number(1203.4) == "1203");
  CHECK(short_number(123400) == "1.2e5");
  CHECK(short_number(9999.6) == "1.0e4");  // rounds up to five digits
  CHECK(short_number(99.999) == "100.0");
  CHECK(short_number(-0.00012) == "-1.2e-4");
  CHECK(short_number(0.021, 3) == "0.0210");
  CHECK(short_number(0) == "0");
  CHECK(short_number(not_a_number) == "n/a");
  CHECK(short_number(infinity) == "\u221E");
  CHECK(short_number(-infinity) == "-\u221E");
  CHECK(short_number(1e300) == "1.0e300");
}

TEST_CASE("ticks are 1, 2 or 5 times a power of ten", "[report][scale][worked-example]") {
  CHECK(labels(ticks({0, 1}, 5)) == std::vector<std::string>{"0", "0.2", "0.4", "0.6", "0.8", "1.0"});
  CHECK(labels(ticks({-3, 12}, 4)) == std::vector<std::string>{"0", "5", "10"});
  CHECK(labels(ticks({0, 300000}, 3)) == std::vector<std::string>{"0", "1e5", "2e5", "3e5"});
  CHECK(labels(ticks({1, 1000, spacing::logarithmic}, 4)) == std::vector<std::string>{"1", "10", "100", "1000"});
  CHECK(labels(ticks({20, 300, spacing::logarithmic}, 6)) == std::vector<std::string>{"20", "50", "100", "200"});
  CHECK(labels(ticks({0.001, 1e6, spacing::logarithmic}, 4)).size() <= 5);
}

TEST_CASE("ticks are inside their scale, ascending, with distinct labels", "[report][scale][property]") {
  for (const double size : {1e-300, 1e-9, 0.037, 1.0, 42.0, 9.9e4, 1.7e5, 3e12, 1e300})
    for (const double from : {-1.0, -0.3, 0.0, 0.6, 0.999})
      for (const std::size_t about : {2u, 5u, 9u}) {
        const scale s{from * size, size};
        const std::vector<tick> t = ticks(s, about);
        INFO(from << " x " << size << ", " << about);
        CHECK(t.size() <= 2 * about + 2);
        for (std::size_t i = 0; i < t.size(); ++i) {
          CHECK((s.at(t[i].value) > -1e-6 && s.at(t[i].value) < 1 + 1e-6));
          if (i > 0) CHECK(t[i].value > t[i - 1].value);
          if (i > 0) CHECK(t[i].label != t[i - 1].label);
        }
      }
}

TEST_CASE("a scale contains its values and is never empty", "[report][scale][property]") {
  CHECK(scale_of(std::vector<double>{3, not_a_number, -1, infinity}).low == -1);
  CHECK(scale_of(std::vector<double>{3, not_a_number, -1, infinity}).high == 3);
  CHECK(scale_of(std::vector<double>{-1, 0, 4, 2}, spacing::logarithmic).low == 2);
  for (const spacing kind : {spacing::linear, spacing::logarithmic})
    for (const std::vector<double>& values :
         {std::vector<double>{}, {7, 7}, {0}, {not_a_number}, {-5}, {1e308, -1e308}, {1e-320}, {1e308}}) {
      const scale s = scale_of(values, kind);
      CHECK(s.low < s.high);
      CHECK(std::isfinite(s.high - s.low));
      for (const double v : {s.low, s.high, (s.low + s.high) / 2}) CHECK(std::isfinite(s.at(v)));
      const scale w = widened(s, 5);
      CHECK((w.low <= s.low * (s.low > 0 ? 1 + 1e-9 : 1 - 1e-9) + 1e-300 &&
             w.high >= s.high * (s.high > 0 ? 1 - 1e-9 : 1 + 1e-9)));
      CHECK(std::isfinite(w.high - w.low));
    }
  CHECK(scale{1, 100, spacing::logarithmic}.at(10) == Approx(0.5));
}

TEST_CASE("spread keeps order and gaps", "[report][scale][property]") {
  CHECK(spread({10, 50}, 15, 0, 100) == std::vector<double>{10, 50});
  CHECK(spread({50, 49}, 15, 0, 100) == std::vector<double>{64, 49});
  CHECK(spread({98, 99}, 15, 0, 100) == std::vector<double>{85, 100});
  CHECK(spread({}, 15, 0, 100).empty());
  const std::vector<double> many = spread({5, 3, 3, 90, 91, 95}, 12, 0, 100);
  for (std::size_t i = 0; i < many.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) CHECK(std::abs(many[i] - many[j]) >= 12 - 1e-9);
  for (const double p : many) CHECK((p >= 0 && p <= 100));
}
