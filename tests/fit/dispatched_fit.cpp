// Compiled without -march=native, as part of test_dispatch (tests/CMakeLists.txt).

#include <precis/fit/dispatched_fit.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <limits>
#include <string>
#include <vector>

using namespace precis;

namespace {

using dispatch::level;

template<class F>
void at_every_level(F&& f) {
  for (const level l :
       {level::baseline, level::sse4, level::avx2, level::avx_vnni, level::avx512, level::avx512_vnni, level::dotprod})
    if (dispatch::supports(l)) {
      dispatch::use(l);
      f();
    }
  dispatch::use(dispatch::best());
}

}  // namespace

TEST_CASE("dispatched_fit @post: all levels write the bytes of codec::encode and fit::clip_search",
          "[fit][dispatch][property]") {
  const random_stream random(1, purpose("dispatched_fit"));
  constexpr std::size_t out = 37, in = 192;
  std::vector<float> w(out * in);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(random.normal(i));
  for (const auto rule : {codec::grid_rule::affine, codec::grid_rule::symmetric, codec::grid_rule::e4m3})
    for (const unsigned bits : {2u, 4u, 8u})
      for (const std::size_t group : {std::size_t{32}, std::size_t{48}, codec::per_row}) {
        if (rule == codec::grid_rule::e4m3 && bits != 8) continue;
        const codec::grid_format f{
            .rule = rule, .code_bits = bits, .group = group, .scales = codec::scale_type::float16};
        const weight_view weights{w, out, in};
        std::vector<std::byte> nearest(f.layout_of(out, in).bytes), squares = nearest, powers = nearest;
        codec::encode(f, weights, nearest);
        fit::clip_search{.steps = 20, .step = 0.03, .power = 2}(f, weights, squares);
        fit::clip_search{.steps = 20, .step = 0.03}(f, weights, powers);
        at_every_level([&] {
          CAPTURE(codec::to_string(f), static_cast<int>(dispatch::current()));
          std::vector<std::byte> packed(nearest.size());
          dispatch::nearest{}(f, weights, packed);
          CHECK(packed == nearest);
          dispatch::clip_search{.steps = 20, .step = 0.03, .power = 2}(f, weights, packed);
          CHECK(packed == squares);
          dispatch::clip_search{.steps = 20, .step = 0.03}(f, weights, packed);
          CHECK(packed == powers);
        });
      }
}

TEST_CASE("dispatched_fit refuses what the fits refuse", "[fit][dispatch][refusal]") {
  std::vector<float> w(16 * 32, 1.f);
  w[40] = std::numeric_limits<float>::infinity();
  const codec::grid_format f{.rule = codec::grid_rule::symmetric, .code_bits = 4, .group = 32};
  std::vector<std::byte> packed(f.layout_of(16, 32).bytes);
  at_every_level([&] {
    const std::string not_finite = refusal([&] { dispatch::nearest{}(f, {w, 16, 32}, packed); });
    CHECK(not_finite == refusal([&] { codec::encode(f, {w, 16, 32}, packed); }));
    CHECK_THAT(not_finite, ContainsSubstring("row 1, column 8"));
    CHECK_THAT(refusal([&] { dispatch::clip_search{.steps = 0}(f, {w, 16, 32}, packed); }),
               ContainsSubstring("at least one step"));
  });
}
