#include <precis/cost/entry.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/menu.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

using formats = menu<codec::symmetric<4, codec::per_row>, codec::float32>;

const std::vector<matrix_info> infos{
    {"a", 0, part::attention, 2, 8}, {"b", 0, part::mlp, 1, 6}, {"c", 1, part::mlp, 1, 2}};

}  // namespace

TEST_CASE("blank_table: exact bytes, and every cost 0", "[cost][entry][worked-example]") {
  // symmetric4.row takes 4 bytes per row and half a byte per weight, float32 4 bytes per weight.
  const cost_table t = cost::blank_table<formats>(infos, unit_kind::block, {}, 12, "costs");
  CHECK(t.entries == std::vector<std::string>{"symmetric4.row", "float32"});
  REQUIRE(t.units.size() == 2);
  CHECK(t.units[0].name == "block.0");
  CHECK(t.bytes == std::vector<std::size_t>{2 * (4 + 4) + (4 + 3), 4 * (16 + 6), 4 + 1, 4 * 2});
  CHECK(t.costs == std::vector<double>(4));
  CHECK(t.original_bytes == 24 + 9 + 3);  // 16, 6 and 2 weights of 12 bits

  const cost_table one = cost::blank_table<formats>(infos, unit_kind::matrix, {"float32"}, 32, "costs");
  CHECK(one.entries == std::vector<std::string>{"float32"});
  CHECK(one.bytes == std::vector<std::size_t>{64, 24, 8});
  CHECK(one.original_bytes == 96);
}

TEST_CASE("blank_table refuses entries that are not in the menu or are listed twice", "[cost][entry][refusal]") {
  const auto message = [](const std::vector<std::string>& entries) {
    return refusal(
        [&] { static_cast<void>(cost::blank_table<formats>(infos, unit_kind::block, entries, 32, "my costs")); });
  };
  CHECK_THAT(message({"float16"}), ContainsSubstring("float16"));
  CHECK_THAT(message({"float32", "float32"}), ContainsSubstring("my costs") && ContainsSubstring("float32"));
}

TEST_CASE("round_trip decodes what packed_in packs, also in place", "[cost][entry][worked-example]") {
  // The largest magnitude 7 gives scale 1: codes 7, -2, 0, 4, 1, 0 and their values.
  std::vector<float> w{7, -2.25f, 0, 3.5f, 1.25f, 0.25f};
  const std::vector<float> rounded{7, -2, 0, 4, 1, 0};
  const mutable_weight_view view(w, 1, 6);
  std::vector<std::byte> own(formats::bytes(0, 1, 6));
  formats::encode(0, view, own);
  CHECK(cost::packed_in<formats>(view, infos[1], 0, fit::nearest{}) == own);
  CHECK(cost::packed_in<formats>(view, infos[1], 1, fit::nearest{}).size() == 24);

  std::vector<float> decoded(6);
  cost::round_trip<formats>(view, infos[1], 1, fit::nearest{}, {decoded, 1, 6});
  CHECK(decoded == w);  // float32 changes nothing
  cost::round_trip<formats>(view, infos[1], 0, fit::nearest{}, {decoded, 1, 6});
  CHECK(decoded == rounded);
  cost::round_trip<formats>(view, infos[1], 0, fit::nearest{}, view);
  CHECK(w == rounded);
}

TEST_CASE("packed_in names the matrix that it refuses", "[cost][entry][refusal]") {
  const std::vector<float> w{1, std::numeric_limits<float>::infinity()};
  for (const std::size_t entry : {0u, 1u})
    CHECK_THAT(
        refusal([&] { static_cast<void>(cost::packed_in<formats>({w, 1, 2}, infos[2], entry, fit::nearest{})); }),
        ContainsSubstring("c: codec " + formats::names()[entry]) && ContainsSubstring("row 0, column 1"));
}
