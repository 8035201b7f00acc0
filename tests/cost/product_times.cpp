#include <precis/cost/product_times.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/core/menu.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using cost::timed_matrix;

namespace {

using formats = menu<codec::affine<4, 32>, codec::float16>;

const std::vector<matrix_info> infos{{"table", before_layers, part::other, 3, 32},
                                     {"a", 0, part::attention, 64, 32},
                                     {"b", 0, part::mlp, 64, 32},
                                     {"c", 0, part::mlp, 32, 64}};

cost_table blocks() { return cost::blank_table<formats>(infos, unit_kind::block, {}, 32, "test"); }

/// Short rounds: the tests check what is measured and how it is added up, not the times.
template<class Menu = formats>
cost::product_times<Menu> quick() {
  return {.clock = {.rounds = 1, .round_nanoseconds = 1}};
}

}  // namespace

TEST_CASE("every shape is prepared once per entry, with as many copies as the model fills",
          "[cost][product_times][worked-example]") {
  std::vector<std::string> prepared;
  const auto prepare = [&](const timed_matrix& m) -> std::function<void(std::size_t)> {
    prepared.push_back(m.entry + " " + std::to_string(m.out) + "x" + std::to_string(m.in) + " " +
                       std::to_string(m.copies));
    return [copies = m.copies](std::size_t c) { CHECK(c < copies); };
  };
  const cost_table t = quick()(infos, blocks(), prepare);
  // float16: 3 x 32, twice 64 x 32 and 32 x 64 weights are 6240; so 65 tables or 3 maps fill the model.
  CHECK(std::ranges::count(prepared, "float16 3x32 65") == 1);
  CHECK(std::ranges::count(prepared, "float16 64x32 3") == 1);
  CHECK(std::ranges::count(prepared, "float16 32x64 3") == 1);
  CHECK(prepared.size() == 6);
  CHECK(t.nanoseconds.size() == 4);
  CHECK(t.costs == blocks().costs);
  check(t);

  cost::product_times<formats> little = quick();
  little.most_bytes = 1;
  prepared.clear();
  static_cast<void>(little(infos, blocks(), prepare));
  CHECK(prepared.front().ends_with(" 1"));
}

TEST_CASE("the products of a unit add up; what is not multiplied takes no time",
          "[cost][product_times][worked-example]") {
  const auto empty = [](const timed_matrix&) -> std::function<void(std::size_t)> { return [](std::size_t) {}; };
  cost::product_times<formats> times = quick();
  times.products = {0, 0, 0, 0};
  CHECK(times(infos, blocks(), empty).nanoseconds == std::vector<std::size_t>{0, 0, 0, 0});

  // An entry without a kernel: the table is only looked up, so its time is known all the same.
  const auto only_affine = [](const timed_matrix& m) -> std::function<void(std::size_t)> {
    if (m.entry == "float16") return {};
    return [](std::size_t) {};
  };
  times.products = {0, 1, 0.5, 1};
  const cost_table t = times(infos, blocks(), only_affine);
  CHECK(t.nanoseconds_of(0)[1] == 0);
  CHECK(t.nanoseconds_of(1)[0] != not_timed);
  CHECK(t.nanoseconds_of(1)[1] == not_timed);
}

TEST_CASE("the kernels of the library multiply every entry", "[cost][product_times][property]") {
  constexpr auto four = codec::affine<4, 32>::format;
  using kernels = kernel::formats<kernel::packed_format(four), kernel::packed_format(kernel::dense_type::float16)>;
  const cost::product_times<formats, kernels> times{.clock = {.rounds = 1, .round_nanoseconds = 1}};
  const cost_table t = times(infos, blocks());
  for (const std::size_t ns : t.nanoseconds) CHECK(ns != not_timed);
  CHECK(t.notes == std::vector<std::string>{"times of float products, one thread"});
  CHECK(parse_costs(to_text(t), infos) == t);
}

TEST_CASE("products that do not match the matrices are refused", "[cost][product_times][refusal]") {
  const auto said = [](std::vector<double> products) {
    cost::product_times<formats> times = quick();
    times.products = std::move(products);
    return refusal(
        [&] { (void)times(infos, blocks(), [](const timed_matrix&) { return std::function<void(std::size_t)>(); }); });
  };
  CHECK(said({1}) == "cost::product_times: 1 numbers of products for 4 matrices; expected one per matrix, or none");
  CHECK_THAT(said({1, 1, -1, 1}), ContainsSubstring("products per token; expected a finite number, at least 0"));
  CHECK_THAT(said({1, 1, 1, std::numeric_limits<double>::quiet_NaN()}), ContainsSubstring("a finite number"));
}
