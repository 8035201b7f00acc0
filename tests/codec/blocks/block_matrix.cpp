#include <precis/codec/blocks/block_matrix.hpp>

#include <precis/core/menu.hpp>
#include <precis/core/random.hpp>
#include <precis/kernel/dense.hpp>
#include <precis/kernel/multiply.hpp>

#include "catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace precis;

namespace {

using every = menu<codec::q2_k, codec::q3_k, codec::q4_k, codec::q5_k, codec::q6_k, codec::iq4_nl, codec::iq4_xs,
                   codec::mxfp4, codec::nvfp4, codec::tq1_0, codec::tq2_0, codec::q1_0, codec::q2_0, codec::iq1_s,
                   codec::iq1_m, codec::iq2_xxs, codec::iq2_xs, codec::iq2_s, codec::iq3_xxs, codec::iq3_s>;

std::vector<float> normal_weights(std::size_t count) {
  const random_stream random(1, purpose("blocks"));
  std::vector<float> w(count);
  for (std::size_t i = 0; i < count; ++i) w[i] = static_cast<float>(0.02 * random.normal(i));
  return w;
}

/// Calls test(codec) for each codec of a menu.
template<class Test, class... Codecs>
void for_each(menu<Codecs...>, Test test) {
  (test(Codecs{}), ...);
}

}  // namespace

TEST_CASE("block codecs have ggml's sizes, and errors that shrink with their bits", "[codec][blocks]") {
  const std::vector<float> w = normal_weights(4 * 512);
  const weight_view view{w.data(), 4, 512, 512, 1};
  double squares = 0;
  for (const float v : w) squares += static_cast<double>(v) * static_cast<double>(v);
  // 6 dB a bit is what the rate-distortion bound allows; simple codes of Gaussian weights stay within 11 dB of it.
  for_each(every{}, [&]<class Codec>(Codec) {
    const std::size_t bytes = Codec::bytes(4, 512);
    const double bits = static_cast<double>(8 * bytes) / (4 * 512);
    CAPTURE(Codec::name(), bits);
    std::vector<std::byte> packed(bytes);
    Codec::encode(view, packed);
    std::vector<float> back(w.size());
    Codec::decode(packed, {back.data(), 4, 512, 512, 1});
    double error = 0;
    for (std::size_t i = 0; i < w.size(); ++i)
      error += std::pow(static_cast<double>(back[i]) - static_cast<double>(w[i]), 2);
    CHECK(error / squares < std::pow(10, (11 - 6.02 * bits) / 10));
    CHECK(error / squares > std::pow(10, -6.03 * bits / 10));
  });
}

TEST_CASE("block codecs: strided weights, and importance of one, give the bytes of what they stand for",
          "[codec][blocks][property]") {
  const std::vector<float> w = normal_weights(3 * 256);
  std::vector<float> turned(w.size());
  for (std::size_t r = 0; r < 3; ++r)
    for (std::size_t c = 0; c < 256; ++c) turned[c * 3 + r] = w[r * 256 + c];
  for_each(every{}, [&]<class Codec>(Codec) {
    CAPTURE(Codec::name());
    std::vector<std::byte> packed(Codec::bytes(3, 256)), strided(packed.size());
    Codec::encode({w.data(), 3, 256, 256, 1}, packed);
    Codec::encode({turned.data(), 3, 256, 1, 3}, strided);
    CHECK(packed == strided);
    std::vector<float> back(w.size()), again(w.size());
    Codec::decode(packed, {back.data(), 3, 256, 256, 1});
    Codec::decode(packed, {again.data(), 3, 256, 1, 3});
    for (std::size_t r = 0; r < 3; ++r)
      for (std::size_t c = 0; c < 256; ++c) REQUIRE(back[r * 256 + c] == again[c * 3 + r]);
  });
}

TEST_CASE("block codecs @post: the product has the bits of the dense product of the decoded rows",
          "[codec][blocks][property]") {
  const std::vector<float> w = normal_weights(5 * 512), x = normal_weights(512);
  for_each(every{}, [&]<class Codec>(Codec) {
    CAPTURE(Codec::name());
    std::vector<std::byte> packed(Codec::bytes(5, 512));
    Codec::encode({w.data(), 5, 512, 512, 1}, packed);
    std::vector<float> back(w.size()), y(5), expected(5);
    Codec::decode(packed, {back.data(), 5, 512, 512, 1});
    const kernel::packed_matrix m{Codec::format, packed.data(), 5, 512};
    std::vector<float> workspace(kernel::vector_workspace(m));
    kernel::multiply<kernel::formats<Codec::format>>(m, x, y, workspace);
    kernel::matvec(
        kernel::dense_matrix{kernel::dense_type::float32, reinterpret_cast<const std::byte*>(back.data()), 5, 512}, x,
        expected);
    CHECK(y == expected);
  });
}

TEST_CASE("block codecs that keep zero do, in any block", "[codec][blocks][property]") {
  std::vector<float> w = normal_weights(2 * 512);
  const random_stream random(2, purpose("blocks"));
  for (std::size_t i = 0; i < w.size(); ++i)
    if (random.uniform(i) < 0.5 || i >= 768) w[i] = 0;
  for_each(every{}, [&]<class Codec>(Codec) {
    if (!Codec::keeps_zero) return;
    CAPTURE(Codec::name());
    std::vector<std::byte> packed(Codec::bytes(2, 512));
    Codec::encode({w.data(), 2, 512, 512, 1}, packed);
    std::vector<float> back(w.size());
    Codec::decode(packed, {back.data(), 2, 512, 512, 1});
    for (std::size_t i = 0; i < w.size(); ++i)
      if (w[i] == 0) REQUIRE(back[i] == 0);
  });
}

TEST_CASE("block codecs refuse what they cannot hold, by name", "[codec][blocks][refusal]") {
  std::vector<float> w = normal_weights(2 * 320);
  std::vector<std::byte> packed(codec::q4_k::bytes(2, 320));
  REQUIRE_THROWS_WITH(codec::q4_k::encode({w.data(), 2, 320, 320, 1}, packed),
                      ContainsSubstring("rows of 320 weights") && ContainsSubstring("256"));
  packed.resize(codec::q4_k::bytes(2, 256));
  w[256 + 7] = 1e9f;
  REQUIRE_THROWS_WITH(codec::q4_k::encode({w.data(), 2, 256, 256, 1}, packed),
                      ContainsSubstring("row 1, column 0") && ContainsSubstring("65504"));
  w[256 + 7] = std::numeric_limits<float>::infinity();
  REQUIRE_THROWS_WITH(codec::q4_k::encode({w.data(), 2, 256, 256, 1}, packed), ContainsSubstring("row 1, column 7"));
  w[256 + 7] = 0;
  std::vector<float> importance(256, 1.f);
  importance[3] = -1;
  REQUIRE_THROWS_WITH(codec::q4_k::encode({w.data(), 2, 256, 256, 1}, importance, packed),
                      ContainsSubstring("column 3"));
  importance.resize(255);
  REQUIRE_THROWS_WITH(codec::q4_k::encode({w.data(), 2, 256, 256, 1}, importance, packed),
                      ContainsSubstring("255 importances"));
  packed.pop_back();
  REQUIRE_THROWS_WITH(codec::q4_k::decode(packed, {w.data(), 2, 256, 256, 1}), ContainsSubstring("288 bytes"));
}
