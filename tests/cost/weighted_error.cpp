#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/min_anchored.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/random.hpp>
#include <precis/cost/weighted_error.hpp>
#include <precis/score/weight_magnitude.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

using formats = menu<codec::affine<2, 32>, codec::affine<4, 32>, codec::symmetric<4, codec::per_tensor>,
                     codec::affine<8, codec::per_row>, codec::affine<3, 20>, codec::min_anchored<4, 32>,
                     codec::affine<16, 32>, codec::float16>;

/// Matrices that one writes down.
struct written {
  std::vector<matrix_info> infos;
  std::vector<float_matrix> maps;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t i) const { return maps[i].view(); }
};

written random_model() {
  const random_stream random(5, purpose("weights"));
  written m;
  std::size_t draw = 0;
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{70, 100}, {33, 64}, {5, 7}, {64, 128}}) {
    const std::size_t i = m.infos.size();
    m.infos.push_back({"m" + std::to_string(i), i / 2, part::mlp, out, in});
    m.maps.emplace_back(out, in);
    for (float& x : m.maps.back().values) x = static_cast<float>(random.normal(draw++));
  }
  return m;
}

scores of(const written& m, std::vector<double> values) {
  return {.model = "8c1f",
          .scorer = "hand",
          .measure = "none",
          .units = group_units(m.infos, unit_kind::block),
          .values = std::move(values)};
}

}  // namespace

TEST_CASE("a table by hand", "[cost][weighted_error][worked-example]") {
  // affine2.row of (0, 1, 2, 4): range 0 ... 4, scale 4/3, codes 0, 1, 2 (1.5 -> 2), 3: decoded 0, 4/3, 8/3, 4.
  // Squared errors 0, 1/9, 4/9, 0 = 5/9 of 21. (3, 0, 0, 3) comes back as it is.
  const written m{{{"a", 0, part::mlp, 1, 4}, {"b", 1, part::mlp, 1, 4}, {"c", 2, part::mlp, 1, 4}},
                  {{1, 4, std::vector<float>{0, 1, 2, 4}},
                   {1, 4, std::vector<float>{3, 0, 0, 3}},
                   {1, 4, std::vector<float>{0, 2, 4, 8}}}};
  using two = menu<codec::affine<2>>;
  const cost_table t = cost::weighted_error<two>{.floor = 0.25}(m, of(m, {-1, 5, 2}));
  CHECK(t.entries == std::vector<std::string>{"affine2.row"});
  CHECK(t.bytes == std::vector<std::size_t>{6, 6, 6});  // scale 4, zero point 1, codes 1
  CHECK(t.original_bytes == 48);
  CHECK(t.model == "8c1f");
  CHECK(t.maker == "weighted_error relative of hand");
  // minmax (0, 1, 0.5) -> 0.25, 1, 0.625. 4/3 as a float32 scale: right to 1e-7.
  CHECK(t.costs[0] == Approx(0.25 * 5 / 9 / 21).epsilon(1e-6));
  CHECK(t.costs[1] == 0);
  CHECK(t.costs[2] == Approx(0.625 * 5 / 9 / 21).epsilon(1e-6));
  using absolute = cost::weighted_error<two>;
  const cost_table a = absolute{.by = absolute::scale::absolute, .floor = 0.25}(m, of(m, {-1, 5, 2}));
  CHECK(a.costs[0] == Approx(0.25 * 5 / 9).epsilon(1e-6));
  CHECK(a.costs[2] == Approx(0.625 * 5 / 9 * 4).epsilon(1e-6));
}

TEST_CASE("scan_errors @post: each sum is that of the matrix which pack_matrix and decode give back",
          "[cost][error_scan][oracle]") {
  const written m = random_model();
  std::vector<std::size_t> all;
  for (std::size_t e = 0; e < formats::size; ++e) all.push_back(e);
  for (std::size_t i = 0; i < m.maps.size(); ++i) {
    const cost::scanned_errors s = cost::scan_errors<formats>(m.weights(i), m.infos[i], all);
    double signal = 0;
    for (const float x : m.maps[i].values) signal += static_cast<double>(x) * static_cast<double>(x);
    CHECK(s.signal == Approx(signal).epsilon(1e-12));
    for (const std::size_t e : all) {
      std::vector<std::byte> packed(formats::bytes(e, m.infos[i].out, m.infos[i].in));
      formats::encode(e, m.weights(i), packed);
      float_matrix back(m.infos[i].out, m.infos[i].in);
      formats::decode(e, packed, back.view());
      double sum = 0;
      for (std::size_t k = 0; k < back.values.size(); ++k) {
        const double d = static_cast<double>(back.values[k]) - static_cast<double>(m.maps[i].values[k]);
        sum += d * d;
      }
      CAPTURE(i, formats::names()[e]);
      // The difference is taken in float: exact unless a weight is clipped to less than half of it, else right to 2^-24.
      CHECK(s.squares[e] == Approx(sum).epsilon(1.2e-7));
    }
  }
}

