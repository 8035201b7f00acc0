#include <engine/model/rope.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

using engine::rope_settings;
using engine::rope_table;
using engine::rope_type;

namespace {

constexpr double two_pi = 6.283185307179586;

rope_settings plain(std::size_t head_width, std::size_t rotary_width) {
  return {.theta = 500000, .head_width = head_width, .rotary_width = rotary_width};
}

rope_settings llama3() {
  rope_settings s = plain(64, 64);
  s.type = rope_type::llama3;
  s.factor = 32;
  s.original_context = 8192;
  return s;
}

rope_settings yarn() {
  rope_settings s = plain(64, 64);
  s.type = rope_type::yarn;
  s.theta = 150000;
  s.factor = 32;
  s.original_context = 4096;
  return s;
}

rope_settings longrope() {
  rope_settings s = plain(16, 12);
  s.type = rope_type::longrope;
  s.factor = 16;
  s.original_context = 32;
  s.short_factor = {1, 1, 1.25, 1.5, 1.75, 2};
  s.long_factor = {1, 1.125, 2, 4, 9, 21};
  return s;
}

/// The rotation of one head at a position, in double: features `low` and `high` of every pair by its angle.
std::vector<double> rotated(std::vector<double> x, std::size_t position, const std::vector<double>& frequency,
                            double magnitude, std::size_t step, std::size_t apart) {
  for (std::size_t i = 0; i < frequency.size(); ++i) {
    const double angle = static_cast<double>(position) * frequency[i];
    const double low = x[i * step], high = x[i * step + apart];
    x[i * step] = magnitude * (low * std::cos(angle) - high * std::sin(angle));
    x[i * step + apart] = magnitude * (high * std::cos(angle) + low * std::sin(angle));
  }
  return x;
}

std::vector<float> numbers(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(std::sin(0.7 + 1.3 * static_cast<double>(i)));
  return x;
}

void check_close(const std::vector<double>& found, const std::vector<double>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(std::abs(found[i] - expected[i]) <= 1e-12 * std::abs(expected[i]));
}

}  // namespace

TEST_CASE("plain, linear and dynamic frequencies are powers of theta", "[engine][rope][oracle]") {
  rope_settings s = plain(10, 6);
  check_close(engine::frequencies(s, 5).of_pair, {1, std::pow(500000, -2.0 / 6), std::pow(500000, -4.0 / 6)});
  s.type = rope_type::linear;
  s.factor = 4;
  check_close(engine::frequencies(s, 5).of_pair,
              {0.25, std::pow(500000, -2.0 / 6) / 4, std::pow(500000, -4.0 / 6) / 4});
  s.type = rope_type::dynamic;
  s.original_context = 100;
  CHECK(engine::frequencies(s, 100).of_pair == engine::frequencies(plain(10, 6), 100).of_pair);
  const double theta = 500000 * std::pow(4.0 * 150 / 100 - 3, 6.0 / 4);  // d / (d - 2) for 6 features
  check_close(engine::frequencies(s, 150).of_pair, {1, std::pow(theta, -2.0 / 6), std::pow(theta, -4.0 / 6)});
  CHECK(engine::depends_on_length(s));
}

TEST_CASE("llama3 keeps short wavelengths, divides long ones and blends between them", "[engine][rope][oracle]") {
  const rope_settings s = llama3();
  const std::vector<double> found = engine::frequencies(s, 5).of_pair;
  std::size_t kept = 0, divided = 0, blended = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const double f = 1 / std::pow(500000, static_cast<double>(2 * i) / 64), wavelength = two_pi / f;
    double expected = f;
    if (wavelength > 8192 / 1.0) {
      expected = f / 32;
      ++divided;
    } else if (wavelength > 8192 / 4.0) {
      const double smooth = (8192 / wavelength - 1) / (4 - 1);
      expected = (1 - smooth) * f / 32 + smooth * f;
      ++blended;
    } else {
      ++kept;
    }
    CHECK(std::abs(found[i] - expected) <= 1e-12 * expected);
  }
  CHECK(kept > 0);
  CHECK(divided > 0);
  CHECK(blended > 0);
}

TEST_CASE("yarn blends over the pairs, from beta_fast to beta_slow rotations", "[engine][rope][oracle]") {
  rope_settings s = yarn();
  for (const bool truncate : {true, false}) {
    s.truncate = truncate;
    double low = 64 * std::log(4096 / (32 * two_pi)) / (2 * std::log(150000.0));
    double high = 64 * std::log(4096 / (1 * two_pi)) / (2 * std::log(150000.0));
    CHECK(std::floor(low) == 8);  // by hand: 64 * 3.0142 / 23.837 = 8.09, and 64 * 6.4799 / 23.837 = 17.4
    CHECK(std::ceil(high) == 18);
    if (truncate) low = 8, high = 18;
    const std::vector<double> found = engine::frequencies(s, 5).of_pair;
    for (std::size_t i = 0; i < 32; ++i) {
      const double base = std::pow(150000.0, static_cast<double>(2 * i) / 64);
      const double ramp = std::min(1.0, std::max(0.0, (static_cast<double>(i) - low) / (high - low)));
      const double expected = 1 / (32 * base) * ramp + 1 / base * (1 - ramp);
      CHECK(std::abs(found[i] - expected) <= 1e-12 * expected);
    }
  }
  // A context so short that both ends are at the first pair: a step, so that only pair 0 is kept.
  s.original_context = 6;
  s.truncate = true;
  const std::vector<double> step = engine::frequencies(s, 5).of_pair;
  CHECK(step[0] == 1);
  CHECK(std::abs(step[1] - std::pow(150000.0, -2.0 / 64) / 32) < 1e-12);
}

