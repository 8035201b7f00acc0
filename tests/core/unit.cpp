#include <precis/core/unit.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

using namespace precis;

namespace {

const std::vector<matrix_info> two_blocks{
    {"h.0.attn.qkv", 0, part::attention, 6, 2}, {"h.0.attn.out", 0, part::attention, 2, 2},
    {"h.0.mlp.up", 0, part::mlp, 8, 2},         {"h.0.mlp.down", 0, part::mlp, 2, 8},
    {"h.1.attn.qkv", 1, part::attention, 6, 2}, {"h.1.mlp.up", 1, part::mlp, 8, 2},
};

/// An embedding, a map and an expert of two matrices in layer 0, and a head.
const std::vector<matrix_info> with_experts{{"wte", before_layers, part::other, 10, 2},
                                            {"h.0.out", 0, part::attention, 2, 2},
                                            {"h.0.3.up", 0, part::mlp, 4, 2, "h.0.expert.3"},
                                            {"lm_head", after_layers, part::other, 10, 2, "tables"},
                                            {"h.0.3.down", 0, part::mlp, 2, 4, "h.0.expert.3"}};

}  // namespace

TEST_CASE("matrices are grouped into blocks, halves or single matrices", "[core][unit][worked-example]") {
  const auto blocks = group_units(two_blocks, unit_kind::block);
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0] == unit{"block.0", 0, unit_kind::block, part::other, {0, 1, 2, 3}, 12 + 4 + 16 + 16});
  CHECK(blocks[1] == unit{"block.1", 1, unit_kind::block, part::other, {4, 5}, 12 + 16});

  const auto halves = group_units(two_blocks, unit_kind::half);
  REQUIRE(halves.size() == 4);
  CHECK(halves[1] == unit{"block.0.mlp", 0, unit_kind::half, part::mlp, {2, 3}, 32});
  CHECK(halves[2] == unit{"block.1.attention", 1, unit_kind::half, part::attention, {4}, 12});

  const auto alone = group_units(two_blocks, unit_kind::matrix);
  REQUIRE(alone.size() == 6);
  CHECK(alone[3] == unit{"h.0.mlp.down", 0, unit_kind::matrix, part::mlp, {3}, 16});
}

TEST_CASE("every matrix is in exactly one unit for every grouping", "[core][unit][property]") {
  const unit_kind kind = GENERATE(unit_kind::block, unit_kind::half, unit_kind::matrix, unit_kind::named);
  std::vector<std::size_t> seen;
  std::size_t weights = 0;
  for (const unit& u : group_units(two_blocks, kind)) {
    seen.insert(seen.end(), u.matrices.begin(), u.matrices.end());
    weights += u.weights;
  }
  std::sort(seen.begin(), seen.end());
  std::vector<std::size_t> all(two_blocks.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  CHECK(seen == all);
  CHECK(weights == 76);
}

TEST_CASE("units of interleaved layers keep the order of their first matrix", "[core][unit][worked-example]") {
  const std::vector<matrix_info> interleaved{
      {"b", 1, part::mlp, 1, 1}, {"a", 0, part::mlp, 1, 1}, {"c", 1, part::mlp, 1, 1}};
  const auto blocks = group_units(interleaved, unit_kind::block);
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0].name == "block.1");
  CHECK(blocks[0].matrices == std::vector<std::size_t>{0, 2});
  CHECK(blocks[1].name == "block.0");
}

TEST_CASE("matrices are grouped by the units that they name", "[core][unit][worked-example]") {
  CHECK(group_units(with_experts, unit_kind::named) ==
        std::vector<unit>{{"wte", before_layers, unit_kind::named, part::other, {0}, 20},
                          {"h.0.out", 0, unit_kind::named, part::attention, {1}, 4},
                          {"h.0.expert.3", 0, unit_kind::named, part::mlp, {2, 4}, 16},
                          {"tables", after_layers, unit_kind::named, part::other, {3}, 20}});
  // A unit begins where its first matrix is used, and belongs to a half only if all its matrices do.
  const std::vector<matrix_info> spread{{"a", 3, part::mlp, 1, 1, "u"},
                                        {"b", 1, part::attention, 1, 1, "u"},
                                        {"c", after_layers, part::mlp, 1, 1, "v"},
                                        {"d", before_layers, part::mlp, 1, 1, "v"}};
  CHECK(group_units(spread, unit_kind::named) ==
        std::vector<unit>{{"u", 1, unit_kind::named, part::other, {0, 1}, 2},
                          {"v", before_layers, unit_kind::named, part::mlp, {2, 3}, 2}});
}

TEST_CASE("what is outside of the layers belongs to no block and to no half", "[core][unit][worked-example]") {
  const unit_kind kind = GENERATE(unit_kind::block, unit_kind::half);
  const auto units = group_units(with_experts, kind);
  REQUIRE(units.size() == (kind == unit_kind::block ? 3 : 4));
  CHECK(units.front() == unit{"wte", before_layers, kind, part::other, {0}, 20});
  CHECK(units.back() == unit{"tables", after_layers, kind, part::other, {3}, 20});
  CHECK((!is_layer(before_layers) && !is_layer(after_layers) && is_layer(0)));
}

TEST_CASE("a matrix with the name of a unit of others is refused", "[core][unit][refusal]") {
  for (const std::vector<matrix_info>& twice :
       {std::vector<matrix_info>{{"a", 0, part::mlp, 1, 1}, {"b", 0, part::mlp, 1, 1, "a"}},
        std::vector<matrix_info>{{"b", 0, part::mlp, 1, 1, "a"}, {"a", 0, part::mlp, 1, 1}}})
    CHECK_THAT(refusal([&] { (void)group_units(twice, unit_kind::named); }), ContainsSubstring(" a appears twice"));
}

TEST_CASE("no matrices give no units", "[core][unit][worked-example]") {
  CHECK(group_units({}, unit_kind::block).empty());
}

TEST_CASE("the name of a grouping reads back", "[core][unit][property]") {
  const unit_kind kind = GENERATE(unit_kind::block, unit_kind::half, unit_kind::matrix, unit_kind::named);
  CHECK(parse_unit_kind(to_string(kind), "test") == kind);
}

TEST_CASE("an unknown grouping is refused by name", "[core][unit][refusal]") {
  CHECK(refusal([] { (void)parse_unit_kind("head", "my.plan"); }) ==
        "my.plan: 'head' is not a grouping of units; expected block, half, matrix or named");
}
