#include <precis/measure/kl_divergence.hpp>

#include <precis/core/random.hpp>
#include <precis/core/thread_pool.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace precis;

namespace {
/// Returns fixed logits for any batch.
struct fixed_logits {
  using batch_type = token_batch;
  float_matrix answer;
  std::size_t layers() const { return 1; }
  template<class Tap>
  float_matrix logits(const token_batch&, positions, Tap&&) const {
    return answer;
  }
  template<class Tap>
  nll loss(const token_batch&, Tap&&) const {
    return {};
  }
};
}  // namespace

TEST_CASE("the divergence of two predictions, in both directions", "[measure][kl][worked-example]") {
  const std::vector<float> teacher{2, 1, 0}, student{1.5f, 1.2f, 0.1f};
  CHECK(measure::kl_of_logits(teacher, student) == Approx(0.05390065).margin(5e-9));
  CHECK(measure::kl_of_logits(student, teacher) == Approx(0.05614686).margin(5e-9));
}

TEST_CASE(
    "KL is zero for equal logits, otherwise positive, invariant to a shift, and known in closed form for two classes",
    "[measure][kl][property]") {
  const random_stream random(5, purpose("kl"));
  for (std::uint64_t trial = 0; trial < 200; ++trial) {
    std::vector<float> p(7), q(7), moved(7);
    for (std::size_t i = 0; i < 7; ++i) {
      p[i] = static_cast<float>(3 * random.normal(20 * trial + i));
      q[i] = static_cast<float>(3 * random.normal(100000 + 20 * trial + i));
      moved[i] = p[i];
    }
    CHECK(measure::kl_of_logits(p, moved) == 0);
    CHECK(measure::kl_of_logits(p, q) > 0);
    // Two classes: a log(a / b) + (1 - a) log((1 - a) / (1 - b)).
    const double a = 1 / (1 + std::exp(static_cast<double>(p[1]) - static_cast<double>(p[0])));
    const double b = 1 / (1 + std::exp(static_cast<double>(q[1]) - static_cast<double>(q[0])));
    CHECK(measure::kl_of_logits(std::span(p).first(2), std::span(q).first(2)) ==
          Approx(a * std::log(a / b) + (1 - a) * std::log((1 - a) / (1 - b))).margin(1e-12));
  }
  const std::vector<float> small{1, 2, 3}, large{1001, 1002, 1003}, other{3, 0, -2};
  CHECK(measure::kl_of_logits(small, other) == Approx(measure::kl_of_logits(large, other)).epsilon(1e-12));
}

TEST_CASE("positions with targets count; without targets, all but the last of each sequence",
          "[measure][kl][worked-example]") {
  const fixed_logits teacher{.answer = {3, 3, {2, 1, 0, 2, 1, 0, 2, 1, 0}}};
  const fixed_logits student{.answer = {3, 3, {1.5f, 1.2f, 0.1f, 2, 1, 0, 1.5f, 1.2f, 0.1f}}};
  const std::vector<token_batch> open{{.sequences = 1, .tokens = 3, .ids = {0, 1, 2}, .targets = {}}};
  const std::vector<token_batch> last{
      {.sequences = 1, .tokens = 3, .ids = {0, 1, 2}, .targets = {no_target, no_target, 1}}};
  const auto a = measure::kl_divergence{}(teacher, student, open);
  CHECK(a.count == 2);
  CHECK(a.mean_nats() == Approx(0.05390065 / 2).margin(5e-9));
  CHECK(a.worst_nats == Approx(0.05390065).margin(5e-9));
  const auto b = measure::kl_divergence{}(teacher, student, last);
  CHECK(b.count == 1);
  CHECK(b.mean_nats() == Approx(0.05390065).margin(5e-9));
}

TEST_CASE("a model does not diverge from itself; a changed one does, equally on any number of threads",
          "[measure][kl][property]") {
  const micro_transformer original;
  micro_transformer changed;
  changed.weights(3)(0, 0) += 0.25f;
  std::vector<token_batch> batches;
  for (std::size_t i = 0; i < 5; ++i) batches.push_back(micro_transformer::labelled(i, 1));
  CHECK(measure::kl_divergence{}(original, original, batches).sum_nats == 0);
  const auto one = measure::kl_divergence{}(original, changed, batches);
  CHECK(one.mean_nats() > 0);
  CHECK(one.count == 5);
  CHECK(measure::kl_divergence{}(original, changed, batches, thread_pool{.threads = 3}).sum_nats == one.sum_nats);
}

TEST_CASE("different vocabularies, missing predictions and non-finite logits are refused", "[measure][kl][refusal]") {
  const std::vector<token_batch> open{{.sequences = 1, .tokens = 2, .ids = {0, 1}, .targets = {}}};
  const fixed_logits of_three{.answer = {2, 3, 1.f}}, of_four{.answer = {2, 4, 1.f}},
      broken{.answer = {2, 3, std::numeric_limits<float>::quiet_NaN()}};
  CHECK_THAT(refusal([&] { (void)measure::kl_divergence{}(of_three, of_four, open); }),
             ContainsSubstring("the same vocabulary"));
  CHECK_THAT(refusal([&] { (void)measure::kl_divergence{}(of_three, broken, open); }), ContainsSubstring("batch 0"));
  CHECK_THAT(refusal([&] { (void)measure::kl_divergence{}(of_three, of_three, std::vector<token_batch>{}); }),
             ContainsSubstring("nothing to predict"));
}