TEST_CASE("the magnitude of yarn and longrope", "[engine][rope][oracle]") {
  rope_settings s = yarn();
  CHECK(engine::frequencies(s, 5).magnitude == Approx(0.1 * std::log(32.0) + 1).epsilon(1e-14));
  s.mscale = 0.5;  // alone it has no effect
  CHECK(engine::frequencies(s, 5).magnitude == Approx(0.1 * std::log(32.0) + 1).epsilon(1e-14));
  s.mscale_all = 2.0;
  CHECK(engine::frequencies(s, 5).magnitude ==
        Approx((0.05 * std::log(32.0) + 1) / (0.2 * std::log(32.0) + 1)).epsilon(1e-14));
  s.attention_factor = 1.5;
  CHECK(engine::frequencies(s, 5).magnitude == 1.5);
  s.attention_factor.reset();
  s.factor = 0.5;
  CHECK(engine::frequencies(s, 5).magnitude == 1);

  rope_settings l = longrope();
  CHECK(engine::frequencies(l, 5).magnitude == Approx(std::sqrt(1 + std::log(16.0) / std::log(32.0))).epsilon(1e-14));
  l.factor = 1;
  CHECK(engine::frequencies(l, 5).magnitude == 1);
  l.attention_factor = 1.25;
  CHECK(engine::frequencies(l, 5).magnitude == 1.25);
  CHECK(engine::frequencies(llama3(), 5).magnitude == 1);
}

TEST_CASE("longrope: a sequence longer than the original context takes the long factors", "[engine][rope][oracle]") {
  const rope_settings s = longrope();
  CHECK(engine::depends_on_length(s));
  CHECK_FALSE(engine::takes_long_factors(s, 32));
  CHECK(engine::takes_long_factors(s, 33));
  for (const std::size_t length : {32u, 33u}) {
    const std::vector<double>& divisor = length > 32 ? s.long_factor : s.short_factor;
    std::vector<double> expected;
    for (std::size_t i = 0; i < 6; ++i)
      expected.push_back(1 / (divisor[i] * std::pow(500000.0, static_cast<double>(2 * i) / 12)));
    check_close(engine::frequencies(s, length).of_pair, expected);
  }
  CHECK_FALSE(engine::depends_on_length(yarn()));
}

TEST_CASE("proportional: exponents of the whole head, a part of its pairs", "[engine][rope][oracle]") {
  CHECK(engine::rotary_width_of(rope_type::proportional, 32, 0.25) == 8);
  CHECK(engine::rotary_width_of(rope_type::proportional, 20, 0.25) == 4);  // floor(2.5) pairs
  CHECK(engine::rotary_width_of(rope_type::plain, 16, 0.75) == 12);
  rope_settings s = plain(20, 4);
  s.type = rope_type::proportional;
  s.factor = 2;
  check_close(engine::frequencies(s, 5).of_pair, {0.5, std::pow(500000.0, -2.0 / 20) / 2});
}

TEST_CASE("rows rotate by their tables, and back by the transpose", "[engine][rope][oracle]") {
  struct shape {
    rope_type type;
    bool half_split;
    std::size_t head_width, rotary_width, step, apart;
  };
  for (const shape& c :
       {shape{rope_type::plain, true, 14, 14, 1, 7}, shape{rope_type::plain, false, 14, 14, 2, 1},
        shape{rope_type::plain, true, 11, 6, 1, 3}, shape{rope_type::plain, false, 11, 6, 2, 1},
        shape{rope_type::proportional, true, 12, 4, 1, 6}, shape{rope_type::yarn, true, 10, 10, 1, 5}}) {
    rope_settings s = plain(c.head_width, c.rotary_width);
    s.type = c.type;
    s.half_split = c.half_split;
    s.factor = 3;
    s.original_context = 20;
    if (c.type == rope_type::plain) s.factor = 1;
    const rope_table table(s, 9, 9);
    REQUIRE(table.pairs() == c.rotary_width / 2);
    REQUIRE(table.positions() == 9);
    const engine::rope_frequencies f = engine::frequencies(s, 9);
    const std::size_t position = 7, heads = 3;
    const std::vector<float> start = numbers(heads * c.head_width);
    std::vector<float> x = start, back = numbers(heads * c.head_width + 5);
    back.erase(back.begin(), back.begin() + 5);
    const std::vector<float> gradient = back;
    table.rotate(x.data(), heads, position);
    table.rotate_back(back.data(), heads, position);
    double forward_product = 0, backward_product = 0;
    for (std::size_t h = 0; h < heads; ++h) {
      const auto first = start.begin() + static_cast<std::ptrdiff_t>(h * c.head_width);
      const std::vector<double> expected = rotated({first, first + static_cast<std::ptrdiff_t>(c.head_width)}, position,
                                                   f.of_pair, f.magnitude, c.step, c.apart);
      for (std::size_t i = 0; i < c.head_width; ++i)
        CHECK(std::abs(static_cast<double>(x[h * c.head_width + i]) - expected[i]) < 3e-7);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      forward_product += static_cast<double>(gradient[i]) * static_cast<double>(x[i]);
      backward_product += static_cast<double>(back[i]) * static_cast<double>(start[i]);
    }
    CHECK(std::abs(forward_product - backward_product) < 1e-5);
  }
}

