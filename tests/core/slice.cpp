#include <precis/core/slice.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;

TEST_CASE("by_head splits rows, and the columns of an attention output", "[core][slice][worked-example]") {
  const std::vector<matrix_slice> slices{
      {.name = "qkv.key", .matrix = 0, .role = role::key, .first_out = 6, .out = 6, .in = 5, .heads = 3},
      {.name = "out", .matrix = 1, .role = role::attention_out, .out = 5, .in = 6, .heads = 3},
      {.name = "up", .matrix = 2, .role = role::mlp_in, .out = 4, .in = 5}};
  const std::vector<matrix_slice> parts = by_head(slices);
  REQUIRE(parts.size() == 7);
  CHECK(parts[1].name == "qkv.key.head1");
  CHECK((parts[1].first_out == 8 && parts[1].out == 2 && parts[1].first_in == 0 && parts[1].in == 5));
  CHECK((parts[5].first_in == 4 && parts[5].in == 2 && parts[5].first_out == 0 && parts[5].out == 5));
  CHECK(parts[6] == slices[2]);
  const role wanted[] = {role::key};
  CHECK(of_roles(slices, wanted) == std::vector<matrix_slice>{slices[0]});
  float_matrix m(12, 5);
  m(8, 0) = 7;
  CHECK(part_of(std::as_const(m).view(), parts[1])(0, 0) == 7);
}

TEST_CASE("slices that do not fit are refused", "[core][slice][refusal]") {
  const std::vector<matrix_info> matrices{{"m", 0, part::mlp, 4, 5}};
  std::vector<matrix_slice> slices = whole_matrices(matrices);
  check_slices(slices, matrices, "test");
  slices.push_back(slices[0]);
  CHECK(refusal([&] { check_slices(slices, matrices, "test"); }) ==
        "test: slice m appears twice; expected unique slice names");
  slices[1].matrix = 1;
  CHECK(refusal([&] { check_slices(slices, matrices, "test"); }) ==
        "test: slice m, rows 0 to 4, columns 0 to 5 of matrix 1; expected a non-empty part of one of the "
        "model's 1 matrices");
  slices[1] = {.name = "keys", .role = role::key, .out = 4, .in = 5, .heads = 3};
  CHECK(refusal([&] { static_cast<void>(by_head(slices)); }) ==
        "by_head: slice keys of 4 x 5 for 3 heads; expected rows or columns that divide evenly");
  CHECK(parse_role("mlp_out", "test") == role::mlp_out);
  CHECK(refusal([&] { static_cast<void>(parse_role("keys", "test")); }) ==
        "test: no role called 'keys'; expected one of query, key, value, attention_out, mlp_in, mlp_gate, mlp_out, "
        "other");
}
