#include <precis/cost/measured.hpp>

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/standard_menu.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/thread_pool.hpp>
#include <precis/measure/kl_divergence.hpp>
#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <limits>
#include <string>
#include <vector>

using namespace precis;
using cost::measured_row;

namespace {

using formats = menu<codec::affine<2>, codec::affine<4>, codec::float32>;
using measured = cost::measured<formats>;

const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 2),
                                       micro_transformer::labelled(4, 1)};

/// The model with one unit in one entry and the others unchanged, by `apply`, which the header does not use.
micro_transformer with(const std::string& unit_name, const std::string& entry, unit_kind kind) {
  micro_transformer model;
  plan p{.model = {}, .units = kind, .notes = {}, .choices = {}};
  for (const unit& u : group_units(model.matrices(), kind))
    p.choices.push_back({.unit = u.name, .codec = u.name == unit_name ? entry : codec::float32::name()});
  apply<formats>(model, p);
  return model;
}

double mean_loss(const micro_transformer& model) {
  nll sum;
  for (const token_batch& b : batches) sum += model.loss(b);
  return sum.mean();
}

const auto ignore = [](const measured_row&) {};

}  // namespace

TEST_CASE("a measured cost is the loss of the model with one unit packed", "[cost][measured][oracle]") {
  micro_transformer model;
  for (const unit_kind kind : {unit_kind::block, unit_kind::half, unit_kind::matrix}) {
    const cost_table t = measured{.units = kind}(model, batches);
    CHECK(t.entries == std::vector<std::string>{"affine2.row", "affine4.row", "float32"});
    CHECK(t.measure == "increase of the loss (nats)");
    CHECK(t.maker == "measured nll on 5 predictions");
    CHECK(t.original_bytes == 16 * 4);
    for (std::size_t u = 0; u < t.units.size(); ++u)
      for (std::size_t e = 0; e < 3; ++e) {
        CHECK(t.costs_of(u)[e] == mean_loss(with(t.units[u].name, t.entries[e], kind)) - mean_loss(model));
        CHECK(t.bytes_of(u)[e] == t.units[u].matrices.size() * formats::bytes(e, 2, 2));
      }
  }
}

TEST_CASE("an entry that changes nothing costs exactly 0", "[cost][measured][property]") {
  micro_transformer model;
  for (const auto by : {measured::loss::nll, measured::loss::kl}) {
    const cost_table t = measured{.entries = {"float32"}, .by = by}(model, batches);
    for (const double c : t.costs) CHECK(c == 0);
  }
}

TEST_CASE("loss::kl is the divergence of the evaluator, with and without targets", "[cost][measured][oracle]") {
  micro_transformer model;
  std::vector<token_batch> prompts_only = batches;
  for (token_batch& b : prompts_only) b.targets.clear();
  const measured by_kl{.by = measured::loss::kl, .units = unit_kind::half};
  const cost_table t = by_kl(model, batches);
  whole_forwards plain(model);
  CHECK(by_kl(plain, batches) == t);
  CHECK(t.measure == "divergence from the original (nats)");
  for (std::size_t u = 0; u < t.units.size(); ++u)
    for (std::size_t e = 0; e < 3; ++e) {
      const micro_transformer changed = with(t.units[u].name, t.entries[e], unit_kind::half);
      CHECK(t.costs_of(u)[e] == measure::kl_divergence{}(model, changed, batches).mean_nats());
      CHECK(t.costs_of(u)[e] >= 0);
    }
  // One answer per prompt has a target; two of three positions have a successor.
  const cost_table everywhere = by_kl(model, prompts_only);
  CHECK(everywhere.maker == "measured kl on 10 predictions");
}

TEST_CASE("measured: equal with and without layered_model, and on any executor, bit for bit",
          "[cost][measured][property]") {
  micro_transformer model;
  whole_forwards plain(model);
  for (const auto by : {measured::loss::nll, measured::loss::kl}) {
    const measured how{.by = by, .units = unit_kind::matrix};
    const cost_table t = how(model, batches);
    CHECK(how(plain, batches) == t);
    CHECK(how(model, batches, thread_pool{3}) == t);
  }
}

