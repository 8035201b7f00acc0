#include <precis/model/changes.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>
#include <precis/model/whole_forwards.hpp>

#include "catch.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <limits>
#include <string>
#include <tuple>
#include <vector>

using namespace precis;

namespace {

const std::vector<token_batch> batches{micro_transformer::labelled(0, 2), micro_transformer::labelled(2, 2),
                                       micro_transformer::labelled(4, 1)};

/// Version v multiplies the unit's weights by factors[v].
template<class Model>
struct scaled {
  Model& model;
  std::vector<float> factors;
  void operator()(const unit& u, std::size_t v) const {
    for (const std::size_t m : u.matrices)
      for (std::size_t r = 0; r < 2; ++r)
        for (std::size_t c = 0; c < 2; ++c) model.weights(m)(r, c) *= factors[v];
  }
  [[nodiscard]] std::string describe(std::size_t v) const { return "times " + std::to_string(factors[v]); }
};

using seen = std::vector<std::tuple<std::size_t, std::size_t, std::vector<nll>>>;

template<class Model, class Executor = sequential>
std::vector<nll> run(Model& model, unit_kind kind, std::vector<float> factors, seen& changed,
                     std::span<const token_batch> data = batches, Executor&& executor = {}) {
  const std::vector<unit> units = group_units(model.matrices(), kind);
  const std::size_t versions = factors.size();
  const auto done = [&](std::size_t u, std::size_t v, std::span<const nll> losses) {
    changed.emplace_back(u, v, std::vector<nll>(losses.begin(), losses.end()));
  };
  return read_changes(model, data, units, versions, loss_reading<Model>{data}, scaled<Model>{model, std::move(factors)},
                      done, "test", executor);
}

}  // namespace

TEST_CASE("losses equal those of a model changed by hand", "[model][changes][oracle]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  for (const unit_kind kind : {unit_kind::block, unit_kind::half, unit_kind::matrix}) {
    seen changed;
    const std::vector<nll> unchanged = run(model, kind, {0.5f, 1.f, -2.f}, changed);
    CHECK(all_weights(model) == before);
    const std::vector<unit> units = group_units(model.matrices(), kind);
    REQUIRE(changed.size() == 3 * units.size());
    for (std::size_t b = 0; b < batches.size(); ++b) CHECK(unchanged[b] == model.loss(batches[b]));
    for (const auto& [u, v, losses] : changed) {
      micro_transformer by_hand;
      scaled<micro_transformer>{by_hand, {0.5f, 1.f, -2.f}}(units[u], v);
      for (std::size_t b = 0; b < batches.size(); ++b) CHECK(losses[b] == by_hand.loss(batches[b]));
    }
  }
}

TEST_CASE("read_changes @post: equal with and without layered_model, and on any executor, bit for bit",
          "[model][changes][property]") {
  micro_transformer model;
  whole_forwards plain(model);
  seen layered, whole, threaded;
  const std::vector<nll> a = run(model, unit_kind::half, {0.5f, 2.f}, layered);
  CHECK(run(plain, unit_kind::half, {0.5f, 2.f}, whole) == a);
  CHECK(run(model, unit_kind::half, {0.5f, 2.f}, threaded, batches, thread_pool{3}) == a);
  CHECK(layered == whole);
  CHECK(layered == threaded);
}

namespace {

/// Counts the layers it runs.
struct counting : micro_transformer {
  mutable std::size_t layers_run = 0;
  void run_layer(std::size_t l, activations& h) const {
    ++layers_run;
    micro_transformer::run_layer(l, h);
  }
};
static_assert(layered_model<counting>);

/// One linear layer, and a head that is a separate matrix in layer 1.
struct with_head {
  using batch_type = std::vector<float>;
  std::vector<matrix_info> infos{{"head", 1, part::other, 1, 1}, {"map", 0, part::other, 1, 1}};
  float values[2] = {3, 2};
  mutable std::size_t layers_run = 0;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t i) const { return {values + i, 1, 1, 1, 1}; }
  [[nodiscard]] mutable_weight_view weights(std::size_t i) { return {values + i, 1, 1, 1, 1}; }
  [[nodiscard]] nll loss(const batch_type& b) const {
    activations x = enter(b);
    run_layer(0, x);
    return read_loss(b, x.view());
  }
  [[nodiscard]] std::size_t layers() const { return 1; }
  [[nodiscard]] activations enter(const batch_type& b) const {
    activations x(1, 1, 1);
    x.values[0] = b[0];
    return x;
  }
  void run_layer(std::size_t, activations& x) const {
    ++layers_run;
    x.values[0] *= values[1];
  }
  [[nodiscard]] nll read_loss(const batch_type&, activations_view<const float> x) const {
    return {.sum = static_cast<double>(values[0] * x.data[0]), .count = 1};
  }
  [[nodiscard]] float_matrix read_out(matrix_view<const float> x) const {
    return float_matrix(1, 1, values[0] * x(0, 0));
  }
};
static_assert(layered_model<with_head>);

