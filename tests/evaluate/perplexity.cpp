#include <precis/evaluate/perplexity.hpp>

#include <precis/core/random.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

using namespace precis;

namespace {
/// Returns the batch itself as its loss.
struct given_losses {
  using batch_type = nll;
  nll loss(const nll& batch) const { return batch; }
};
}  // namespace

TEST_CASE("mean loss and perplexity of the micro-transformer", "[evaluate][perplexity][worked-example]") {
  const micro_transformer model;
  std::vector<token_batch> singles;
  for (std::size_t i = 0; i < 5; ++i) singles.push_back(micro_transformer::labelled(i, 1));
  const auto report = evaluate::perplexity{}(model, singles);
  CHECK(report.total.count == 5);
  CHECK(report.total.mean() == Approx(1.9364132758).epsilon(1e-6));
  CHECK(report.perplexity() == Approx(6.9338365572).epsilon(1e-6));
  const std::vector<double> each{0.0764329215, 6.3203897460, 1.9282134857, 0.2376684079, 1.1193618177};
  for (std::size_t i = 0; i < 5; ++i) CHECK(report.windows[i].sum == Approx(each[i]).epsilon(1e-5));
}

TEST_CASE("the mean is over tokens, not over windows", "[evaluate][perplexity][worked-example]") {
  const std::vector<nll> windows{{.sum = 9, .count = 3}, {.sum = 1, .count = 1}};
  const auto report = evaluate::perplexity{}(given_losses{}, windows);
  CHECK(report.total.mean() == 2.5);  // the mean of the means would be 2
  CHECK(report.perplexity() == std::exp(2.5));
}

TEST_CASE("for windows of equal size the standard error is that of a mean", "[evaluate][perplexity][oracle]") {
  // Means 1, 2, 3, 6 of ten tokens each: mean 3, sample deviation sqrt(14 / 3), over sqrt(4).
  const std::vector<nll> windows{{10, 10}, {20, 10}, {30, 10}, {60, 10}};
  const auto report = evaluate::perplexity{}(given_losses{}, windows);
  REQUIRE(report.standard_error().has_value());
  const double se = std::sqrt(14.0 / 3.0) / 2;
  CHECK(*report.standard_error() == Approx(se).epsilon(1e-12));
  CHECK(report.confidence().mean == Approx(3).epsilon(1e-12));
  CHECK(report.confidence().half_width == Approx(evaluate::student_95(report.windows.size() - 1) * se).epsilon(1e-12));
  CHECK_FALSE(evaluate::perplexity{}(given_losses{}, std::vector<nll>{{10, 10}}).standard_error().has_value());
}

TEST_CASE("about 95 % of the intervals contain the true mean", "[evaluate][perplexity][oracle]") {
  const random_stream random(11, purpose("windows"));
  int covered = 0;
  for (std::uint64_t trial = 0; trial < 400; ++trial) {
    std::vector<nll> windows;
    for (std::uint64_t w = 0; w < 8; ++w) {  // with so few windows a normal quantile would cover only 91 %
      const std::size_t count = 50 + random.below(2 * (100 * trial + w), 100);
      windows.push_back(
          {.sum = static_cast<double>(count) * (3 + 0.5 * random.normal(1000000 + 100 * trial + w)), .count = count});
    }
    const evaluate::interval found = evaluate::perplexity{}(given_losses{}, windows).confidence();
    covered += found.low() <= 3 && 3 <= found.high() ? 1 : 0;
  }
  CHECK(covered >= 366);  // expected 380 of 400, deviation about 4.4: three of them
  CHECK(covered <= 393);
}

TEST_CASE("perplexity @post: equal on any executor, bit for bit", "[evaluate][perplexity][property]") {
  const micro_transformer model;
  std::vector<token_batch> batches;
  for (std::size_t i = 0; i < 40; ++i) batches.push_back(micro_transformer::labelled(i % 4, 1 + i % 2));
  const auto one = evaluate::perplexity{}(model, batches);
  for (const std::size_t threads : {2u, 3u, 7u}) {
    const auto many = evaluate::perplexity{}(model, batches, thread_pool{.threads = threads});
    CHECK(many.total == one.total);
    CHECK(many.windows == one.windows);
  }
}

TEST_CASE("missing predictions and losses that are not finite are refused", "[evaluate][perplexity][refusal]") {
  CHECK_THAT(refusal([] { (void)evaluate::perplexity{}(given_losses{}, std::vector<nll>{}); }),
             ContainsSubstring("nothing to predict"));
  CHECK_THAT(refusal([] {
               (void)evaluate::perplexity{}(given_losses{},
                                            std::vector<nll>{{1, 1}, {std::numeric_limits<double>::quiet_NaN(), 1}});
             }),
             ContainsSubstring("window 1"));
  struct nothing {};
  static_assert(std::is_invocable_r_v<refused, evaluate::perplexity, nothing, std::vector<nll>>);
}