TEST_CASE("measured: resumed from any of its rows, bit for bit", "[cost][measured][property]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  const measured how{.units = unit_kind::half};
  std::vector<measured_row> rows;
  const cost_table t = how.resume(model, batches, {}, [&](const measured_row& r) { rows.push_back(r); });
  CHECK(how(model, batches) == t);
  REQUIRE(rows.size() == 4);
  CHECK(rows[0].losses.size() == 3);

  struct stopped {};
  for (std::size_t done = 0; done <= 4; ++done) {
    std::vector<measured_row> saved;
    if (done < 4)
      CHECK_THROWS_AS(how.resume(model, batches, {},
                                 [&](const measured_row& r) {
                                   if (saved.size() == done) throw stopped{};
                                   saved.push_back(r);
                                 }),
                      stopped);
    else
      saved = rows;
    CHECK(saved.size() == done);
    CHECK(all_weights(model) == before);
    std::size_t measured_now = 0;
    CHECK(how.resume(model, batches, saved, [&](const measured_row&) { ++measured_now; }) == t);
    CHECK(measured_now == 4 - done);
  }
}

TEST_CASE("a measured table survives writing and reading", "[cost][measured][property]") {
  micro_transformer model;
  cost_table t = measured{}(model, batches);
  CHECK(parse_costs(to_text(t), model.matrices()) == t);
}

TEST_CASE("measured accepts a menu of run-time values", "[cost][measured][worked-example]") {
  micro_transformer model;
  const cost_table t = cost::measured<codec::standard>{.entries = {"affine4.row", "float16"}}(model, batches);
  CHECK(t.costs_of(0)[0] == measured{}(model, batches).costs_of(0)[1]);
}

TEST_CASE("measured refuses invalid input and restores the weights", "[cost][measured][refusal]") {
  micro_transformer model;
  const auto said = [&](const measured& how, std::span<const measured_row> rows = {}) {
    return refusal([&] { static_cast<void>(how.resume(model, batches, rows, ignore)); });
  };
  CHECK_THAT(said({.entries = {"affine5.row"}}), ContainsSubstring("no codec called 'affine5.row'"));
  CHECK_THAT(said({.entries = {"affine4.row", "affine4.row"}}), ContainsSubstring("affine4.row appears twice"));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(said({}, std::vector<measured_row>{{"block.0", {1, 2}}}), ContainsSubstring("a row of 2 losses"));
  CHECK_THAT(said({}, std::vector<measured_row>{{"block.7", {1, 2, 3}}}), ContainsSubstring("a row of unit block.7"));
  CHECK_THAT(said({}, std::vector<measured_row>{{"block.0", {1, 2, nan}}}), ContainsSubstring("not finite"));
  CHECK_THROWS_WITH(measured{}(model, std::vector<token_batch>{}), ContainsSubstring("nothing to predict"));
  model.weights(3)(1, 1) = std::numeric_limits<float>::infinity();
  CHECK_THAT(said({.units = unit_kind::matrix}), ContainsSubstring("of the unchanged model is"));
}

TEST_CASE("an entry that cannot hold a unit's weights, or leaves no finite loss, is not admissible; a row says so",
          "[cost][measured][worked-example]") {
  using half_scales = menu<codec::affine<2, codec::per_row, codec::scale_type::float16>, codec::affine<2>>;
  using half_measured = cost::measured<half_scales>;
  micro_transformer model;
  const std::vector<unit> units = group_units(model.matrices(), unit_kind::matrix);
  const auto w = model.weights(1);
  w(0, 0) = 3e5f;  // the scale is 3e5 / 3 = 1e5; half precision ends at 65504
  std::vector<measured_row> rows;
  const half_measured by_matrix{.units = unit_kind::matrix};
  const cost_table t = by_matrix.resume(model, batches, {}, [&](const measured_row& row) { rows.push_back(row); });
  for (std::size_t u = 0; u < units.size(); ++u) {
    CHECK(t.admits(u, 0) == (units[u].matrices != std::vector<std::size_t>{1}));
    CHECK(t.admits(u, 1));
  }
  CHECK(w(0, 0) == 3e5f);
  REQUIRE(t.notes.size() == 1);
  CHECK(t.notes[0] == "unit " + units[1].name + " cannot be in " + t.entries[0]);
  CHECK(parse_costs(to_text(t), model.matrices()) == t);
  CHECK(by_matrix.resume(model, batches, rows, ignore) == t);
}
