#include <engine/files/gguf.hpp>

#include "catch.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <bit>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace support;
using engine::gguf_item;

namespace {

std::string text(std::string_view t) { return raw(std::uint64_t{t.size()}) + std::string(t); }
std::string u32(std::uint32_t v) { return raw(v); }
std::string u64(std::uint64_t v) { return raw(v); }
std::string begin(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
  return "GGUF" + u32(version) + u64(tensors) + u64(keys);
}
std::string tensor(std::string_view name, const std::vector<std::uint64_t>& extents, std::uint32_t type,
                   std::uint64_t offset) {
  std::string t = text(name) + u32(static_cast<std::uint32_t>(extents.size()));
  for (const std::uint64_t e : extents) t += u64(e);
  return t + u32(type) + u64(offset);
}
std::string padded(std::string t, std::size_t data) {
  t.resize((t.size() + 31) / 32 * 32);
  return t + std::string(data, '\0');
}
std::string refused(const std::string& file) {
  return refusal([&] { (void)engine::parse_gguf(as_bytes(file), "x.gguf"); });
}

}  // namespace

TEST_CASE("a GGUF file, byte by byte", "[engine][gguf][worked-example]") {
  const temporary_folder folder;
  const std::vector<std::pair<std::string, gguf_item>> keys{
      {"a.b", std::uint32_t{7}}, {"c", std::vector<std::string>{"x", "yz"}}, {"f", 1.5f}, {"t", true}};
  const std::vector<engine::gguf_declaration> tensors{{"w", "float16", {2, 3}}, {"q", "q8_0", {1, 64}}};
  engine::gguf_writer writer(folder / "m.gguf", keys, tensors);
  const std::string six(12, '\1'), blocks(68, '\2');
  writer.write(as_bytes(six));
  writer.write(as_bytes(blocks));
  writer.commit();

  // Types: u32 4, f32 6, bool 7, text 8, array 9; F16 1, Q8_0 8. Dimensions: innermost first.
  std::string expected = begin(2, 4) + text("a.b") + u32(4) + u32(7) + text("c") + u32(9) + u32(8) + u64(2) +
                         text("x") + text("yz") + text("f") + u32(6) + raw(1.5f) + text("t") + u32(7) + "\1" +
                         tensor("w", {3, 2}, 1, 0) + tensor("q", {64, 1}, 8, 32);
  expected.resize((expected.size() + 31) / 32 * 32);
  const std::size_t data = expected.size();
  expected += six + std::string(20, '\0') + blocks + std::string(28, '\0');
  const std::string file = slurp(folder / "m.gguf");
  CHECK(file == expected);

  const engine::gguf_header h = engine::parse_gguf(as_bytes(file), "m.gguf");
  const engine::gguf_keys found(h, "m.gguf");
  CHECK(found.whole_number("a.b") == 7);
  CHECK(found.texts("c") == std::vector<std::string_view>{"x", "yz"});
  CHECK(found.number_or("f", 0) == 1.5);
  CHECK(found.flag_or("t", false));
  REQUIRE(h.tensors.size() == 2);
  CHECK(h.tensors[1].name == "q");
  CHECK(h.tensors[1].format == "q8_0");
  CHECK(h.tensors[1].shape == std::vector<std::size_t>{1, 64});
  CHECK(h.tensors[1].first_byte == data + 32);
  CHECK(h.tensors[1].bytes == 68);
}

TEST_CASE("every type of metadata is read", "[engine][gguf][worked-example]") {
  const std::string file = begin(0, 10) + text("u8") + u32(0) + "\xFF" + text("i8") + u32(1) + "\xFF" + text("u16") +
                           u32(2) + raw(std::uint16_t{65535}) + text("i16") + u32(3) + raw(std::int16_t{-2}) +
                           text("i32") + u32(5) + raw(std::int32_t{-3}) + text("u64") + u32(10) + u64(~0ull) +
                           text("i64") + u32(11) + raw(std::int64_t{-4}) + text("f64") + u32(12) + raw(0.25) +
                           text("n") + u32(9) + u32(5) + u64(2) + u32(1) + u32(0xFFFFFFFF) + text("none") + u32(9) +
                           u32(8) + u64(0);
  const engine::gguf_header h = engine::parse_gguf(as_bytes(file), "x.gguf");
  const engine::gguf_keys keys(h, "x.gguf");
  CHECK(keys.whole_number("u8") == 255);
  CHECK(keys.whole_number("u16") == 65535);
  CHECK(keys.whole_number("u64") == std::numeric_limits<std::size_t>::max());
  CHECK(keys.number_or("f64", 0) == 0.25);
  CHECK(keys.integers("n") == std::vector<std::int32_t>{1, -1});
  CHECK(keys.texts("none").empty());
  CHECK(std::get<std::int64_t>(*keys.find("i8")) == -1);
  CHECK_THAT(refusal([&] { (void)keys.whole_number("i64"); }),
             ContainsSubstring("key \"i64\" is -4; expected a whole"));
  CHECK_THAT(refusal([&] { (void)keys.whole_number("gone"); }), ContainsSubstring("key \"gone\" is missing"));
  CHECK_THAT(refusal([&] { (void)keys.floats("n"); }), ContainsSubstring("array of 2 elements of type 5"));
  CHECK_THAT(refusal([&] { (void)keys.texts("u8"); }), ContainsSubstring("expected an array of texts"));
}

