#include <precis/model/taps.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

using namespace precis;

namespace {

activations counting(std::size_t s, std::size_t t, std::size_t f) {
  activations x(s, t, f);
  std::iota(x.values.begin(), x.values.end(), 0.f);
  return x;
}

constexpr site here{site_kind::residual, 1}, elsewhere{site_kind::mlp, 1};

}  // namespace

TEST_CASE("record copies the activations of the sites selected", "[model][taps][worked-example]") {
  tap::record recorder{[](site s) { return s.kind == site_kind::residual; }};
  activations x = counting(2, 3, 4);
  recorder(elsewhere, x.view());
  CHECK(recorder.seen.empty());
  recorder(here, x.view());
  x.values.assign(24, -1.f);  // later changes of the original do not affect the copy
  REQUIRE(recorder.find(here) != nullptr);
  CHECK(*recorder.find(here) == counting(2, 3, 4));
  CHECK(recorder.find(elsewhere) == nullptr);
}

TEST_CASE("record stores a strided view contiguously", "[model][taps][property]") {
  tap::record recorder{[](site) { return true; }};
  activations x = counting(2, 3, 4);
  recorder(here, x.view().token_range(1, 2));
  const activations& seen = *recorder.find(here);
  CHECK(seen.tokens == 2);
  CHECK(seen.values == std::vector<float>{4, 5, 6, 7, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23});
}

TEST_CASE("replace overwrites one token of every sequence at its site only", "[model][taps][worked-example]") {
  const std::vector<float> values{-1.f, -2.f};
  const tap::replace replace{.at = here, .token = 1, .values = values};
  activations x = counting(2, 2, 2);
  replace(elsewhere, x.view());
  CHECK(x == counting(2, 2, 2));
  replace(here, x.view());
  CHECK(x.values == std::vector<float>{0, 1, -1, -2, 4, 5, -1, -2});
}

TEST_CASE("add_noise gives each sequence its own noise", "[model][taps][worked-example]") {
  const std::vector<float> noise{10, 20, 30, 40};
  const tap::add_noise add{.at = here, .first_token = 1, .noise = {noise, 2, 1, 2}};
  activations x = counting(2, 3, 2);
  add(elsewhere, x.view());
  CHECK(x == counting(2, 3, 2));
  add(here, x.view());
  CHECK(x.values == std::vector<float>{0, 1, 12, 23, 4, 5, 6, 7, 38, 49, 10, 11});
}

TEST_CASE("copy_of and assign copy strided activations", "[model][taps][worked-example]") {
  activations x = counting(2, 3, 2);
  const activations tail = tap::copy_of(x.view().token_range(1, 2));
  CHECK(tail.values == std::vector<float>{2, 3, 4, 5, 8, 9, 10, 11});
  activations y(2, 3, 2);
  tap::assign(y.view().token_range(0, 2), tail.view());
  CHECK(y.values == std::vector<float>{2, 3, 4, 5, 0, 0, 8, 9, 10, 11, 0, 0});
}

TEST_CASE("chain calls its taps in order", "[model][taps][worked-example]") {
  const std::vector<float> values{7.f};
  tap::replace overwrite{.at = here, .token = 0, .values = values};
  tap::record recorder{[](site) { return true; }};
  tap::chain both{overwrite, recorder};
  activations x = counting(1, 1, 1);
  both(here, x.view());
  CHECK(recorder.find(here)->values == values);  // the recorder sees the replacement
}

TEST_CASE("the clean run of the micro-transformer, recorded by a tap", "[model][taps][worked-example]") {
  const micro_transformer model;
  tap::record recorder{[](site) { return true; }};
  const float_matrix z = model.logits(prompts(1, {0, 1, 2}), positions::last, recorder);

  std::vector<std::string> order;
  for (const auto& [at, x] : recorder.seen) order.push_back(at.name());
  CHECK(order == std::vector<std::string>{"embedding.0", "residual.0", "attention.0", "mlp.0", "residual.1",
                                          "attention.1", "mlp.1", "residual.2"});

  const auto h = recorder.find({site_kind::residual, 2})->view();
  const double expected[3][2] = {{5.71875, 4.28125}, {0.269531, 5.796875}, {2.570312, 8.407118}};
  for (std::size_t t = 0; t < 3; ++t)
    for (std::size_t f = 0; f < 2; ++f) CHECK(h(0, t)[f] == Approx(expected[t][f]).epsilon(2e-6));

  double sum = 0;
  for (std::size_t v = 0; v < 3; ++v) sum += std::exp(static_cast<double>(z(0, v)));
  const double probability[3] = {0.002703, 0.926415, 0.070882};
  for (std::size_t v = 0; v < 3; ++v)
    CHECK(std::exp(static_cast<double>(z(0, v))) / sum == Approx(probability[v]).margin(5e-7).epsilon(0));
}

TEST_CASE("replacing the last residual determines the logits", "[model][taps][property]") {
  const micro_transformer model;
  const std::vector<float> state{1.f, -2.f};
  const tap::replace replace{.at = {site_kind::residual, 2}, .token = 2, .values = state};
  const float_matrix z = model.logits(prompts(2, {0, 1, 2, 2, 2, 0}), positions::last, replace);
  for (std::size_t s = 0; s < 2; ++s) {  // Wu = [[1, 0], [0, 1], [-1, 1]]
    CHECK(z(s, 0) == 1.f);
    CHECK(z(s, 1) == -2.f);
    CHECK(z(s, 2) == -3.f);
  }
}

TEST_CASE("tap::reference @post: a model sees the tap behind it, and all have one type", "[model][taps][property]") {
  const micro_transformer model;
  const token_batch batch = prompts(1, {0, 1, 2});
  tap::record every{[](site) { return true; }};
  const auto clear = [](site at, activations_view<float> x) {
    if (at == site{site_kind::residual, 1}) std::fill(x(0, 1).begin(), x(0, 1).end(), 0.f);
  };
  static_assert(std::is_same_v<decltype(tap::reference(every)), decltype(tap::reference(clear))>);

  tap::record direct{[](site) { return true; }};
  const float_matrix expected = model.logits(batch, positions::last, direct);
  CHECK(model.logits(batch, positions::last, tap::reference(every)).values == expected.values);
  REQUIRE(every.seen.size() == direct.seen.size());
  for (std::size_t i = 0; i < every.seen.size(); ++i) {
    CHECK(every.seen[i].first == direct.seen[i].first);
    CHECK(every.seen[i].second.values == direct.seen[i].second.values);
  }
  const float_matrix cleared = model.logits(batch, positions::last, clear);
  CHECK(cleared.values != expected.values);
  CHECK(model.logits(batch, positions::last, tap::reference(clear)).values == cleared.values);
}
