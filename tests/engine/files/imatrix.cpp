#include <engine/files/imatrix.hpp>

#include <engine/files/gguf.hpp>

#include "catch.hpp"
#include "engine/support.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using namespace support;

namespace {

std::string i32(std::int32_t v) { return raw(v); }
std::string entry(const std::string& name, std::int32_t calls, const std::vector<float>& values) {
  std::string t =
      i32(static_cast<std::int32_t>(name.size())) + name + i32(calls) + i32(static_cast<std::int32_t>(values.size()));
  for (const float v : values) t += raw(v);
  return t;
}
std::string refused(const std::string& file) {
  return refusal([&] { (void)engine::parse_imatrix(as_bytes(file), "x.dat"); });
}

}  // namespace

TEST_CASE("an importance matrix of the older form, byte by byte", "[engine][imatrix][worked-example]") {
  const std::string file =
      i32(2) + entry("blk.0.attn_q.weight", 4, {8, 2, 0}) + entry("b", 0, {3, 5}) + i32(7) + i32(5) + "a.txt";
  const engine::imatrix m = engine::parse_imatrix(as_bytes(file), "x.dat");
  REQUIRE(m.tensors.size() == 2);
  CHECK(m.tensors.at("blk.0.attn_q.weight").means() == std::vector<float>{2, 0.5f, 0});
  CHECK(m.tensors.at("b").means() == std::vector<float>{3, 5});
  CHECK(m.chunks == 7);
  CHECK(m.datasets == std::vector<std::string>{"a.txt"});
  const temporary_folder folder;
  engine::write_imatrix(m, folder / "m.dat");
  const engine::imatrix back = engine::read_imatrix(folder / "m.dat");
  for (const auto& [name, t] : m.tensors) {
    const std::vector<float> expected = t.means(), found = back.tensors.at(name).means();
    REQUIRE(found.size() == expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == Approx(expected[i]));
  }
  CHECK(back.chunks == 7);
  CHECK(back.datasets == m.datasets);
}

TEST_CASE("an importance matrix of the GGUF form has llama.cpp's keys, and is read back", "[engine][imatrix]") {
  const temporary_folder folder;
  engine::imatrix m{.tensors = {}, .datasets = {"a.txt", "b.txt"}, .chunks = 3, .chunk_size = 512};
  m.tensors["blk.0.ffn_down.weight"] = {.sums = {4, 6}, .counts = {2}};
  m.tensors["blk.0.ffn_up_exps.weight"] = {.sums = {1, 2, 3, 4, 5, 6}, .counts = {2, 0, 1}};  // three experts
  engine::write_imatrix(m, folder / "m.gguf");
  const engine::mapped_file file(folder / "m.gguf");
  const engine::gguf_header h = engine::parse_gguf(file.bytes(), "m.gguf");
  const engine::gguf_keys keys(h, "m.gguf");
  CHECK(keys.text("general.type") == "imatrix");
  CHECK(keys.texts("imatrix.datasets") == std::vector<std::string_view>{"a.txt", "b.txt"});
  CHECK(keys.whole_number("imatrix.chunk_count") == 3);
  CHECK(keys.whole_number("imatrix.chunk_size") == 512);
  REQUIRE(h.tensors.size() == 4);
  CHECK(h.tensors[0].name == "blk.0.ffn_down.weight.in_sum2");
  CHECK(h.tensors[0].shape == std::vector<std::size_t>{1, 2});
  CHECK(h.tensors[1].name == "blk.0.ffn_down.weight.counts");
  CHECK(h.tensors[2].shape == std::vector<std::size_t>{3, 2});
  CHECK(h.tensors[3].shape == std::vector<std::size_t>{3, 1});
  const engine::imatrix back = engine::read_imatrix(folder / "m.gguf");
  CHECK(back.datasets == m.datasets);
  CHECK(back.chunks == 3);
  CHECK(back.chunk_size == 512);
  CHECK(back.tensors.at("blk.0.ffn_down.weight").means() == std::vector<float>{2, 3});
  // An expert that no token reached counts as equally important everywhere.
  CHECK(back.tensors.at("blk.0.ffn_up_exps.weight").means() == std::vector<float>{0.5f, 1, 1, 1, 5, 6});
}

TEST_CASE("an importance matrix that contradicts itself is refused", "[engine][imatrix][refusal]") {
  const std::string good = i32(1) + entry("w", 1, {1, 2});
  CHECK(refused(good).empty());
  CHECK_THAT(refused(i32(0)), ContainsSubstring("no tensors"));
  CHECK_THAT(refused(i32(-1)), ContainsSubstring("a number of tensors of -1"));
  CHECK_THAT(refused(i32(2) + entry("w", 1, {1}) + entry("w", 1, {1})), ContainsSubstring("\"w\" twice"));
  CHECK_THAT(refused(i32(1) + entry("w", 1, {-1})), ContainsSubstring("\"w\" holds -1"));
  CHECK_THAT(refused(i32(1) + entry("w", 1, {std::numeric_limits<float>::infinity()})),
             ContainsSubstring("\"w\" holds inf"));
  CHECK_THAT(refused(i32(1) + entry("w", 1, {})), ContainsSubstring("0 sums"));
  for (std::size_t size = 0; size < good.size(); ++size)
    CHECK_THAT(refused(good.substr(0, size)), ContainsSubstring("the file ends within a tensor"));

  const temporary_folder folder;
  const auto written = [&](const engine::gguf_metadata& keys, const std::vector<engine::gguf_declaration>& tensors) {
    engine::gguf_writer writer(folder / "m.gguf", keys, tensors);
    for (const engine::gguf_declaration& t : tensors)
      writer.write(std::vector<std::byte>(engine::gguf_bytes(t.format, t.shape)));
    writer.commit();
    return refusal([&] { (void)engine::read_imatrix(folder / "m.gguf"); });
  };
  const engine::gguf_metadata keys{{"general.type", std::string("imatrix")}};
  CHECK(written(keys, {{"w.in_sum2", "float32", {1, 4}}, {"w.counts", "float32", {1, 1}}}).empty());
  CHECK_THAT(written({{"general.type", std::string("model")}}, {}),
             ContainsSubstring("\"model\"; expected \"imatrix\""));
  CHECK_THAT(written(keys, {{"w.in_sum2", "float32", {1, 4}}}), ContainsSubstring("\"w\" has 4 sums and 0 counts"));
  CHECK_THAT(written(keys, {{"w.in_sum2", "float32", {1, 4}}, {"w.counts", "float32", {3, 1}}}),
             ContainsSubstring("4 sums and 3 counts"));
  CHECK_THAT(written(keys, {{"w", "float32", {1, 4}}}), ContainsSubstring("names that end in .in_sum2"));
  CHECK_THAT(written(keys, {{"w.in_sum2", "float16", {1, 4}}}), ContainsSubstring("in float16; expected float32"));
}
