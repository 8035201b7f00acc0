#include <precis/codec/ggml.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using kernel::ggml_type;

namespace {

constexpr ggml_type every_type[] = {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1,
                                    ggml_type::q8_0};

std::vector<std::byte> blocks_of(ggml_type type, const std::vector<float>& x) {
  const std::size_t each = kernel::layout_of(type).bytes;
  std::vector<std::byte> bytes(x.size() / 32 * each);
  for (std::size_t b = 0; b < x.size() / 32; ++b) kernel::encode_ggml(type, &x[32 * b], &bytes[each * b]);
  return bytes;
}
std::vector<float> values_of(ggml_type type, const std::vector<std::byte>& blocks) {
  const std::size_t each = kernel::layout_of(type).bytes;
  std::vector<float> x(blocks.size() / each * 32);
  for (std::size_t b = 0; b < x.size() / 32; ++b) kernel::decode_ggml(type, &blocks[each * b], &x[32 * b]);
  return x;
}
std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes)
    for (const unsigned nibble : {static_cast<unsigned>(b) >> 4, static_cast<unsigned>(b) & 15u})
      text += "0123456789abcdef"[nibble];
  return text;
}
/// The 64-bit FNV-1a hash of the golden file. It starts from 1469598103934665603, which is FNV's offset basis
/// 14695981039346656037 with one digit missing.
std::string fnv(const std::byte* bytes, std::size_t count) {
  std::uint64_t hash = 1469598103934665603u;
  for (std::size_t i = 0; i < count; ++i) hash = (hash ^ static_cast<std::uint64_t>(bytes[i])) * 0x100000001b3u;
  std::vector<std::byte> big(8);
  for (std::size_t i = 0; i < 8; ++i) big[i] = static_cast<std::byte>(hash >> (56 - 8 * i) & 0xFF);
  return hex(big);
}

std::vector<float> ramp() {
  std::vector<float> x(32);
  for (int k = 0; k < 32; ++k) x[static_cast<std::size_t>(k)] = static_cast<float>((7 * k % 32 - 13) * 0.11);
  return x;
}

}  // namespace

TEST_CASE("ggml blocks have the bytes worked out by hand", "[codec][ggml][worked-example]") {
  const struct {
    ggml_type type;
    const char* bytes;
    double largest_error;
  } expected[] = {
      {ggml_type::q4_0, "ecb37e4b08c4815c29d6a3704b18c5926d3a", 0.1104687},
      {ggml_type::q4_1, "4633b8bd80b3f72a6e91d5084c7fb3e62a5d91c4", 0.1097363},
      {ggml_type::q5_0, "ecaf63cc9831dc751f7913b943bc46e086208a24ca54", 0.0553516},
      {ggml_type::q5_1, "0a2fb8bd983367cc0077ee55cc33aa1188ff66dd44bb2299", 0.0003124},
      {ggml_type::q8_0, "fb23a4d607386ab9eb1c4e7fcf003163b2e4154778c8f92a5cabdd0e3f71c1f22355", 0.0080283},
  };
  const auto x = ramp();
  for (const auto& e : expected) {
    const auto blocks = blocks_of(e.type, x);
    CHECK(hex(blocks) == e.bytes);
    const auto back = values_of(e.type, blocks);
    double largest = 0;
    for (std::size_t j = 0; j < 32; ++j)
      largest = std::max(largest, std::abs(static_cast<double>(back[j]) - static_cast<double>(x[j])));
    CHECK(largest == Approx(e.largest_error).margin(5.1e-8));  // printed with seven decimals
  }
  const auto q4 = values_of(ggml_type::q4_0, blocks_of(ggml_type::q4_0, x));
  CHECK(q4[0] == Approx(-1.4853516).margin(5.1e-8));
  CHECK(q4[1] == Approx(-0.7426758).margin(5.1e-8));
  CHECK(q4[2] == 0);
  CHECK(q4[3] == Approx(0.9902344).margin(5.1e-8));
}

TEST_CASE("ggml @post: byte-identical to the reference quantizers", "[codec][ggml][oracle]") {
  const auto path = shared_path("golden/ggml-blocks.json");
  if (!path) return;
  std::ifstream file(*path);
  const auto golden = nlohmann::json::parse(file);
  std::size_t seen = 0;
  for (const auto& c : golden.at("cases")) {
    const std::string name = c.at("type");
    CAPTURE(name, c.at("seed").get<int>());
    const ggml_type type = name == "q4_0"   ? ggml_type::q4_0
                           : name == "q4_1" ? ggml_type::q4_1
                           : name == "q5_0" ? ggml_type::q5_0
                           : name == "q5_1" ? ggml_type::q5_1
                                            : ggml_type::q8_0;
    std::uint64_t state = c.at("seed");
    const auto uniform = [&] {  // splitmix64
      std::uint64_t z = state += 0x9e3779b97f4a7c15u;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1.0p-53;
    };
    std::vector<float> x(c.at("n").get<std::size_t>());
    const auto zero_from = c.at("zero_from").get<long>();
    for (std::size_t i = 0; i < x.size(); ++i) {
      double sum = uniform();
      for (int k = 0; k < 3; ++k) sum += uniform();
      x[i] = static_cast<float>((sum - 2.0) * c.at("scale").get<double>());
      if (zero_from >= 0 && i >= static_cast<std::size_t>(zero_from)) x[i] = 0;
    }
    const auto blocks = blocks_of(type, x);
    REQUIRE(blocks.size() == c.at("bytes").get<std::size_t>());
    if (c.contains("hex")) REQUIRE(hex(blocks) == c.at("hex").get<std::string>());
    REQUIRE(fnv(blocks.data(), blocks.size()) == c.at("fnv1a64").get<std::string>());
    const auto back = values_of(type, blocks);
    std::vector<std::byte> little(back.size() * 4);
    for (std::size_t i = 0; i < back.size(); ++i)
      kernel::put_word32(std::bit_cast<std::uint32_t>(back[i]), &little[4 * i]);
    bool fits = true;
    for (std::size_t b = 0; b < blocks.size(); b += kernel::layout_of(type).bytes)
      fits = fits && kernel::fits_half(type, &blocks[b]);
    REQUIRE(fits == !c.at("sse").is_null());
    if (fits) REQUIRE(fnv(little.data(), little.size()) == c.at("decoded_fnv1a64").get<std::string>());
    ++seen;
  }
  CHECK(seen == 30);
}