TEST_CASE("products of rotated heads depend on the distance alone", "[engine][rope][property]") {
  const rope_table table(llama3(), 400, 400);
  const auto product = [&](std::size_t i, std::size_t j) {
    std::vector<float> q = numbers(64), k = numbers(65);
    k.erase(k.begin());
    table.rotate(q.data(), 1, i);
    table.rotate(k.data(), 1, j);
    double sum = 0;
    for (std::size_t e = 0; e < 64; ++e) sum += static_cast<double>(q[e]) * static_cast<double>(k[e]);
    return sum;
  };
  CHECK(std::abs(product(12, 5) - product(399, 392)) < 1e-5);
  CHECK(std::abs(product(12, 5) - product(12, 6)) > 0.1);
}

TEST_CASE("no rotary positions: nothing rotates", "[engine][rope]") {
  std::vector<float> x = numbers(6);
  rope_table().rotate(x.data(), 1, 1000);
  CHECK(x == numbers(6));
  CHECK(rope_table().positions() == 0);
}

TEST_CASE("settings that a type cannot have are refused by name and value", "[engine][rope]") {
  const auto refused = [](rope_settings s, auto change) {
    change(s);
    return refusal([&] { engine::check(s, "config.json"); });
  };
  const auto contains = [](const char* text) { return ContainsSubstring(text); };
  for (const rope_settings& s : {plain(10, 6), llama3(), yarn(), longrope()})
    CHECK(refusal([&] { engine::check(s); }) == "");

  CHECK_THAT(refused(plain(8, 8), [](auto& s) { s.rotary_width = 7; }), contains("config.json: a rotary width of 7"));
  CHECK_THAT(refused(plain(8, 8), [](auto& s) { s.rotary_width = 10; }), contains("at most the head width of 8"));
  CHECK_THAT(refused(plain(8, 8), [](auto& s) { s.rotary_width = 0; }), contains("a rotary width of 0"));
  CHECK_THAT(refused(plain(8, 8), [](auto& s) { s.theta = -1; }), contains("rope_theta = -1"));
  CHECK_THAT(refused(plain(8, 8), [](auto& s) { s.theta = std::nan(""); }), contains("rope_theta"));
  CHECK_THAT(refused(llama3(), [](auto& s) { s.factor = 0; }), contains("factor = 0"));
  CHECK_THAT(refused(llama3(), [](auto& s) { s.original_context = 0; }),
             contains("original_max_position_embeddings = 0"));
  CHECK_THAT(refused(llama3(), [](auto& s) { s.low_frequency_factor = 4; }), contains("high_freq_factor = 4"));
  CHECK_THAT(refused(llama3(), [](auto& s) { s.low_frequency_factor = 0; }), contains("low_freq_factor = 0"));
  CHECK_THAT(refused(yarn(), [](auto& s) { s.beta_fast = 0; }), contains("beta_fast = 0"));
  CHECK_THAT(refused(yarn(), [](auto& s) { s.theta = 1; }), contains("rope_theta = 1"));
  CHECK_THAT(refused(yarn(), [](auto& s) { s.attention_factor = -1.0; }), contains("attention_factor = -1"));
  CHECK_THAT(refused(longrope(), [](auto& s) { s.long_factor.pop_back(); }),
             contains("long_factor with 5 values; expected 6"));
  CHECK_THAT(refused(longrope(), [](auto& s) { s.short_factor[1] = 0; }), contains("short_factor = 0"));
  CHECK_THAT(refused(longrope(), [](auto& s) { s.original_context = 1; }), contains("a rotary magnitude of inf"));
  CHECK_THAT(refused(plain(8, 2),
                     [](auto& s) {
                       s.type = rope_type::dynamic;
                       s.original_context = 8;
                     }),
             contains("a rotary width of 2"));
  CHECK_THAT(refused(plain(8, 4),
                     [](auto& s) {
                       s.type = rope_type::proportional;
                       s.half_split = false;
                     }),
             contains("half-split"));
  CHECK_THROWS_AS(rope_table(plain(8, 7), 4, 4), precis::error);
}
