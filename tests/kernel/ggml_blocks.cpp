#include <precis/kernel/ggml_blocks.hpp>

#include <precis/codec/grid/matrix.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

using namespace precis;
using namespace precis::kernel;

namespace {

constexpr ggml_type every_type[] = {ggml_type::q4_0, ggml_type::q4_1, ggml_type::q5_0, ggml_type::q5_1,
                                    ggml_type::q8_0};

std::vector<std::byte> blocks_of(ggml_type type, const std::vector<float>& x) {
  const std::size_t each = layout_of(type).bytes;
  std::vector<std::byte> bytes(x.size() / 32 * each);
  for (std::size_t b = 0; b < x.size() / 32; ++b) encode_ggml(type, &x[32 * b], &bytes[each * b]);
  return bytes;
}
std::vector<float> values_of(ggml_type type, const std::vector<std::byte>& blocks) {
  const std::size_t each = layout_of(type).bytes;
  std::vector<float> x(blocks.size() / each * 32);
  for (std::size_t b = 0; b < x.size() / 32; ++b) decode_ggml(type, &blocks[each * b], &x[32 * b]);
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

TEST_CASE("ggml blocks have the bytes worked out by hand", "[kernel][ggml_blocks][worked-example]") {
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

TEST_CASE("ggml @post: byte-identical to the reference quantizers", "[kernel][ggml_blocks][oracle]") {
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
    for (std::size_t i = 0; i < back.size(); ++i) put_word32(std::bit_cast<std::uint32_t>(back[i]), &little[4 * i]);
    bool fits = true;
    for (std::size_t b = 0; b < blocks.size(); b += layout_of(type).bytes) fits = fits && fits_half(type, &blocks[b]);
    REQUIRE(fits == !c.at("sse").is_null());
    if (fits) REQUIRE(fnv(little.data(), little.size()) == c.at("decoded_fnv1a64").get<std::string>());
    ++seen;
  }
  CHECK(seen == 30);
}

TEST_CASE("repack_ggml @post: every weight decodes to the same bits as before", "[kernel][ggml_blocks][property]") {
  constexpr std::size_t out = 37, in = 96;
  const random_stream random(1, purpose("ggml"));
  std::vector<float> x(out * in);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(random.normal(i) * (i % 5 == 0 ? 1e-4 : 3.0));
  for (const ggml_type type : every_type) {
    const auto blocks = blocks_of(type, x);
    const auto expected = values_of(type, blocks);
    const auto format = grid_of(type);
    std::vector<std::byte> packed(format.layout_of(out, in).bytes);
    REQUIRE(packed.size() == blocks.size());
    repack_ggml(type, blocks.data(), out, in, packed.data());
    std::vector<float> decoded(out * in);
    codec::decode(format, packed, {decoded.data(), out, in, in, 1});
    for (std::size_t i = 0; i < x.size(); ++i) {
      CAPTURE(static_cast<int>(type), i);
      REQUIRE(decoded[i] == expected[i]);
    }
  }
}

TEST_CASE("ggml blocks of zeros", "[kernel][ggml_blocks][worked-example]") {
  const std::vector<float> zeros(32, 0.f);
  CHECK(hex(blocks_of(ggml_type::q4_0, zeros)).substr(4) == std::string(32, '8'));
  CHECK(hex(blocks_of(ggml_type::q5_0, zeros)).substr(4) == "ffffffff" + std::string(32, '0'));
  CHECK(hex(blocks_of(ggml_type::q8_0, zeros)) == std::string(68, '0'));
  for (const ggml_type type : every_type) CHECK(values_of(type, blocks_of(type, zeros)) == zeros);
}

TEST_CASE("fits_half tells a d or m that a half cannot hold", "[kernel][ggml_blocks][worked-example]") {
  std::vector<float> x(32, 0.f);
  x[0] = -65504.f * 8;  // q4_0: d = x / -8, the largest half
  CHECK(fits_half(ggml_type::q4_0, blocks_of(ggml_type::q4_0, x).data()));
  x[0] = -65520.f * 8;  // halfway between 65504 and 65536: rounded to infinity
  CHECK_FALSE(fits_half(ggml_type::q4_0, blocks_of(ggml_type::q4_0, x).data()));
  std::ranges::fill(x, 70000.f);  // q4_1: d = 0, but m is too large
  CHECK_FALSE(fits_half(ggml_type::q4_1, blocks_of(ggml_type::q4_1, x).data()));
  CHECK(fits_half(ggml_type::q8_0, blocks_of(ggml_type::q8_0, x).data()));  // d = 70000 / 127
}
