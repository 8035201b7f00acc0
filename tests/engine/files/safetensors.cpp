#include <engine/files/safetensors.hpp>

#include "engine/support.hpp"
#include "refusal.hpp"

#include "catch.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace support;

namespace {

engine::safetensors_header parse(const std::string& file) { return engine::parse_safetensors(as_bytes(file), "m"); }

std::string refused(std::string_view header, std::string_view data) {
  const std::string file = safetensors_text(header, data);
  return refusal([&] { (void)parse(file); });
}

}  // namespace

TEST_CASE("safetensors reads tensors in the order of their bytes", "[engine][safetensors][worked-example]") {
  const std::string header =
      R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},"e":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]}}  )";
  const engine::safetensors_header h = parse(safetensors_text(header, "01234567"));
  REQUIRE(h.tensors.size() == 3);
  CHECK(h.tensors[0] == engine::tensor_entry{"a", engine::dtype::bf16, {2, 1}, 8 + header.size(), 4, 0});
  CHECK(h.tensors[1].name == "e");
  CHECK(h.tensors[1].bytes == 0);
  CHECK(h.tensors[2].first_byte == 8 + header.size() + 4);
  CHECK(h.metadata.at("format") == "pt");
}

TEST_CASE("safetensors refuses hostile headers by cause", "[engine][safetensors][refusal]") {
  const std::string whole = safetensors_text(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "0123");
  CHECK_NOTHROW(parse(whole));
  for (std::size_t n = 0; n < whole.size(); ++n) {  // truncated at every position
    INFO("first " << n << " bytes");
    CHECK_THROWS_AS(parse(whole.substr(0, n)), precis::error);
  }
  CHECK_THAT(refusal([&] { (void)parse(whole + "x"); }), ContainsSubstring("1 bytes after the last tensor"));
  CHECK_THAT(refusal([&] { (void)parse(raw(std::uint64_t{100'000'001}) + std::string(100, ' ')); }),
             ContainsSubstring("100 MB"));
  CHECK_THAT(refusal([&] { (void)parse(raw(~std::uint64_t{0}) + "{}"); }), ContainsSubstring("100 MB"));
  CHECK_THAT(refusal([&] { (void)parse(raw(std::uint64_t{3}) + "{}"); }), ContainsSubstring("truncated"));

  CHECK_THAT(refused("{", ""), ContainsSubstring("not valid JSON"));
  CHECK_THAT(refused("[]", ""), ContainsSubstring("an array"));
  CHECK_THAT(refused(R"({"__metadata__":3})", ""), ContainsSubstring("__metadata__"));
  CHECK_THAT(refused(R"({"__metadata__":{"k":1}})", ""), ContainsSubstring("\"k\""));
  CHECK_THAT(refused(R"({"a":7})", ""), ContainsSubstring("tensor \"a\"") && ContainsSubstring("the number 7"));
  CHECK_THAT(
      refused(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
          "0123"),
      ContainsSubstring("\"a\" occurs twice"));
  CHECK_THAT(refused(R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,4]}})", "0123"),
             ContainsSubstring("the type \"Q4\""));
  CHECK_THAT(refused(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "0123"), ContainsSubstring("\"dtype\" is missing"));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "0123"),
             ContainsSubstring("\"shape\""));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", "0123"),
             ContainsSubstring("\"shape\""));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[1]}})", "0123"), ContainsSubstring("\"data_offsets\""));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "0123"),
             ContainsSubstring("\"data_offsets\""));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "0123"),
             ContainsSubstring("before they begin"));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "0123"),
             ContainsSubstring("expected 8 for its type"));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "0123"),
             ContainsSubstring("ends at byte 8 of 4"));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", ""),
             ContainsSubstring("overflows"));
  CHECK_THAT(refused(R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,0]}})", ""),
             ContainsSubstring("\"shape\""));
  CHECK_THAT(
      refused(
          R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          "012345"),
      ContainsSubstring("tensor \"b\" overlap"));
  CHECK_THAT(
      refused(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})",
          "0123"),
      ContainsSubstring("a gap of 2 bytes before tensor \"b\""));
  CHECK_THAT(refused(std::string(5000, '['), ""), ContainsSubstring("nested deeper than 32"));
}

