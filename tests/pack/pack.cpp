#include <precis/pack.hpp>

#include <precis/codec.hpp>
#include <precis/evaluate/perplexity.hpp>
#include <precis/fit.hpp>
#include <precis/model/guard.hpp>

#include "catch.hpp"
#include "codec/encoded.hpp"
#include "micro_transformer.hpp"
#include "refusal.hpp"

#include <algorithm>
#include <limits>
#include <vector>

using namespace precis;
using codec::standard;

namespace {

/// A model without a forward pass: two blocks of two matrices, the second of which is stored in x out.
struct weights_only {
  std::vector<matrix_info> infos{{"b0.attn", 0, part::attention, 12, 40},
                                 {"b0.mlp", 0, part::mlp, 20, 12},
                                 {"b1.attn", 1, part::attention, 12, 40},
                                 {"b1.mlp", 1, part::mlp, 20, 12}};
  std::vector<float_matrix> values{encoded::weights(12, 40, 1), encoded::weights(12, 20, 2),
                                   encoded::weights(12, 40, 3), encoded::weights(12, 20, 4)};

  std::span<const matrix_info> matrices() const { return infos; }
  weight_view weights(std::size_t i) const { return i % 2 == 0 ? values[i].view() : values[i].view().transposed(); }
  mutable_weight_view weights(std::size_t i) { return i % 2 == 0 ? values[i].view() : values[i].view().transposed(); }
};

plan by_block(std::string first, std::string second, double s0 = 0, double s1 = 0) {
  return {.model = "",
          .units = unit_kind::block,
          .notes = {},
          .choices = {{.unit = "block.0", .codec = std::move(first), .sparsity = s0, .rank = 0},
                      {.unit = "block.1", .codec = std::move(second), .sparsity = s1, .rank = 0}}};
}

}  // namespace

TEST_CASE("pack stores exactly the bytes that it reports; apply @post: the weights are those of pack, decoded",
          "[pack][property]") {
  weights_only model;
  const plan p = by_block("affine4.g32", "symmetric3.row", 0.3, 0.0);
  const packed_model packed = pack<standard>(model, p);
  REQUIRE(packed.matrices.size() == 4);
  std::size_t bytes = 0, weights = 0;
  for (const encoded_matrix& m : packed.matrices) {
    CHECK(m.bytes.size() == m.choice.bytes);
    bytes += m.bytes.size();
    weights += m.choice.out * m.choice.in;
  }
  CHECK(packed.size == size_report{.weights = weights, .original_bytes = 4 * weights, .packed_bytes = bytes});

  weights_only changed = model;
  const applied done = apply<standard>(changed, p);
  CHECK(done.size == packed.size);
  CHECK(done.removed == 144 + 72);  // 30 % of 480 and of 240
  for (std::size_t i = 0; i < 4; ++i) {
    const matrix_info& info = model.infos[i];
    float_matrix decoded(info.out, info.in);
    standard::decode(packed.matrices[i].choice.entry, packed.matrices[i].bytes, decoded.view());
    std::size_t zeros = 0;
    for (std::size_t r = 0; r < info.out; ++r)
      for (std::size_t c = 0; c < info.in; ++c) {
        CHECK(std::as_const(changed).weights(i)(r, c) == decoded(r, c));
        zeros += decoded(r, c) == 0 ? 1u : 0u;
      }
    if (i < 2) CHECK(zeros >= exact_count(0.3, info.weights()));
  }
}

TEST_CASE("a menu of types packs the bytes of the standard menu", "[pack][property]") {
  const weights_only model;
  using typed = menu<codec::affine<4, 32>, codec::symmetric<3>, codec::float16>;
  const plan p = by_block("affine4.g32", "float16", 0.1, 0.5);
  const packed_model a = pack<typed>(model, p), b = pack<standard>(model, p);
  for (std::size_t i = 0; i < 4; ++i) CHECK(a.matrices[i].bytes == b.matrices[i].bytes);
  // The fit applies to integer formats only.
  const packed_model searched = pack<typed>(model, p, fit::clip_search{});
  CHECK(searched.matrices[0].bytes != a.matrices[0].bytes);
  CHECK(searched.matrices[2].bytes == a.matrices[2].bytes);
}

