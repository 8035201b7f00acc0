#include <engine/model_files/tensor_rows.hpp>

#include <engine/model_files/load.hpp>

#include <precis/codec/blocks/block_matrix.hpp>
#include <precis/codec/ggml.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace codec = precis::codec;

using formats = precis::menu<codec::q4_0, codec::q4_1, codec::q5_0, codec::q5_1, codec::q8_0, codec::q4_k, codec::q6_k,
                             codec::iq4_nl>;
constexpr std::size_t out = 24, in = 512;

/// A source with one packed tensor, and what its format decodes.
struct packed_source {
  std::vector<std::byte> bytes;
  std::shared_ptr<engine::model_source> source = std::make_shared<engine::model_source>();
  precis::float_matrix expected{out, in};

  explicit packed_source(const std::string& format) {
    random_models::numbers random{7};
    precis::float_matrix w(out, in);
    for (float& v : w.values) v = random.next();
    const std::size_t entry = formats::index_of(format);
    bytes.resize(formats::bytes(entry, out, in));
    formats::encode(entry, w.view(), bytes);
    formats::decode(entry, bytes, expected.view());
    engine::source_tensor& t = source->tensors.emplace_back();
    t.name = t.stored_name = "w";
    t.shape = {out, in};
    t.bytes = bytes;
    t.codec = format;
  }
  [[nodiscard]] engine::source_tensor& tensor() { return source->tensors.front(); }
};

}  // namespace

TEST_CASE("rows of ggml's blocks are decoded one by one, as their codec decodes them",
          "[engine][tensor_rows][property]") {
  const auto names = formats::names();
  const std::string format = names[GENERATE_COPY(range(std::size_t{0}, names.size()))];
  CAPTURE(format);
  packed_source s(format);
  REQUIRE(engine::has_rows(s.tensor()));
  std::vector<float> some(5 * in);
  engine::decode_rows(s.tensor(), 9, 5, some.data());
  CHECK(std::ranges::equal(some, std::span(s.expected.values).subspan(9 * in, 5 * in)));

  const engine::matrix_values values = engine::stored_values(s.source, 0);
  CHECK(values.are_stored());
  CHECK(values.size() == out * in);
  CHECK(std::ranges::equal(values.floats(), s.expected.values));
}

TEST_CASE("packed rows follow the engine's order of rotary pairs", "[engine][tensor_rows]") {
  packed_source s("q8_0");
  s.tensor().rotary_heads = 2;
  std::vector<float> all(out * in);
  engine::decode_rows(s.tensor(), 0, out, all.data());
  for (std::size_t r = 0; r < out; ++r)
    CHECK(std::ranges::equal(std::span(all).subspan(r * in, in), s.expected.view().row(engine::half_split_row(r, 12))));
}

TEST_CASE("matrices of other codecs, in x out, and parts have no rows", "[engine][tensor_rows]") {
  packed_source s("q8_0");
  engine::source_tensor t = s.tensor();
  t.codec = "affine4.g32";
  CHECK_FALSE(engine::has_rows(t));
  t.codec = "rank50.q8_0";
  CHECK_FALSE(engine::has_rows(t));
  t = s.tensor();
  t.in_major = true;
  CHECK_FALSE(engine::has_rows(t));
  t = s.tensor();
  t.part.emplace();
  CHECK_FALSE(engine::has_rows(t));
}
