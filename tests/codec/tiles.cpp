#include <precis/codec/tiles.hpp>

#include <precis/codec/grid/matrix.hpp>

#include "encoded.hpp"
#include "kernel/packed.hpp"

#include "catch.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <vector>

using namespace precis;
using namespace encoded;
using codec::grid_format;
using codec::grid_rule;
using codec::scale_type;

namespace {

/// The definition, group by group: a type without `tile`, so that no rows are taken together.
template<class Choose>
struct one_by_one {
  Choose choose;
  codec::grid operator()(const grid_format& f, weight_view values, std::size_t index) const {
    return choose(f, values, index);
  }
};
template<class Choose>
std::vector<std::byte> defined(const grid_format& f, weight_view w, const Choose& choose) {
  std::vector<std::byte> packed(f.layout_of(w.rows, w.cols).bytes);
  codec::encode_on_grids(f, w, packed, one_by_one<Choose>{choose});
  return packed;
}

/// scale (code - zero point), weight by weight.
float_matrix decoded_by_definition(const grid_format& f, std::span<const std::byte> packed, std::size_t out,
                                   std::size_t in) {
  const auto grids = codec::read_grids(f, packed, out, in);
  float_matrix w(out, in);
  std::vector<std::uint8_t> codes(in);
  for (std::size_t r = 0; r < out; ++r) {
    codec::read_codes(f, packed, out, r, std::span<std::uint8_t>(codes));
    for (std::size_t c = 0; c < in; ++c) {
      const std::size_t k = f.group == codec::per_tensor || f.group >= in ? 0 : c / f.group;
      const codec::grid& g = grids[r * f.groups_per_row(in) + k];
      w(r, c) = g.scale * static_cast<float>(codes[c] - g.zero_point);
    }
  }
  return w;
}

bool same_bits(const float_matrix& a, const float_matrix& b) {
  return a.values.size() == b.values.size() && std::memcmp(a.values.data(), b.values.data(), a.values.size() * 4) == 0;
}

template<class F>
void each_tiled_format(const F& f) {
  for (const grid_rule rule : {grid_rule::affine, grid_rule::symmetric, grid_rule::symmetric_full})
    for (const unsigned bits : {2u, 3u, 4u, 5u, 6u, 7u, 8u})
      for (const std::size_t group :
           {std::size_t{32}, std::size_t{64}, std::size_t{96}, std::size_t{128}, codec::per_row, codec::per_tensor})
        for (const scale_type scales : {scale_type::float32, scale_type::float16})
          f(grid_format{.rule = rule, .code_bits = bits, .group = group, .scales = scales});
}

/// 35 rows: two tiles and a part of one.
float_matrix hard_weights(std::size_t in, float unit) {
  float_matrix w = weights(35, in);
  for (float& x : w.values) x *= unit;
  for (std::size_t c = 0; c < 64; ++c) w(3, c) = 0;
  for (std::size_t c = 64; c < 96; ++c) w(5, c) = unit * static_cast<float>(static_cast<int>(c) - 79);  // ties
  for (std::size_t c = 0; c < 32; ++c) w(7, c) = c % 2 == 0 ? 0.f : -unit;                              // one sign only
  return w;
}

}  // namespace

TEST_CASE("sixteen rows at a time: the bytes and weights of the definition", "[codec][tiles][property]") {
  // Half scales below their normal range, and none at all; scales that are taken one by one; rows with a tail.
  for (const float unit : {1.f, 1e-7f, 1e3f, 1e-38f, 1e33f})
    for (const std::size_t in : {std::size_t{320}, std::size_t{300}}) {
      const float_matrix w = hard_weights(in, unit);
      each_tiled_format([&](const grid_format& f) {
        if (f.scales == scale_type::float16 && unit > 1e5f) return;  // refused
        CAPTURE(codec::to_string(f), unit, in);
        const std::vector<std::byte> expected = defined(f, w.view(), codec::choose_nearest{});
        REQUIRE(bytes_of(f, w.view()) == expected);
        REQUIRE(same_bits(decoded(f, expected, 35, in), decoded_by_definition(f, expected, 35, in)));
      });
    }
}

