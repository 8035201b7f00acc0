#include <precis/allocate/sparsity.hpp>

#include <precis/core/random.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

using namespace precis;
using allocate::entropy_softmax;
using allocate::owl;
using Catch::Matchers::ContainsSubstring;

namespace {

double mean(const std::vector<double>& s, const std::vector<std::size_t>& weights) {
  double sum = 0, all = 0;
  for (std::size_t i = 0; i < s.size(); ++i) {
    sum += s[i] * static_cast<double>(weights[i]);
    all += static_cast<double>(weights[i]);
  }
  return sum / all;
}

}  // namespace

TEST_CASE("owl: three units of equal size, by hand", "[allocate][sparsity][worked-example]") {
  const auto s = owl{}(std::vector<double>{.125, .125, .25}, std::vector<std::size_t>{10, 10, 10});
  CHECK(s[0] == Approx(0.7533333).margin(1e-7));
  CHECK(s[1] == Approx(0.7533333).margin(1e-7));
  CHECK(s[2] == Approx(0.5933333).margin(1e-7));
  CHECK(owl{}(std::vector<double>{.1, .1}, std::vector<std::size_t>{1, 3}) == std::vector<double>{0.7, 0.7});
  CHECK(owl{}(std::vector<double>{}, std::vector<std::size_t>{}).empty());
}

TEST_CASE("entropy_softmax: four units of equal size, computed in NumPy", "[allocate][sparsity][worked-example]") {
  const auto s = entropy_softmax{}(std::vector<double>{.9, .2, .1, .4}, std::vector<std::size_t>{7, 7, 7, 7});
  const double expected[4] = {0.0942913, 0.3823702, 0.4670280, 0.2563104};
  for (std::size_t i = 0; i < 4; ++i) CHECK(s[i] == Approx(expected[i]).margin(1e-7));
}

TEST_CASE("entropy_softmax: the excess above the cap goes to the others in proportion, even if their factors underflow",
          "[allocate][sparsity][worked-example]") {
  // Factors 4, 2, 1, 1 and a mean of 0.6: {1.2, 0.6, 0.3, 0.3}. The first is clipped to 1; 1.4 is left for 2 : 1 : 1.
  const double l = std::log(2.0);
  const std::vector<std::size_t> equal(4, 7);
  const auto cut = entropy_softmax{.sparsity = .6, .temperature = 1}(std::vector<double>{-2 * l, -l, 0, 0}, equal);
  // At this low temperature exp(-(2 - 1) / T) is zero, so units are filled one by one.
  const auto cold = entropy_softmax{.sparsity = .625, .temperature = 1e-6}(std::vector<double>{1, 2, 3, 4}, equal);
  const double expected[2][4] = {{1, .7, .35, .35}, {1, 1, .5, 0}};
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(cut[i] == Approx(expected[0][i]).margin(1e-12));
    CHECK(cold[i] == Approx(expected[1][i]).margin(1e-12));
  }
}

TEST_CASE("owl and entropy_softmax @post: the mean over all weights is `sparsity`, and no unit leaves the range",
          "[allocate][sparsity][property]") {
  const random_stream random(5, purpose("sparsity"));
  std::uint64_t i = 0;
  for (std::size_t round = 0; round < 300; ++round) {
    const std::size_t n = 1 + static_cast<std::size_t>(random.below(i++, 9));
    std::vector<double> values;
    std::vector<std::size_t> weights;
    for (std::size_t u = 0; u < n; ++u) {
      values.push_back(6 * random.uniform(i++) - 3);
      weights.push_back(1 + static_cast<std::size_t>(random.below(i++, 100)));
    }
    const double most = 0.5 + 0.5 * random.uniform(i++), sparsity = most * random.uniform(i++);
    const double sharp = random.uniform(i++);
    CAPTURE(round, n, most, sparsity, sharp);
    for (const auto& s :
         {owl{.sparsity = sparsity, .strength = sharp, .most = most}(values, weights),
          entropy_softmax{.sparsity = sparsity, .temperature = 0.05 + sharp, .most = most}(values, weights)}) {
      CHECK(mean(s, weights) == Approx(sparsity).margin(1e-9));
      CHECK(std::ranges::min(s) >= -1e-12);
      CHECK(std::ranges::max(s) <= most + 1e-12);
      for (std::size_t a = 0; a < n; ++a)  // a higher score loses no more
        for (std::size_t b = 0; b < n; ++b)
          if (values[a] > values[b]) CHECK(s[a] <= s[b] + 1e-12);
    }
  }
}

TEST_CASE("with_sparsity sets the sparsities of a plan", "[allocate][sparsity][worked-example]") {
  const plan p{.model = {},
               .units = unit_kind::block,
               .notes = {"by hand"},
               .choices = {{.unit = "block.0", .codec = "affine4.row"}, {.unit = "block.1", .codec = "affine4.row"}}};
  const plan q = allocate::with_sparsity(p, std::vector<double>{0.25, 0.5}, "owl");
  CHECK(q.choices[0].sparsity == 0.25);
  CHECK(q.choices[1].sparsity == 0.5);
  CHECK(q.notes.back() == "sparsity by owl");
  CHECK_THAT(refusal([&] { (void)allocate::with_sparsity(p, std::vector<double>{0.25}, "owl"); }),
             ContainsSubstring("1 sparsities for 2 choices"));
  CHECK(allocate::with_sparsity(p, std::vector<double>{-1e-17, 1 + 1e-15}, "owl").choices[1].sparsity == 1);
  CHECK_THAT(refusal([&] { (void)allocate::with_sparsity(p, std::vector<double>{0.25, 1.1}, "owl"); }),
             ContainsSubstring("a sparsity of 1.1"));
}

TEST_CASE("sparsity allocators refuse invalid input", "[allocate][sparsity][refusal]") {
  const std::vector<std::size_t> two{1, 1};
  CHECK_THAT(refusal([&] { (void)owl{.sparsity = 1.2}(std::vector<double>{1, 2}, two); }), ContainsSubstring("1.2"));
  CHECK_THAT(refusal([&] { (void)owl{.sparsity = .8, .most = .7}(std::vector<double>{1, 2}, two); }),
             ContainsSubstring("0 to 0.7"));
  CHECK_THAT(refusal([&] { (void)owl{}(std::vector<double>{1}, two); }), ContainsSubstring("1 values for 2 units"));
  CHECK_THAT(
      refusal([&] { (void)entropy_softmax{}(std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()}, two); }),
      ContainsSubstring("value 1"));
  CHECK_THAT(refusal([&] { (void)entropy_softmax{.temperature = 0}(std::vector<double>{1, 2}, two); }),
             ContainsSubstring("temperature"));
}
