#include <engine/model_files/ggml_repack.hpp>

#include <precis/codec/standard_menu.hpp>
#include <precis/core/random.hpp>

#include "catch.hpp"

using precis::codec::standard;

namespace {

constexpr std::size_t out = 20, in = 256;

std::vector<std::byte> encoded(const std::string& codec, const std::vector<float>& w) {
  const std::size_t entry = standard::index_of(codec);
  std::vector<std::byte> packed(standard::bytes(entry, out, in));
  standard::encode(entry, {w.data(), out, in, in, 1}, packed);
  return packed;
}
std::vector<float> decoded(const std::string& codec, const std::vector<std::byte>& packed) {
  std::vector<float> w(out * in);
  standard::decode(standard::index_of(codec), packed, {w.data(), out, in, in, 1});
  return w;
}

}  // namespace

TEST_CASE("repack_as_ggml: the smallest type whose grid coincides, and the same values", "[engine][ggml][property]") {
  const precis::random_stream random(3, precis::purpose("repack"));
  std::vector<float> w(out * in);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(random.normal(i));
  const std::pair<const char*, const char*> lossless[] = {
      {"symmetric4.g32.h", "q4_0"},      {"symmetric_full4.g128.h", "q4_0"}, {"symmetric3.row.h", "q4_0"},
      {"symmetric_full5.g64.h", "q5_0"}, {"affine4.g32.h", "q5_0"},          {"min_anchored4.g32.h", "q4_1"},
      {"min_anchored5.g64.h", "q5_1"},   {"symmetric_full8.row.h", "q8_0"},  {"symmetric6.tensor.h", "q8_0"}};
  for (const auto& [codec, type] : lossless) {
    CAPTURE(codec);
    const std::vector<std::byte> packed = encoded(codec, w);
    const auto found = engine::repack_as_ggml(codec, packed, out, in);
    REQUIRE(found);
    CHECK(found->type == type);
    CHECK(decoded(found->type, found->bytes) == decoded(codec, packed));
  }
  // Scales that are no halves, codes of more bits than a block has, and other kinds of formats.
  for (const char* codec : {"symmetric4.g32", "affine8.g32.h", "min_anchored8.g32.h", "symmetric16.row.h", "e4m3.g32.h",
                            "codebook4.row", "keep2of4.float16", "float16", "q4_k"}) {
    CAPTURE(codec);
    CHECK_FALSE(engine::repack_as_ggml(codec, encoded(codec, w), out, in));
  }
}