TEST_CASE("scan_errors takes sixteen groups of a row together: the same sums, whatever is beside them",
          "[cost][error_scan][oracle]") {
  // Short groups that fill sixteens and leave some over, groups of several lengths, weights whose scales need care. The sums
  // are those of the addends decoded - weight, lane by lane and row block by row block.
  using several = menu<codec::affine<4, 32>, codec::symmetric<8, 32>, codec::affine<2, 64>,
                       codec::symmetric_full<3, 32>, codec::affine<8, 32, codec::scale_type::float16>>;
  const random_stream random(9, purpose("weights"));
  for (const double unit : {1.0, 1e-36}) {
    const matrix_info info{"m", 0, part::mlp, 37, 32 * 37 + 5};
    float_matrix w(info.out, info.in);
    for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(unit * random.normal(i));
    std::vector<std::size_t> all;
    for (std::size_t e = 0; e < several::size; ++e) all.push_back(e);
    const cost::scanned_errors s = cost::scan_errors<several>(w.view(), info, all);
    for (const std::size_t e : all) {
      std::vector<std::byte> packed(several::bytes(e, info.out, info.in));
      several::encode(e, w.view(), packed);
      float_matrix back(info.out, info.in);
      several::decode(e, packed, back.view());
      double total = 0;
      for (std::size_t first = 0; first < info.out; first += 32) {
        double lanes[16] = {};
        for (std::size_t r = first; r < std::min(first + 32, info.out); ++r)
          for (std::size_t c = 0; c < info.in; ++c) {
            const auto d = static_cast<double>(back(r, c) - w(r, c));
            lanes[c % 16] += d * d;
          }
        for (std::size_t half = 8; half > 0; half /= 2)
          for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
        total += lanes[0];
      }
      CAPTURE(several::names()[e], unit);
      CHECK(s.squares[e] == total);
    }
  }
}

TEST_CASE("scan_errors @post: equal on any executor, whatever the strides", "[cost][error_scan][property]") {
  const written m = random_model();
  const std::vector<std::size_t> all{0, 1, 2, 3, 4, 5, 6, 7};
  const cost::scanned_errors one = cost::scan_errors<formats>(m.weights(0), m.infos[0], all);
  const cost::scanned_errors three = cost::scan_errors<formats>(m.weights(0), m.infos[0], all, thread_pool{3});
  CHECK(one.squares == three.squares);
  CHECK(one.signal == three.signal);
  float_matrix turned(m.infos[0].in, m.infos[0].out);
  codec::copy_values(m.weights(0), turned.view().transposed());
  CHECK(cost::scan_errors<formats>(std::as_const(turned).view().transposed(), m.infos[0], all).squares == one.squares);
  // One entry at a time is all entries together.
  for (const std::size_t e : all)
    CHECK(cost::scan_errors<formats>(m.weights(0), m.infos[0], std::vector{e}).squares[0] == one.squares[e]);
}

TEST_CASE("weighted_error @post: S -> a S + b with a > 0 changes nothing; equal on any executor",
          "[cost][weighted_error][property]") {
  const written m = random_model();
  const cost::weighted_error<formats> method{};
  const cost_table t = method(m, of(m, {1, 3}));
  CHECK(method(m, of(m, {1, 3}), thread_pool{2}) == t);
  const cost_table moved = method(m, of(m, {-8 + 4, -8 + 12}));  // powers of two: exact
  CHECK(moved.costs == t.costs);
  // The lowest score counts a thousandth, so every error of block 0 is that of equal scores over 500.5.
  const cost_table equal = method(m, of(m, {7, 7}));
  for (std::size_t e = 0; e < formats::size; ++e) CHECK(equal.costs_of(0)[e] == Approx(t.costs_of(0)[e] * 500.5));
}

TEST_CASE("entries are those asked for, in their order", "[cost][weighted_error][worked-example]") {
  const written m = random_model();
  const cost_table all = cost::weighted_error<formats>{}(m, of(m, {1, 2}));
  CHECK(all.entries.size() == formats::size);
  const cost_table some =
      cost::weighted_error<codec::standard>{.entries = {"float16", "affine4.g32"}}(m, of(m, {1, 2}));
  CHECK(some.entries == std::vector<std::string>{"float16", "affine4.g32"});
  CHECK(some.costs_of(1)[0] == all.costs_of(1)[7]);
  CHECK(some.costs_of(1)[1] == all.costs_of(1)[1]);
  CHECK(some.bytes_of(0)[0] == 2 * (70 * 100 + 33 * 64));
}

TEST_CASE("a scored model goes straight in", "[cost][weighted_error][worked-example]") {
  const micro_transformer m;
  const cost_table t = cost::weighted_error<codec::standard>{.entries = {"affine2.row", "float32"}}(
      m, score::weight_magnitude{.units = unit_kind::matrix}(m));
  REQUIRE(t.units.size() == 4);
  for (std::size_t u = 0; u < 4; ++u) CHECK(t.costs_of(u)[1] == 0);  // as they were
  CHECK(t.costs_of(0)[0] > 0);
}

TEST_CASE("weighted_error refuses what it cannot weigh", "[cost][weighted_error][refusal]") {
  written m = random_model();
  const cost::weighted_error<formats> method{};
  CHECK_THAT(refusal([&] { (void)method(m, of(m, {1, std::numeric_limits<double>::quiet_NaN()})); }),
             ContainsSubstring("cost::weighted_error: the score of unit block.1"));
  scores others = of(m, {1, 2});
  others.units[1].name = "block.7";
  CHECK_THAT(refusal([&] { (void)method(m, others); }), ContainsSubstring("the units of the scores differ"));
  CHECK_THAT(refusal([&] { (void)cost::weighted_error<formats>{.floor = 0}(m, of(m, {1, 2})); }),
             ContainsSubstring("a floor of 0"));
  CHECK_THAT(refusal([&] { (void)cost::weighted_error<formats>{.entries = {"affine9"}}(m, of(m, {1, 2})); }),
             ContainsSubstring("no codec called 'affine9'"));
  m.maps[2](3, 1) = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal([&] { (void)method(m, of(m, {1, 2})); }),
             ContainsSubstring("m2: ") && ContainsSubstring("row 3, column 1"));
}
