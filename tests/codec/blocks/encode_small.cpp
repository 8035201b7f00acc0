#include <precis/codec/blocks/encode_small.hpp>

#include "catch.hpp"

#include <cstddef>
#include <vector>

using namespace precis::kernel;

TEST_CASE("blocks of 32: importance moves the error to the weights that matter less", "[codec][blocks][property]") {
  std::vector<float> x(64), importance(64), plain(64), weighted(64);
  for (std::size_t i = 0; i < 64; ++i) {
    x[i] = static_cast<float>(i * 37 % 64) / 64 - 0.45f;
    importance[i] = i % 4 == 0 ? 100.f : 0.01f;
  }
  const auto error = [&](const std::vector<float>& y) {
    double sum = 0;
    for (std::size_t i = 0; i < 64; ++i)
      sum += static_cast<double>(importance[i]) * static_cast<double>((x[i] - y[i]) * (x[i] - y[i]));
    return sum;
  };
  const auto check = [&](auto block) {
    using type = decltype(block);
    std::vector<std::byte> without(2 * type::bytes), with(2 * type::bytes);
    precis::codec::blocks::encode_row(block, x.data(), 64, nullptr, without.data());
    precis::codec::blocks::encode_row(block, x.data(), 64, importance.data(), with.data());
    for (std::size_t b = 0; b < 2; ++b) {
      type::decode(&without[b * type::bytes], &plain[32 * b]);
      type::decode(&with[b * type::bytes], &weighted[32 * b]);
    }
    CAPTURE(type::name);
    CHECK(error(weighted) < error(plain));
  };
  check(blocks::q4_0{});
  check(blocks::q4_1{});
  check(blocks::q5_0{});
  check(blocks::q5_1{});
}