TEST_CASE("safetensors: the bytes read are the bytes written, for every type", "[engine][safetensors][property]") {
  const temporary_folder folder;
  const std::vector<engine::tensor_declaration> tensors{{"w", engine::dtype::f32, {2, 2}},
                                                        {"odd", engine::dtype::u8, {3}},
                                                        {"h", engine::dtype::f16, {1}},
                                                        {"none", engine::dtype::f32, {0}}};
  {
    engine::safetensors_writer writer(folder / "m.safetensors", tensors, {{"key", "value \"quoted\""}});
    writer.write(as_bytes("0123456789"));  // in pieces of any size
    writer.write(as_bytes("abcdefABCde"));
    CHECK_FALSE(std::filesystem::exists(folder / "m.safetensors"));
    writer.commit();
  }
  const engine::safetensors file(folder / "m.safetensors");
  REQUIRE(file.tensors().size() == 4);
  const auto text = [&](std::string_view name) {
    const auto bytes = file.bytes(*file.find(name));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(text("w") == "0123456789abcdef");
  CHECK(text("odd") == "ABC");
  CHECK(text("h") == "de");
  CHECK(text("none").empty());
  CHECK(file.find("w")->shape == std::vector<std::size_t>{2, 2});
  CHECK(file.find("w")->first_byte % 8 == 0);
  CHECK(file.metadata().at("key") == "value \"quoted\"");
  CHECK(file.find("x") == nullptr);
}

TEST_CASE("safetensors_writer refuses bytes that were not declared", "[engine][safetensors][refusal]") {
  const temporary_folder folder;
  const std::vector<engine::tensor_declaration> one{{"w", engine::dtype::u8, {4}}};
  for (const std::string_view data : {"123", "12345"}) {
    engine::safetensors_writer writer(folder / "m", one);
    writer.write(as_bytes(data));
    CHECK_THAT(refusal([&] { writer.commit(); }), ContainsSubstring("expected 4 as declared"));
  }
  const std::vector<engine::tensor_declaration> twice{one[0], one[0]};
  CHECK_THAT(refusal([&] { engine::safetensors_writer w(folder / "m", twice); }), ContainsSubstring("declared twice"));
  const std::vector<engine::tensor_declaration> vast{
      {"w", engine::dtype::f32, {std::size_t{1} << 32, std::size_t{1} << 32}}};
  CHECK_THAT(refusal([&] { engine::safetensors_writer w(folder / "m", vast); }), ContainsSubstring("overflows"));
  CHECK(folder.entries() == 0);
}

TEST_CASE("safetensors in shards: an index must match its files", "[engine][safetensors]") {
  const temporary_folder folder;
  const auto shard = [&](std::string_view name, std::string_view tensor, std::string_view data) {
    put(folder / name,
        safetensors_text("{\"" + std::string(tensor) + R"(":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", data));
  };
  const auto open = [&](std::string_view index) {
    put(folder / "model.safetensors.index.json", index);
    return engine::safetensors(folder / "model.safetensors.index.json");
  };
  shard("1.safetensors", "a", "AA");
  shard("2.safetensors", "b", "BB");
  const engine::safetensors both =
      open(R"({"metadata":{"total_size":4},"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  REQUIRE(both.find("b") != nullptr);
  CHECK(both.bytes(*both.find("b"))[0] == std::byte{'B'});
  CHECK(both.file_name(*both.find("b")) == "2.safetensors");

  const auto bad = [&](std::string_view index) { return refusal([&] { (void)open(index); }); };
  CHECK_THAT(bad(R"({"weight_map":{"a":"2.safetensors","b":"2.safetensors"}})"),
             ContainsSubstring("\"a\" is not in 2.safetensors"));
  CHECK_THAT(bad(R"({"weight_map":{"a":"1.safetensors","c":"2.safetensors"}})"), ContainsSubstring("\"c\" is not in"));
  CHECK_THAT(bad(R"({"weight_map":{"a":"1.safetensors"}, "x":1})"), !ContainsSubstring("not"));
  CHECK_THAT(bad(R"({"weight_map":{"a":"../1.safetensors"}})"), ContainsSubstring("in the same folder"));
  CHECK_THAT(bad(R"({"weight_map":{"a":"3.safetensors"}})"), ContainsSubstring("cannot be opened"));
  CHECK_THAT(bad(R"({"weight_map":{"a":3}})"), ContainsSubstring("the number 3"));
  CHECK_THAT(bad(R"({"weight_map":[]})"), ContainsSubstring("weight_map"));
  shard("2.safetensors", "a", "BB");
  CHECK_THAT(bad(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})"),
             ContainsSubstring("\"a\" is also in 1.safetensors"));
  put(folder / "1.safetensors",
      safetensors_text(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"d":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
          "AD"));
  CHECK_THAT(bad(R"({"weight_map":{"a":"1.safetensors"}})"), ContainsSubstring("\"d\" of 1.safetensors is not listed"));
}

TEST_CASE("weights of every type are decoded to floats", "[engine][safetensors][worked-example]") {
  const std::vector<float> values{1.f, -2.5f, 0.f, 0x1p-20f, 3.140625f};  // exact in all three types
  for (const engine::dtype type : {engine::dtype::f32, engine::dtype::f16, engine::dtype::bf16}) {
    std::vector<std::byte> bytes(1 + values.size() * engine::size_of(type));
    const std::span<std::byte> unaligned = std::span(bytes).subspan(1);
    std::vector<float> back(values.size());
    engine::encode(type, values, unaligned);
    engine::decode(type, unaligned, back);
    CHECK(back == values);
  }
  std::vector<std::byte> two(2);
  const float third = 1.f / 3.f;
  engine::encode(engine::dtype::bf16, std::span(&third, 1), two);
  CHECK(two == std::vector{std::byte{0xAB}, std::byte{0x3E}});  // 0x3EAAAAAB rounds up
  CHECK(engine::parse_dtype("BF16") == engine::dtype::bf16);
  CHECK_FALSE(engine::parse_dtype("bf16").has_value());
  CHECK(engine::to_string(engine::dtype::boolean) == "BOOL");
}