TEST_CASE("sixteen rows at a time on given grids: codes end where they are clipped", "[codec][tiles][property]") {
  const float_matrix w = hard_weights(320, 1);
  each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    for (const float by : {0.37f, 0.0078125f, 1e-12f}) {  // the last: quotients too large to be taken together
      auto grids = codec::read_grids(f, bytes_of(f, w.view()), 35, 320);
      for (codec::grid& g : grids) g.scale = by * g.scale;
      const codec::choose_given given{grids};
      std::vector<std::byte> packed(f.layout_of(35, 320).bytes);
      codec::encode_on_grids(f, w.view(), packed, given);
      REQUIRE(packed == defined(f, w.view(), given));
    }
  });
}

TEST_CASE("sixteen rows at a time: equal for all lanes", "[codec][tiles][property]") {
  const float_matrix w = hard_weights(320, 1);
  float_matrix apart(35, 1024);  // rows that share the sets of a cache are copied
  for (std::size_t r = 0; r < 35; ++r) std::ranges::copy(w.row(r), apart.row(r).begin());
  REQUIRE((codec::detail::rows_collide(1024) && !codec::detail::rows_collide(320)));
  each_tiled_format([&](const grid_format& f) {
    CAPTURE(codec::to_string(f));
    const auto l = f.layout_of(35, 320);
    const std::vector<std::byte> expected = defined(f, w.view(), codec::choose_nearest{});
    const float_matrix whole = decoded_by_definition(f, expected, 35, 320);
    const auto grids = codec::read_grids(f, expected, 35, 320);
    packed_tests::for_every_lanes([&](auto lanes) {
      using code = decltype(lanes);
      if constexpr (code::rows > 1) {
        std::vector<std::byte> packed = expected;
        float_matrix back = whole;
        for (std::size_t first = 0; first < 32; first += 16) {
          for (const float_matrix* rows : std::initializer_list<const float_matrix*>{&w, &apart}) {
            std::fill_n(packed.begin() + static_cast<std::ptrdiff_t>(first * l.row_words * 4), 64 * l.row_words,
                        std::byte{0});
            REQUIRE(codec::detail::encode_tile<code>(
                f, rows->row(first).data(), static_cast<std::ptrdiff_t>(rows->cols), 320, first,
                {f, l, 320, first, packed.data()},
                [&](const codec::detail::tile_groups& g, codec::detail::tile_grids& some) {
                  return f.group == codec::per_tensor ? codec::choose_given{grids}.tile(f, g, some)
                                                      : codec::choose_nearest{}.tile(f, g, some);
                }));
            REQUIRE(std::equal(packed.begin(),
                               packed.begin() + static_cast<std::ptrdiff_t>((first + 16) * l.row_words * 4),
                               expected.begin()));
          }
          for (std::size_t r = first; r < first + 16; ++r)
            for (float& x : back.row(r)) x = -99;
          codec::detail::decode_tile<code>(f, {f, l, 320, first, expected.data()}, grids[0], 320,
                                           back.row(first).data(), 320);
          alignas(64) static float past[16 * 320];
          std::fill(std::begin(past), std::end(past), -99.f);
          codec::detail::decode_tile<code, true>(f, {f, l, 320, first, expected.data()}, grids[0], 320, past, 320);
          REQUIRE(std::memcmp(past, whole.row(first).data(), sizeof past) == 0);
        }
        REQUIRE(packed == expected);
        REQUIRE(same_bits(back, whole));
      }
    });
  });
}