TEST_CASE("repack_ggml @post: every weight decodes to the same bits as before", "[codec][ggml][property]") {
  constexpr std::size_t out = 37, in = 96;
  const random_stream random(1, purpose("ggml"));
  std::vector<float> x(out * in);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(random.normal(i) * (i % 5 == 0 ? 1e-4 : 3.0));
  for (const ggml_type type : every_type) {
    const auto blocks = blocks_of(type, x);
    const auto expected = values_of(type, blocks);
    const auto format = kernel::grid_of(type);
    std::vector<std::byte> packed(format.layout_of(out, in).bytes);
    REQUIRE(packed.size() == blocks.size());
    kernel::repack_ggml(type, blocks.data(), out, in, packed.data());
    std::vector<float> decoded(out * in);
    codec::decode(format, packed, {decoded.data(), out, in, in, 1});
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(static_cast<int>(type), i);
      REQUIRE(decoded[i] == expected[i]);
    }
  }
}

TEST_CASE("ggml codecs work in a menu, and strided weights give the bytes of a contiguous copy",
          "[codec][ggml][property]") {
  using formats = menu<codec::q4_0, codec::q4_1, codec::q5_0, codec::q5_1, codec::q8_0>;
  CHECK(formats::names() == std::array<std::string, 5>{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"});
  static_assert(codec::q4_0::bytes(1, 4096) * 8 == 4096 * 45 / 10 && codec::q8_0::bytes(2, 32) == 68);
  std::vector<float> w(4 * 64), turned(64 * 4);
  for (std::size_t r = 0; r < 4; ++r)
    for (std::size_t c = 0; c < 64; ++c) w[r * 64 + c] = turned[c * 4 + r] = ramp()[(r * 5 + c) % 32];
  for (std::size_t e = 0; e < formats::size; ++e) {
    std::vector<std::byte> dense(formats::bytes(e, 4, 64)), strided(dense.size());
    formats::encode(e, {w.data(), 4, 64, 64, 1}, dense);
    formats::encode(e, {turned.data(), 4, 64, 1, 4}, strided);
    REQUIRE(dense == strided);
    std::vector<float> back(64 * 4), again(4 * 64);
    formats::decode(e, dense, {back.data(), 4, 64, 1, 4});
    formats::decode(e, dense, {again.data(), 4, 64, 64, 1});
    for (std::size_t r = 0; r < 4; ++r)
      for (std::size_t c = 0; c < 64; ++c) REQUIRE(back[c * 4 + r] == again[r * 64 + c]);
  }
}

TEST_CASE("ggml blocks of zeros", "[codec][ggml][worked-example]") {
  const std::vector<float> zeros(32, 0.f);
  CHECK(hex(blocks_of(ggml_type::q4_0, zeros)).substr(4) == std::string(32, '8'));
  CHECK(hex(blocks_of(ggml_type::q5_0, zeros)).substr(4) == "ffffffff" + std::string(32, '0'));
  CHECK(hex(blocks_of(ggml_type::q8_0, zeros)) == std::string(68, '0'));
  for (const ggml_type type : every_type) CHECK(values_of(type, blocks_of(type, zeros)) == zeros);
}

TEST_CASE("ggml codecs refuse rows that are not whole blocks, halves that overflow, and weights that are not finite",
          "[codec][ggml][refusal]") {
  std::vector<float> w(2 * 48, 1.f);
  std::vector<std::byte> packed(codec::q5_1::bytes(2, 48));
  REQUIRE_THROWS_WITH(codec::q5_1::encode({w.data(), 2, 48, 48, 1}, packed),
                      ContainsSubstring("rows of 48 weights") && ContainsSubstring("affine5.g32.h"));
  std::vector<std::byte> two(codec::q4_1::bytes(2, 32));
  w[40] = 2e6f;
  REQUIRE_THROWS_WITH(codec::q4_1::encode({w.data(), 2, 32, 32, 1}, two),
                      ContainsSubstring("row 1, column 0") && ContainsSubstring("65504"));
  w[40] = std::numeric_limits<float>::quiet_NaN();
  REQUIRE_THROWS_WITH(codec::q4_1::encode({w.data(), 2, 32, 32, 1}, two), ContainsSubstring("row 1, column 8"));
  two.pop_back();
  REQUIRE_THROWS_WITH(codec::q4_1::decode(two, {w.data(), 2, 32, 32, 1}), ContainsSubstring("expected 40 bytes"));
}