struct halved {
  with_head& model;
  void operator()(const unit& u, std::size_t) const { model.weights(u.matrices[0])(0, 0) *= 0.5f; }
  [[nodiscard]] std::string describe(std::size_t) const { return "halved"; }
};

}  // namespace

TEST_CASE("a layered model runs each batch once, and each version from the changed layer on",
          "[model][changes][worked-example]") {
  counting model;
  seen changed;
  static_cast<void>(run(model, unit_kind::block, {0.5f, 2.f}, changed));
  // Three batches, two layers: one whole run of 2; two versions of block 0, 2 x 2; two versions of block 1, 2 x 1.
  CHECK(model.layers_run == 3 * (2 + 4 + 2));
}

TEST_CASE("a change of the head runs no layer, and units can be in any order", "[model][changes][worked-example]") {
  with_head model;
  const std::vector<std::vector<float>> data{{5}};
  const std::vector<unit> units = group_units(model.matrices(), unit_kind::matrix);
  std::vector<double> changed(2);
  const auto done = [&](std::size_t u, std::size_t, std::span<const nll> losses) { changed[u] = losses[0].sum; };
  const std::vector<nll> unchanged = read_changes(model, std::span<const std::vector<float>>(data), units, 1,
                                                  loss_reading<with_head>{data}, halved{model}, done, "test");
  CHECK(unchanged[0].sum == 30);
  CHECK(changed == std::vector<double>{15, 15});
  CHECK(model.layers_run == 2);  // once for the whole run, once for the map, not for the head
}

TEST_CASE("losses that are not finite are refused by batch, unit and version, and the weights restored",
          "[model][changes][refusal]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  const float infinite = std::numeric_limits<float>::infinity();
  seen ignored;
  const std::string said = refusal([&] { static_cast<void>(run(model, unit_kind::half, {1.f, infinite}, ignored)); });
  CHECK_THAT(said, ContainsSubstring("test: the loss of batch 0 with unit block.0.attention times inf is"));
  CHECK(all_weights(model) == before);

  model.weights(3)(0, 0) = infinite;  // in the unchanged model
  CHECK_THAT(refusal([&] { static_cast<void>(run(model, unit_kind::half, {0.5f}, ignored)); }),
             ContainsSubstring("the loss of batch 0 of the unchanged model is"));
}

TEST_CASE("a version that does not exist, or leaves no finite loss, has no losses if versions may be missing",
          "[model][changes][property]") {
  micro_transformer model;
  const std::vector<float> before = all_weights(model);
  struct possible : scaled<micro_transformer> {
    bool operator()(const unit& u, std::size_t v) const {
      scaled<micro_transformer>::operator()(u, v);  // a version may be given up halfway
      return factors[v] != 3;
    }
  };
  const std::vector<unit> units = group_units(model.matrices(), unit_kind::half);
  const std::span<const token_batch> data(batches);
  const possible change{{model, {2.f, 3.f, std::numeric_limits<float>::infinity()}}};
  const auto done = [&](std::size_t, std::size_t v, std::span<const nll> losses) {
    CHECK(losses.size() == (v == 0 ? batches.size() : 0));
  };
  static_cast<void>(read_changes(model, data, units, 3, loss_reading<micro_transformer>{data}, change, done, "test"));
  CHECK(all_weights(model) == before);
}

TEST_CASE("an error of a change names the unit", "[model][changes][refusal]") {
  micro_transformer model;
  struct refusing {
    void operator()(const unit&, std::size_t) const { refuse({.what = "no", .where = "change", .expected = "yes"}); }
    [[nodiscard]] std::string describe(std::size_t) const { return "refused"; }
  };
  const std::vector<unit> units = group_units(model.matrices(), unit_kind::matrix);
  const std::span<const token_batch> data(batches);
  CHECK_THROWS_WITH(read_changes(
                        model, data, units, 1, loss_reading<micro_transformer>{data}, refusing{},
                        [](std::size_t, std::size_t, std::span<const nll>) {}, "test"),
                    ContainsSubstring("test, unit block.0.attn: change: no"));
}

TEST_CASE("changes over batches without predictions are refused", "[model][changes][refusal]") {
  micro_transformer model;
  seen ignored;
  CHECK_THROWS_WITH(run(model, unit_kind::block, {1.f}, ignored, std::span<const token_batch>{}),
                    ContainsSubstring("nothing to predict in 0 batches"));
  token_batch none = micro_transformer::labelled();
  none.targets.assign(none.targets.size(), no_target);
  const std::vector<token_batch> without{none};
  CHECK_THROWS_WITH(run(model, unit_kind::block, {1.f}, ignored, without), ContainsSubstring("nothing to predict"));
}