TEST_CASE("a GGUF file that contradicts itself is refused", "[engine][gguf][refusal]") {
  const std::uint64_t huge = ~0ull;
  const std::string good = padded(begin(1, 0) + tensor("w", {32, 2}, 2, 0), 64);
  CHECK(refused(good).empty());
  CHECK_THAT(refused("GGU"), ContainsSubstring("does not begin with GGUF"));
  CHECK_THAT(refused("GGUF"), ContainsSubstring("past the end"));
  CHECK(refused(begin(0, 0, 2)).empty());
  CHECK_THAT(refused(begin(0, 0, 1)), ContainsSubstring("GGUF version 1; expected version 2 or 3"));
  CHECK_THAT(refused(begin(0, 0, 4)), ContainsSubstring("GGUF version 4; expected version 2 or 3"));
  for (const std::uint32_t swapped : {0x02000000u, 0x03000000u})
    CHECK_THAT(refused(begin(0, 0, swapped)), ContainsSubstring("a big-endian GGUF file"));
  CHECK_THAT(refused(begin(huge, 0)), ContainsSubstring("tensors in 0 bytes"));
  CHECK_THAT(refused(begin(1, 0)), ContainsSubstring("1 tensors in 0 bytes"));
  CHECK_THAT(refused(begin(0, huge) + std::string(100, '\0')), ContainsSubstring("metadata keys in 100 bytes"));
  CHECK_THAT(refused(begin(0, 1) + u64(huge) + std::string(9, 'a')), ContainsSubstring("past the end"));
  CHECK_THAT(refused(begin(0, 1) + text("") + u32(0) + std::string(9, 'a')),
             ContainsSubstring("a key name of 0 bytes"));
  CHECK_THAT(refused(begin(0, 1) + text("k") + u32(13) + u32(0)), ContainsSubstring("a value of type 13"));
  CHECK_THAT(refused(begin(0, 1) + text("k") + u32(8) + u64(huge)), ContainsSubstring("past the end"));
  for (const std::uint32_t element : {0u, 5u, 8u, 12u})
    CHECK_THAT(refused(begin(0, 1) + text("k") + u32(9) + u32(element) + u64(huge / 4)),
               ContainsSubstring("array elements in 0 bytes"));
  CHECK_THAT(refused(begin(0, 1) + text("k") + u32(9) + u32(9) + u64(1) + u32(0) + u64(0)),
             ContainsSubstring("an array of arrays"));
  CHECK_THAT(refused(begin(0, 2) + text("k") + u32(4) + u32(1) + text("k") + u32(4) + u32(1)),
             ContainsSubstring("\"k\" occurs twice"));

  const auto one = [&](const std::string& t, std::size_t data = 64) { return refused(padded(begin(1, 0) + t, data)); };
  CHECK_THAT(one(tensor("w", {}, 0, 0)), ContainsSubstring("has 0 dimensions"));
  CHECK_THAT(one(tensor("w", {1, 1, 1, 1, 1}, 0, 0)), ContainsSubstring("has 5 dimensions"));
  CHECK_THAT(one(tensor("w", {256, 2}, 15, 0)),
             ContainsSubstring("is of type q8_K, a type of activations; expected float32, float16"));
  CHECK_THAT(one(tensor("w", {32, 2}, 12, 0)), ContainsSubstring("has a shape that q4_k cannot store"));
  CHECK_THAT(one(tensor("w", {32, 2}, 99, 0)), ContainsSubstring("is of type 99"));
  CHECK_THAT(one(tensor("w", {33, 2}, 2, 0)), ContainsSubstring("has a shape that q4_0 cannot store"));
  CHECK_THAT(one(tensor("w", {0, 2}, 0, 0)), ContainsSubstring("has a shape that float32 cannot store"));
  CHECK_THAT(one(tensor("w", {std::uint64_t{1} << 62, 4}, 0, 0)),
             ContainsSubstring("has a shape that float32 cannot store"));
  CHECK_THAT(one(tensor("w", {std::uint64_t{1} << 40}, 0, 0)), ContainsSubstring("past the end"));
  CHECK_THAT(one(tensor("w", {16}, 0, 8)), ContainsSubstring("is at offset 8; expected a multiple of 32"));
  CHECK_THAT(one(tensor("w", {16}, 0, 32)), ContainsSubstring("past the end"));
  CHECK_THAT(one(tensor("w", {16}, 0, huge - 31)), ContainsSubstring("past the end"));
  CHECK(one(tensor("w", {16}, 0, 0)).empty());
  CHECK_THAT(one(tensor("w", {16}, 0, 0), 63), ContainsSubstring("past the end"));
  CHECK_THAT(refused(padded(begin(2, 0) + tensor("w", {16}, 0, 0) + tensor("v", {8}, 0, 32), 96)),
             ContainsSubstring("\"w\" and \"v\" overlap"));
  CHECK_THAT(refused(padded(begin(2, 0) + tensor("w", {8}, 0, 0) + tensor("w", {8}, 0, 32), 96)),
             ContainsSubstring("\"w\" occurs twice"));
  for (const std::uint32_t alignment : {0u, 3u, 1u << 21, 1u << 31})
    CHECK_THAT(refused(padded(begin(0, 1) + text("general.alignment") + u32(4) + u32(alignment), 64)),
               ContainsSubstring("an alignment of " + std::to_string(alignment)));
  CHECK_THAT(refused(padded(begin(0, 1) + text("general.alignment") + u32(8) + text("x"), 64)),
             ContainsSubstring("expected a whole number"));
  CHECK(refused(begin(0, 1) + text("general.alignment") + u32(4) + u32(1 << 20)).empty());
  // With an alignment of 2^20 the tensor's data would begin far beyond the end of the file.
  CHECK_THAT(
      refused(padded(begin(1, 1) + text("general.alignment") + u32(4) + u32(1 << 20) + tensor("w", {16}, 0, 0), 64)),
      ContainsSubstring("past the end"));
  for (std::size_t size = 0; size < good.size() - 64 + 36; ++size) CHECK_FALSE(refused(good.substr(0, size)).empty());
}