TEST_CASE("sizes by hand: 1000 weights with 4 bits and ten 16-bit scales", "[pack][size][worked-example]") {
  struct one_matrix {
    std::vector<matrix_info> infos{{"w", 0, part::mlp, 1, 1000}};
    float_matrix values = encoded::weights(1, 1000);
    std::span<const matrix_info> matrices() const { return infos; }
    weight_view weights(std::size_t) const { return values.view(); }
  };
  using format = menu<codec::symmetric<4, 100, codec::scale_type::float16>>;
  const plan p{.model = "",
               .units = unit_kind::matrix,
               .notes = {},
               .choices = {{.unit = "w", .codec = "symmetric4.g100.h", .sparsity = 0, .rank = 0}}};
  const auto size = pack<format>(one_matrix{}, p).size;
  CHECK(size.packed_bytes * 8 == 4160);
  CHECK(size.compression_ratio() == Approx(7.6923).epsilon(1e-5));
  CHECK(size.percent_reduction() == Approx(87.0).epsilon(1e-12));
  CHECK(size.bits_per_weight() == Approx(4.16).epsilon(1e-12));
}

TEST_CASE("24 bits without pruning do not change the loss of the micro transformer", "[pack][oracle]") {
  micro_transformer model;
  const auto set = micro_transformer::labelled();
  const double before = model.loss(set).mean();
  const std::vector<std::size_t> all{0, 1, 2, 3};
  {
    const weight_guard guard(model, all);
    apply<standard>(model, by_block("affine24.row", "affine24.row"));
    CHECK(model.loss(set).mean() == Approx(before).epsilon(1e-5));
    apply<standard>(model, by_block("symmetric2.tensor", "symmetric2.tensor", 0.25, 0.25));
    CHECK(std::abs(model.loss(set).mean() - before) > 0.01);
  }
  CHECK(model.loss(set).mean() == before);
}

TEST_CASE("a plan that does not fit model or menu is refused before anything changes", "[pack][refusal]") {
  weights_only model;
  const weights_only original = model;
  const auto say = [&](const plan& p, const pack_options& options = {}) {
    return refusal([&] { apply<standard>(model, p, fit::nearest{}, options); });
  };
  plan other = by_block("affine4.row", "affine4.row");
  other.model = "aaaa";
  CHECK_THAT(say(other, {.model = "bbbb"}), ContainsSubstring("aaaa") && ContainsSubstring("bbbb"));
  plan missing = by_block("affine4.row", "affine4.row");
  missing.choices.pop_back();
  CHECK_THAT(say(missing), ContainsSubstring("block.1 has no choice"));
  plan unknown = by_block("affine4.row", "affine4.row");
  unknown.choices.push_back({.unit = "block.7", .codec = "affine4.row", .sparsity = 0, .rank = 0});
  CHECK_THAT(say(unknown), ContainsSubstring("block.7 is not in this model") && ContainsSubstring("block.0"));
  CHECK_THAT(say(by_block("affine4.row", "affine11.row")), ContainsSubstring("affine11.row"));
  plan twice = by_block("affine4.row", "affine4.row");
  twice.choices[1].unit = "block.0";
  CHECK_THAT(say(twice), ContainsSubstring("chosen twice"));
  plan ranked = by_block("affine4.row", "affine4.row");
  ranked.choices[1].rank = 4;
  CHECK_THAT(say(ranked), ContainsSubstring("rank 4") && ContainsSubstring("rank50.float16"));

  CHECK_THAT(say(by_block("min_anchored8.row", "affine4.row", 0.1)),
             ContainsSubstring("block.0 is pruned") && ContainsSubstring("min_anchored8.row"));
  for (std::size_t i = 0; i < 4; ++i) CHECK(model.values[i] == original.values[i]);
  CHECK(say(by_block("min_anchored8.row", "affine4.row", 0.1), {.let_zeros_move = true}) == "");
  model = original;
  CHECK(say(by_block("min_anchored8.row", "affine4.row", 0.0, 0.1)) == "");
}

TEST_CASE("a low-rank codec is packed like any other entry of a menu", "[pack][property]") {
  const weights_only model;
  using low_rank = codec::low_rank<50, codec::float16>;
  const packed_model packed = pack<menu<codec::affine<4>, low_rank>>(model, by_block("rank50.float16", "affine4.row"));
  std::vector<std::byte> expected(low_rank::bytes(12, 40));
  low_rank::encode(model.weights(0), expected);
  CHECK(std::ranges::equal(packed.matrices[0].bytes, expected));
}

TEST_CASE("a weight that is not finite is refused by matrix, row and column", "[pack][refusal]") {
  weights_only model;
  model.values[1](3, 5) = std::numeric_limits<float>::quiet_NaN();  // stored in x out: row 5, column 3
  for (const double sparsity : {0.0, 0.2})
    CHECK_THAT(refusal([&] { (void)pack<standard>(model, by_block("affine4.row", "float16", sparsity)); }),
               ContainsSubstring("b0.mlp") && ContainsSubstring("row 5, column 3"));
}
