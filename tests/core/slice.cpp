#include <precis/core/slice.hpp>
#include <precis/core/spectra.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <string>
#include <vector>

using namespace precis;

TEST_CASE("slices: heads are rows, of an attention's output columns", "[core][slice][worked-example]") {
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
        "test: two slices are called m; expected one name a slice");
  slices[1].matrix = 1;
  CHECK(refusal([&] { check_slices(slices, matrices, "test"); }) ==
        "test: slice m, rows 0 to 4, columns 0 to 5 of matrix 1; expected part of one of the model's 1 matrices, not "
        "empty");
  slices[1] = {.name = "odd", .role = role::key, .out = 4, .in = 5, .heads = 3};
  CHECK(refusal([&] { static_cast<void>(by_head(slices)); }) ==
        "by_head: slice odd of 4 x 5 for 3 heads; expected equal parts");
  CHECK(parse_role("mlp_out", "test") == role::mlp_out);
  CHECK(refusal([&] { static_cast<void>(parse_role("keys", "test")); }) ==
        "test: 'keys' is no role; expected one of query, key, value, attention_out, mlp_in, mlp_gate, mlp_out, other");
}

TEST_CASE("spectra are read as they are written", "[core][spectra][property]") {
  const std::vector<matrix_info> matrices{{"m", 3, part::attention, 4, 2}};
  spectra s{.model = "8c1f", .scorer = "by hand", .measure = "nats", .slices = {}};
  s.slices.push_back(
      {{.name = "m.key", .layer = 3, .role = role::key, .first_out = 2, .out = 2, .in = 2}, {2, 0.1}, {-1e-9, 3}});
  CHECK(parse_spectra(to_text(s), matrices) == s);
}

TEST_CASE("spectra that say nothing are refused with their line", "[core][spectra][refusal]") {
  const std::vector<matrix_info> matrices{{"m", 0, part::mlp, 2, 2}};
  const auto says = [&](const std::string& text) {
    return refusal([&] { static_cast<void>(parse_spectra(text, matrices, "file")); });
  };
  CHECK(says("") == "file: an empty file; expected 'precis-spectra 1' on the first line");
  CHECK(says("precis-spectra 1\n1 2\n") ==
        "file: line 2: a line that is no pair of numbers; expected SINGULAR_VALUE SCORE, below a slice");
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2 depth=1\n").find("line 2: 'depth=1'") != std::string::npos);
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2\n1 2\n") ==
        "file: slice m has 1 singular values and 1 scores; expected 2 of each");
  CHECK(says("precis-spectra 1\nslice m out=0+2 in=0+2\n1 2\n3 4\n") ==
        "file: slice m has the singular value 3 at 1; expected finite values, largest first");
  CHECK(says("precis-spectra 1\nslice m out=0+9 in=0+2\n").find("rows 0 to 9") != std::string::npos);
}
