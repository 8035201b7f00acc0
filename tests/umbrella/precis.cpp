#include <precis/precis.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"

#include <vector>

using namespace precis;

// The whole pipeline on fixture M with the single header: scores -> tiers -> plan -> bytes, one statement per stage.

TEST_CASE("scores become tiers become a plan become bytes", "[precis][worked-example]") {
  using formats = menu<codec::affine<2>, codec::affine<4>, codec::affine<8>, codec::float32>;
  const std::vector<score::fact> facts{
      {.name = "f", .prompt = {0, 1, 2}, .subject_begin = 1, .subject_end = 2, .answer = 1}};
  micro_transformer model;

  const scores found = score::causal_trace{.noise = {.runs = 10}}(model, facts);
  const plan decided =
      allocate::z_tiers{.low = {"affine2.row"}, .medium = {"affine4.row"}, .high = {"affine8.row"}}(found);
  const packed_model packed = pack<formats>(model, decided);

  // Two blocks: z is -1 and +1 whatever the scores, so one gets 2 bits and one gets 8.
  const std::size_t better = found.values[0] > found.values[1] ? 0 : 1;
  CHECK(decided.choices[better].codec == "affine8.row");
  CHECK(decided.choices[1 - better].codec == "affine2.row");
  CHECK(parse_plan(to_text(decided)) == decided);
  // Each 2 x 2 matrix: two float scales, two zero points of b bits in whole bytes, two rows of 2 b bits in whole bytes.
  CHECK(packed.size.packed_bytes == 2 * (8 + 2 + 4) + 2 * (8 + 1 + 2));
}

TEST_CASE("equal scores get the medium options, the same for all", "[precis][oracle]") {
  micro_transformer tiered, uniform;
  const scores equal = score::weight_magnitude{}(tiered);  // fixture M: 3.125 and 3.125
  const allocate::z_tiers tiers{.low = {"affine2.row", 0.5}, .medium = {"affine4.row", 0.25}, .high = {"affine8.row"}};
  using formats = codec::standard;
  apply<formats>(tiered, tiers(equal));
  plan medium{.model = {},
              .units = unit_kind::block,
              .notes = {},
              .choices = {{"block.0", "affine4.row", 0.25}, {"block.1", "affine4.row", 0.25}}};
  apply<formats>(uniform, medium);
  const token_batch labelled = micro_transformer::labelled();
  CHECK(tiered.loss(labelled) == uniform.loss(labelled));
}

TEST_CASE("24 bits and no pruning leave the loss within 1e-5", "[precis][oracle]") {
  micro_transformer original, compressed;
  const plan wide{.model = {},
                  .units = unit_kind::block,
                  .notes = {},
                  .choices = {{"block.0", "affine24.row"}, {"block.1", "affine24.row"}}};
  apply<codec::standard>(compressed, wide);
  const token_batch labelled = micro_transformer::labelled();
  CHECK(compressed.loss(labelled).mean() == Approx(original.loss(labelled).mean()).epsilon(1e-5));
}

TEST_CASE("a guard puts back what apply changed", "[precis][property]") {
  micro_transformer model;
  const token_batch labelled = micro_transformer::labelled();
  const nll before = model.loss(labelled);
  {
    const std::vector<std::size_t> all{0, 1, 2, 3};
    const weight_guard guard(model, all);
    const plan coarse{.model = {},
                      .units = unit_kind::block,
                      .notes = {},
                      .choices = {{"block.0", "symmetric2.row"}, {"block.1", "symmetric2.row"}}};
    apply<codec::standard>(model, coarse);
    CHECK(model.loss(labelled) != before);
  }
  CHECK(model.loss(labelled) == before);
}
