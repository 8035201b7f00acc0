#include <precis/core/thread_pool.hpp>
#include <precis/cost/error_scan.hpp>

#include "catch.hpp"
#include "cost/written_model.hpp"

#include <algorithm>
#include <utility>
#include <vector>

using namespace precis;
using namespace written;

TEST_CASE("scan_errors @post: each sum is that of the matrix which pack_matrix and decode return",
          "[cost][error_scan][oracle]") {
  const written_model m = random_model();
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
      // The difference is computed in float. It is exact unless a weight is clipped to less than half of its value;
      // then its relative error is 2^-24.
      CHECK(s.squares[e] == Approx(sum).epsilon(1.2e-7));
    }
  }
}

TEST_CASE("scan_errors gives the same sums for groups that are scanned sixteen at a time and for the rest",
          "[cost][error_scan][oracle]") {
  // Short groups that fill sixteens and leave a rest, groups of several lengths, and weights whose scales need real
  // divisions. The sums are those of the addends decoded - weight, lane by lane and block of rows by block of rows.
  using short_groups = menu<codec::affine<4, 32>, codec::symmetric<8, 32>, codec::affine<2, 64>,
                            codec::symmetric_full<3, 32>, codec::affine<8, 32, codec::scale_type::float16>>;
  const random_stream random(9, purpose("weights"));
  for (const double unit : {1.0, 1e-36}) {
    const matrix_info info{"m", 0, part::mlp, 37, 32 * 37 + 5};
    float_matrix w(info.out, info.in);
    for (std::size_t i = 0; i < w.values.size(); ++i) w.values[i] = static_cast<float>(unit * random.normal(i));
    std::vector<std::size_t> all;
    for (std::size_t e = 0; e < short_groups::size; ++e) all.push_back(e);
    const cost::scanned_errors s = cost::scan_errors<short_groups>(w.view(), info, all);
    for (const std::size_t e : all) {
      std::vector<std::byte> packed(short_groups::bytes(e, info.out, info.in));
      short_groups::encode(e, w.view(), packed);
      float_matrix back(info.out, info.in);
      short_groups::decode(e, packed, back.view());
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
      CAPTURE(short_groups::names()[e], unit);
      CHECK(s.squares[e] == total);
    }
  }
}

TEST_CASE("scan_errors @post: equal on any executor, and with any strides", "[cost][error_scan][property]") {
  const written_model m = random_model();
  const std::vector<std::size_t> all{0, 1, 2, 3, 4, 5, 6, 7};
  const cost::scanned_errors sequential_errors = cost::scan_errors<formats>(m.weights(0), m.infos[0], all);
  const cost::scanned_errors threaded = cost::scan_errors<formats>(m.weights(0), m.infos[0], all, thread_pool{3});
  CHECK(sequential_errors.squares == threaded.squares);
  CHECK(sequential_errors.signal == threaded.signal);
  float_matrix turned(m.infos[0].in, m.infos[0].out);
  codec::copy_values(m.weights(0), turned.view().transposed());
  CHECK(cost::scan_errors<formats>(std::as_const(turned).view().transposed(), m.infos[0], all).squares ==
        sequential_errors.squares);
  // Scanning one entry at a time gives the sums of scanning all.
  for (const std::size_t e : all)
    CHECK(cost::scan_errors<formats>(m.weights(0), m.infos[0], std::vector{e}).squares[0] ==
          sequential_errors.squares[e]);
}
