#include <precis/fit/low_rank_residual.hpp>

#include <precis/measure/gram.hpp>

#include "refusal.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;

namespace {

const float_matrix w{3, 3, {1, -0.5f, 0.25f, 0.4f, 0.8f, -0.6f, -0.9f, 0.3f, 0.7f}};
const float_matrix q{3, 3, {1, -0.5f, 0.5f, 0.5f, 1, -0.5f, -1, 0.5f, 0.5f}};
const std::vector<float> x{4, 0, 1, 3, 1, 0, 5, -1, 1, 4, 1, -1};

basic_matrix<double> gram() { return measure::gram_of({std::span<const float>(x), 1, 4, 3}).sum; }

/// The errors of weights and of outputs after a correction of this rank.
struct errors {
  double weights = 0, outputs = 0;
};
errors after(const fit::low_rank_factors& f) {
  float_matrix corrected = q;
  f.add_to(corrected.view());
  return {measure::squared_output_error(w.view(), corrected.view(), {}),
          measure::squared_output_error(w.view(), corrected.view(), gram())};
}

}  // namespace

TEST_CASE("low_rank_residual: LoRC and EoRA of rank 1, by hand", "[fit][low_rank_residual][worked-example]") {
  CHECK(measure::squared_output_error(w.view(), q.view(), gram()) == Approx(2.2775).epsilon(1e-5));
  const errors lorc = after(fit::low_rank_residual{.rank = 1}(w.view(), q.view()));
  CHECK(lorc.weights == Approx(0.0835642630).epsilon(1e-5));
  CHECK(lorc.outputs == Approx(0.9864482862).epsilon(1e-5));
  const errors eora = after(fit::low_rank_residual{.rank = 1}(w.view(), q.view(), gram()));
  CHECK(eora.outputs == Approx(0.4339006320).epsilon(1e-5));
  CHECK(eora.weights == Approx(0.1215235263).epsilon(1e-5));
}

TEST_CASE("low_rank_residual: the full rank restores the matrix; orthonormal inputs make EoRA LoRC",
          "[fit][low_rank_residual][property]") {
  CHECK(after(fit::low_rank_residual{.rank = 9}(w.view(), q.view())).weights < 1e-12);
  CHECK(after(fit::low_rank_residual{.rank = 9}(w.view(), q.view(), gram())).weights < 1e-10);
  basic_matrix<double> identity(3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(after(fit::low_rank_residual{.rank = 1}(w.view(), q.view(), identity)).weights ==
        Approx(0.0835642630).epsilon(1e-5));
}

TEST_CASE("low_rank_residual: inputs that span less than all columns, and none",
          "[fit][low_rank_residual][bad-input]") {
  basic_matrix<double> one_token(3, 3, {4, 2, 0, 2, 1, 0, 0, 0, 0});
  float_matrix corrected = q;
  fit::low_rank_residual{.rank = 1}(w.view(), q.view(), one_token).add_to(corrected.view());
  CHECK(measure::squared_output_error(w.view(), corrected.view(), one_token) < 1e-4);
  CHECK(after(fit::low_rank_residual{.rank = 1}(w.view(), q.view(), basic_matrix<double>(3, 3))).weights ==
        Approx(0.0835642630).epsilon(1e-5));
  CHECK(refusal([&] {
          static_cast<void>(fit::low_rank_residual{}(w.view(), q.view(), basic_matrix<double>(2, 2)));
        }).find("2 inputs") != std::string::npos);
}
