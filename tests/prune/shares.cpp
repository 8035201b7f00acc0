#include <precis/prune/shares.hpp>

#include <precis/core/random.hpp>
#include <precis/prune/magnitude.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

using namespace precis;
using Catch::Matchers::ContainsSubstring;
using prune::joint_shares;

namespace {

/// A model with matrices of one row each and two matrices per block.
struct one_row_model {
  std::vector<matrix_info> infos;
  std::vector<float_matrix> values;

  explicit one_row_model(const std::vector<std::vector<float>>& rows) {
    for (std::size_t m = 0; m < rows.size(); ++m) {
      infos.push_back({"m" + std::to_string(m), m / 2, part::mlp, 1, rows[m].size()});
      values.emplace_back(1, rows[m].size(), rows[m]);
    }
  }
  one_row_model(std::size_t matrices, std::uint64_t seed, bool ties)
      : one_row_model(random_rows(matrices, seed, ties)) {}

  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t i) const { return values[i].view(); }
  [[nodiscard]] mutable_weight_view weights(std::size_t i) { return values[i].view(); }

 private:
  static std::vector<std::vector<float>> random_rows(std::size_t matrices, std::uint64_t seed, bool ties) {
    const random_stream random(seed, purpose("joint shares"));
    std::vector<std::vector<float>> rows;
    std::uint64_t i = 0;
    for (std::size_t m = 0; m < matrices; ++m) {
      std::vector<float>& row = rows.emplace_back();
      const std::size_t n = 1 + static_cast<std::size_t>(random.below(i++, 40));
      for (std::size_t k = 0; k < n; ++k) {
        const double x = random.normal(2 * (i++)) * (1 + static_cast<double>(m));
        row.push_back(static_cast<float>(ties ? std::round(x) : x));
      }
    }
    return rows;
  }
};

}  // namespace

TEST_CASE("joint_shares: four small matrices by hand", "[prune][shares][worked-example]") {
  const one_row_model model({{1, -9}, {2, 3}, {-10, 20, 30}, {4}});
  const auto units = group_units(model.matrices(), unit_kind::matrix);
  CHECK(joint_shares{.sparsity = 0.5, .most = 1}(model, units) == std::vector<double>{.5, 1, 0, 1});
  // With a cap of half, m1 keeps its 3 and m3 its only weight 4, so -9 and -10 are removed instead.
  CHECK(joint_shares{.sparsity = 0.375, .most = 0.5}(model, units) == std::vector<double>{.5, .5, 1.0 / 3, 0});
  // Relative to the rms of the blocks: {1, 9, 2, 3} / 4.87 and {10, 20, 30, 4} / 18.8.
  const auto blocks = group_units(model.matrices(), unit_kind::block);
  CHECK(joint_shares{.sparsity = 0.5, .by = joint_shares::key::relative}(model, blocks) == std::vector<double>{.5, .5});
}

TEST_CASE("joint_shares remove exactly the weights of the joint selection", "[prune][shares][property]") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const one_row_model model(5, seed, seed % 2 == 0);
    const auto units = group_units(model.matrices(), unit_kind::matrix);
    std::size_t all = 0;
    for (const matrix_info& m : model.matrices()) all += m.weights();
    for (const double sparsity : {0.0, 0.1, 0.5, 0.77, 1.0}) {
      CAPTURE(seed, sparsity);
      const auto shares = joint_shares{.sparsity = sparsity, .most = 1}(model, units);
      one_row_model joint = model, each = model;
      std::vector<mutable_weight_view> views;
      for (std::size_t m = 0; m < 5; ++m) views.push_back(joint.weights(m));
      CHECK(prune::magnitude{.sparsity = sparsity}(views) == exact_count(sparsity, all));
      std::size_t removed = 0;
      for (std::size_t m = 0; m < 5; ++m) removed += prune::magnitude{.sparsity = shares[m]}(each.weights(m));
      CHECK(removed == exact_count(sparsity, all));
      for (std::size_t m = 0; m < 5; ++m) CHECK(joint.values[m].values == each.values[m].values);
    }
  }
}

TEST_CASE("joint_shares @post: the shares remove exactly the requested number, and no share exceeds the cap",
          "[prune][shares][property]") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const one_row_model model(6, seed, seed % 3 == 0);
    for (const unit_kind kind : {unit_kind::block, unit_kind::matrix}) {
      const auto units = group_units(model.matrices(), kind);
      std::size_t all = 0, most_removed = 0;
      for (const unit& u : units) {
        all += u.weights;
        most_removed += static_cast<std::size_t>(0.6 * static_cast<double>(u.weights));
      }
      const double sparsity = 0.9 * static_cast<double>(most_removed) / static_cast<double>(all);
      const auto shares = joint_shares{.sparsity = sparsity, .most = 0.6}(model, units);
      double removed = 0;
      for (std::size_t u = 0; u < units.size(); ++u) {
        CHECK(shares[u] <= 0.6);
        removed += shares[u] * static_cast<double>(units[u].weights);
      }
      CHECK(removed == Approx(static_cast<double>(exact_count(sparsity, all))).margin(1e-9));
    }
  }
}

TEST_CASE("units with equal keys get equal shares", "[prune][shares][property]") {
  const std::vector<float> row{5, 1, -3, 2, 8, -7, 4, 6};
  const one_row_model model({row, row, row});
  const auto units = group_units(model.matrices(), unit_kind::matrix);
  CHECK(joint_shares{.sparsity = 0.25}(model, units) == std::vector<double>{.25, .25, .25});
}

TEST_CASE("joint_shares refuses infeasible caps and weights that are not finite", "[prune][shares][refusal]") {
  one_row_model model({{1, 2, 3, 4}, {5, 6, 7, 8}});
  const auto units = group_units(model.matrices(), unit_kind::matrix);
  CHECK_THAT(refusal([&] { (void)joint_shares{.sparsity = 0.8, .most = 0.5}(model, units); }),
             ContainsSubstring("a sparsity of at most 0.5"));
  CHECK_THAT(refusal([&] { (void)joint_shares{.most = 1.5}(model, units); }), ContainsSubstring("a cap of 1.5"));
  model.values[1].values[2] = std::numeric_limits<float>::infinity();
  CHECK_THAT(refusal([&] { (void)joint_shares{}(model, units); }), ContainsSubstring("m1 in row 0, column 2"));
}
