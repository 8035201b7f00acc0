#include <precis/codec/blocks/encode_k.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis;
using namespace precis::kernel;

TEST_CASE("encode_k: importance moves the error to the weights that matter less; zeros stay zeros",
          "[codec][blocks][property]") {
  const random_stream random(3, purpose("encode_k"));
  std::vector<float> x(256), importance(256), plain(256), weighted(256);
  for (std::size_t i = 0; i < 256; ++i) {
    x[i] = static_cast<float>(random.normal(i));
    importance[i] = i % 4 == 0 ? 100.f : 0.01f;
  }
  const auto error = [&](const std::vector<float>& y) {
    double sum = 0;
    for (std::size_t i = 0; i < 256; ++i)
      sum += static_cast<double>(importance[i]) * static_cast<double>((x[i] - y[i]) * (x[i] - y[i]));
    return sum;
  };
  const auto check = [&](auto block) {
    using type = decltype(block);
    std::vector<std::byte> bytes(type::bytes);
    const auto round_trip = [&](const std::vector<float>& from, const float* q, std::vector<float>& to) {
      codec::blocks::encode(block, from.data(), q, bytes.data());
      type::decode(bytes.data(), to.data());
    };
    round_trip(x, nullptr, plain);
    round_trip(x, importance.data(), weighted);
    CAPTURE(type::name);
    CHECK(error(weighted) < error(plain));
    std::vector<float> zeros(256, 0.f), back(256, 1.f);
    round_trip(zeros, nullptr, back);
    CHECK(back == zeros);
  };
  check(blocks::q2_k{});
  check(blocks::q3_k{});
  check(blocks::q4_k{});
  check(blocks::q5_k{});
  check(blocks::q6_k{});
}