TEST_CASE("sixteen rows at a time: a weight that is not finite is named, wherever it is", "[codec][tiles][refusal]") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    each_tiled_format([&](const grid_format& f) {
      if (f.code_bits != 4) return;
      float_matrix w = hard_weights(320, 1);
      w(17, 319) = bad;
      std::vector<std::byte> packed(f.layout_of(35, 320).bytes);
      float_matrix apart(35, 1024);
      for (std::size_t r = 0; r < 35; ++r) std::ranges::copy(w.row(r), apart.row(r).begin());
      CHECK_THROWS_WITH(codec::encode(f, apart.view().col_range(0, 320), packed),
                        ContainsSubstring("row 17, column 319"));
      CHECK_THROWS_WITH(codec::encode(f, w.view(), packed), ContainsSubstring("row 17, column 319"));
      const std::vector<codec::grid> given(f.groups(35, 320), codec::grid{.scale = 1});
      CHECK_THROWS_WITH(codec::encode_on_grids(f, w.view(), packed, codec::choose_given{given}),
                        ContainsSubstring("row 17, column 319"));
    });
}

TEST_CASE("quotients of tiles are those of divisions", "[codec][tiles][oracle]") {
  // 8 bits, quotients next to ties: n + 1/2 times the scale, and the floats beside it, for scales of every size.
  const grid_format f{.rule = grid_rule::affine, .code_bits = 8, .group = 256};
  const random_stream random(3, purpose("scales"));
  for (std::uint64_t round = 0; round < 400; ++round) {
    float_matrix w(16, 256);
    std::vector<codec::grid> grids(16);
    for (std::size_t r = 0; r < 16; ++r) {
      const auto scale = static_cast<float>(std::exp(40 * random.uniform(round * 16 + r) - 20));
      grids[r] = {.scale = scale, .zero_point = 128};
      for (std::size_t c = 0; c < 256; ++c) {
        const float tie = (static_cast<float>(c) - 128.5f) * scale;
        w(r, c) = std::bit_cast<float>(std::bit_cast<std::uint32_t>(tie) + static_cast<std::uint32_t>(round % 5) - 2u);
      }
    }
    std::vector<std::byte> packed(f.layout_of(16, 256).bytes);
    codec::encode_on_grids(f, w.view(), packed, codec::choose_given{grids});
    std::vector<std::uint8_t> codes(256);
    bool same = true;
    for (std::size_t r = 0; r < 16; ++r) {
      codec::read_codes(f, packed, 16, r, std::span<std::uint8_t>(codes));
      for (std::size_t c = 0; c < 256; ++c) {
        const float q = std::clamp(w(r, c) / grids[r].scale, -128.f, 127.f);
        same = same && codes[c] == static_cast<int>(std::nearbyint(q)) + 128;
      }
    }
    REQUIRE(same);
  }
}

TEST_CASE("sixteen rows at a time: a large matrix past the caches, where its rows start at lines or not",
          "[codec][tiles]") {
  constexpr std::size_t out = 2050, in = 4096;  // 32 MiB and two rows that are not of a whole tile
  const grid_format f = *codec::parse_grid_format("affine4.g32");
  const float_matrix w = hard_weights(in, 3);
  std::vector<std::byte> packed(f.layout_of(out, in).bytes);
  {
    float_matrix many(out, in);
    for (std::size_t r = 0; r < out; ++r) std::copy_n(w.row(r % w.rows).data(), in, many.row(r).data());
    codec::encode(f, many.view(), packed);
  }
  std::vector<float> room(out * in + 32);
  const std::size_t line = (64 - reinterpret_cast<std::uintptr_t>(room.data()) % 64) % 64 / 4;
  std::vector<float> row(in);
  for (const std::size_t start : {line, line + 1}) {
    std::fill(room.begin(), room.end(), -99.f);
    codec::decode(f, packed, {std::span(room).subspan(start, out * in), out, in});
    for (std::size_t r = 0; r < out; ++r) {
      codec::decode_row(f, packed, out, r, row);
      REQUIRE(std::memcmp(row.data(), &room[start + r * in], in * sizeof(float)) == 0);
    }
    for (std::size_t i = 0; i < room.size(); ++i)
      if (i < start || i >= start + out * in) REQUIRE(room[i] == -99.f);
  }
}
