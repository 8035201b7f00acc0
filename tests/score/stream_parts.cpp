#include <precis/score/stream_parts.hpp>

#include "catch.hpp"
#include "refusal.hpp"

#include <string>

using namespace precis;
using score::stream_parts;

TEST_CASE("parts of the residual stream in forward order", "[score][stream_parts][worked-example]") {
  const unit block{.name = "block.2", .layer = 2, .matrices = {}};
  const unit attention{
      .name = "block.2.attention", .layer = 2, .kind = unit_kind::half, .part = part::attention, .matrices = {}};
  const unit mlp{.name = "h.2.mlp", .layer = 2, .kind = unit_kind::matrix, .part = part::mlp, .matrices = {}};
  const stream_parts blocks{3, unit_kind::block}, halves{3, unit_kind::half}, matrices{3, unit_kind::matrix};
  CHECK(blocks.count() == 3);
  CHECK(blocks.index_of(block, "test") == 2);
  CHECK(halves.count() == 6);
  CHECK(halves.index_of(attention, "test") == 4);
  CHECK(matrices.index_of(mlp, "test") == 5);
  CHECK(matrices.count() == 6);
}

TEST_CASE("a unit of a layer beyond the model is refused", "[score][stream_parts][refusal]") {
  const unit head{.name = "head", .layer = 3, .matrices = {}};
  CHECK(refusal([&] { static_cast<void>(stream_parts{3, unit_kind::block}.index_of(head, "test")); }) ==
        "test: unit head is in layer 3; expected one of the model's 3 layers");
}
