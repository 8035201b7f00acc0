#include <precis/score/stream_parts.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;
using score::stream_parts;

namespace {

const std::vector<matrix_info> matrices{{"embedding", before_layers, part::other, 1, 1},
                                        {"h.1.attn", 1, part::attention, 1, 1},
                                        {"h.2.mlp", 2, part::mlp, 1, 1, "both"},
                                        {"h.2.attn", 2, part::attention, 1, 1, "both"},
                                        {"head", 3, part::other, 1, 1}};

}  // namespace

TEST_CASE("parts of the residual stream in forward order", "[score][stream_parts][worked-example]") {
  const auto indices = [](unit_kind kind, std::size_t u) {
    return stream_parts{3, kind}.indices_of(group_units(matrices, kind)[u], matrices);
  };
  using list = std::vector<std::size_t>;
  CHECK(stream_parts{3, unit_kind::block}.count() == 3);
  CHECK(stream_parts{3, unit_kind::half}.count() == 6);
  CHECK(stream_parts{3, unit_kind::matrix}.count() == 6);
  CHECK(indices(unit_kind::block, 2) == list{2});
  CHECK(indices(unit_kind::half, 1) == list{2});
  CHECK(indices(unit_kind::matrix, 2) == list{5});
  CHECK(indices(unit_kind::named, 2) == list{4, 5});
  CHECK(indices(unit_kind::named, 0).empty());
  CHECK(indices(unit_kind::block, 3).empty());  // layer 3 of 3: the head
}

TEST_CASE("units get the mean of their parts; those outside of the layers get none",
          "[score][stream_parts][worked-example]") {
  scores s{.scorer = "by hand", .measure = "nats", .units = {}, .values = {}};
  const auto tenfold = [](std::size_t part) { return 10.0 * static_cast<double>(part); };
  stream_parts{3, unit_kind::named}.score_units(s, matrices, tenfold, "test");
  CHECK(s.values == std::vector<double>{20, 45});
  CHECK(s.units[1].name == "both");
  CHECK(list_of_names(s.unscored) == "embedding, head");
}

TEST_CASE("a model without units in its layers is refused", "[score][stream_parts][refusal]") {
  scores s{.scorer = "by hand", .measure = "nats", .units = {}, .values = {}};
  CHECK(refusal([&] {
          stream_parts{1, unit_kind::block}.score_units(s, matrices, [](std::size_t) { return 0.0; }, "test");
        }) == "test: unit embedding and all others are outside of the 1 layers; expected units of the model's layers");
}