TEST_CASE("every block type that llama.cpp decodes is read, by its number and size", "[engine][gguf][golden]") {
  struct type {
    std::uint32_t number;
    const char* name;
    std::size_t weights, bytes;
  };
  // As in ggml.h and ggml-common.h.
  constexpr type types[] = {
      {2, "q4_0", 32, 18},      {3, "q4_1", 32, 20},      {6, "q5_0", 32, 22},      {7, "q5_1", 32, 24},
      {8, "q8_0", 32, 34},      {10, "q2_k", 256, 84},    {11, "q3_k", 256, 110},   {12, "q4_k", 256, 144},
      {13, "q5_k", 256, 176},   {14, "q6_k", 256, 210},   {16, "iq2_xxs", 256, 66}, {17, "iq2_xs", 256, 74},
      {18, "iq3_xxs", 256, 98}, {19, "iq1_s", 256, 50},   {20, "iq4_nl", 32, 18},   {21, "iq3_s", 256, 110},
      {22, "iq2_s", 256, 82},   {23, "iq4_xs", 256, 136}, {29, "iq1_m", 256, 56},   {34, "tq1_0", 256, 54},
      {35, "tq2_0", 256, 66},   {39, "mxfp4", 32, 17},    {40, "nvfp4", 64, 36},    {41, "q1_0", 128, 18},
      {42, "q2_0", 64, 18}};
  for (const type& t : types) {
    CAPTURE(t.name);
    const std::string file = padded(begin(1, 0) + tensor("w", {2 * t.weights, 3}, t.number, 0), 6 * t.bytes);
    const engine::gguf_header h = engine::parse_gguf(as_bytes(file), "x.gguf");
    REQUIRE(h.tensors.size() == 1);
    CHECK(h.tensors[0].format == t.name);
    CHECK(h.tensors[0].bytes == 6 * t.bytes);
    CHECK_THAT(refused(file.substr(0, file.size() - 1)), ContainsSubstring("past the end"));
    CHECK(engine::gguf_bytes(t.name, std::vector<std::size_t>{3, 2 * t.weights}) == 6 * t.bytes);
    CHECK(engine::gguf_bytes(t.name, std::vector<std::size_t>{3, 2 * t.weights - 1}) == 0);
  }
  CHECK(engine::gguf_file_type("q4_k") == 15);
  CHECK(engine::gguf_file_type("float32") == 0);
  CHECK_FALSE(engine::gguf_file_type("q1_0"));
}

TEST_CASE("a GGUF writer refuses tensors that the format cannot store", "[engine][gguf][refusal]") {
  const temporary_folder folder;
  const auto written = [&](const std::vector<engine::gguf_declaration>& tensors) {
    return refusal([&] { engine::gguf_writer(folder / "m.gguf", {}, tensors).commit(); });
  };
  CHECK_THAT(written({{"w", "q4_0", {2, 40}}}),
             ContainsSubstring("tensor w of 2 x 40 in q4_0") && ContainsSubstring("rows of whole blocks"));
  CHECK_THAT(written({{"w", "q4_k", {2, 128}}}), ContainsSubstring("tensor w of 2 x 128 in q4_k"));
  CHECK_THAT(written({{"w", "affine4.g32", {2, 64}}}), ContainsSubstring("in affine4.g32"));
  CHECK_THAT(written({{"w", "float32", {2}}, {"w", "float32", {2}}}), ContainsSubstring("tensor w twice"));
  CHECK_THAT(written({{"w", "float32", {2}}}), ContainsSubstring("0 tensors written; expected 1"));
  CHECK(folder.entries() == 0);
}
