#include "kernel/blocks/golden.hpp"

#include "catch.hpp"
#include "shared.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

using namespace precis::kernel;

namespace {

/// Clears a bit of the exponent of every half that is not finite, where the golden file does.
template<class Block>
void make_scales_finite(std::vector<std::byte>& bytes) {
  const auto clear = [](std::byte* half) {
    if (!blocks::is_finite_half(get_word16(half))) half[1] &= std::byte{0xBF};
  };
  for (std::byte* block = bytes.data(); block != bytes.data() + bytes.size(); block += Block::bytes) {
    if constexpr (requires { Block::scale; }) clear(block + Block::scale);
    if constexpr (requires { Block::minimum; }) clear(block + Block::minimum);
    if (!Block::scales_are_finite(block)) block[Block::bytes - 1] &= std::byte{0xBF};  // iq1_m's is spread
  }
}

}  // namespace

TEST_CASE("blocks @post: every type decodes arbitrary bytes to the bits of ggml's decoder",
          "[kernel][blocks][oracle]") {
  const auto path = shared_path("golden/ggml-k-blocks.json");
  if (!path) return;
  std::ifstream file(*path);
  const auto json = nlohmann::json::parse(file);
  std::size_t seen = 0;
  for (const auto& c : json.at("decode")) {
    const std::string name = c.at("type");
    CAPTURE(name, c.at("blocks").get<std::size_t>());
    const bool known = golden::with_block(name, [&](auto block) {
      using type = decltype(block);
      CHECK(json.at("types").at(name).at("id") == type::ggml_id);
      CHECK(json.at("types").at(name).at("weights") == type::weights);
      const std::size_t count = c.at("blocks");
      std::vector<std::byte> bytes(count * type::bytes);
      if (c.contains("fill")) {
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / type::bytes);
      } else {
        golden::splitmix64 random{c.at("seed").get<std::uint64_t>()};
        for (std::size_t i = 0; i < bytes.size(); i += 8) {
          const std::uint64_t word = random.next();
          for (std::size_t k = 0; k < 8 && i + k < bytes.size(); ++k)
            bytes[i + k] = static_cast<std::byte>(word >> 8 * k & 0xFFu);
        }
      }
      make_scales_finite<type>(bytes);
      REQUIRE(golden::fnv(bytes) == c.at("block_fnv1a64").get<std::string>());
      std::vector<float> y(count * type::weights);
      for (std::size_t b = 0; b < count; ++b) type::decode(&bytes[b * type::bytes], &y[b * type::weights]);
      CHECK(golden::fnv(golden::little_endian(y)) == c.at("decoded_fnv1a64").get<std::string>());
    });
    seen += known ? 1 : 0;
  }
  CHECK(seen == 80);
}
