#include <precis/core/thread_pool.hpp>
#include <precis/score/cca.hpp>

#include "micro_transformer.hpp"

#include "catch.hpp"
#include "refusal.hpp"

#include <cmath>
#include <vector>

using namespace precis;
using score::cca;
using score::cca_table;

namespace {

// Three layers of two features, eight rows. The expected values come from an implementation in NumPy.
const float_matrix X(8, 2, std::vector<float>{1, 2, 2, 1, 3, 5, 4, 3, 5, 6, 6, 4, 7, 8, 8, 5});
const float_matrix Y(8, 2, std::vector<float>{2, 1, 1, 3, 4, 2, 3, 5, 6, 4, 5, 7, 8, 6, 6, 9});
const float_matrix Z(8, 2, std::vector<float>{1, -1, -1, 1, 1, 1, -1, -1, 1, -1, -1, 1, 1, 1, -1, -1});

const std::vector<matrix_info> three_blocks{
    {"a", 0, part::other, 2, 2}, {"b", 1, part::other, 2, 2}, {"c", 2, part::other, 2, 2}};

cca_table compare(const cca& how, const std::vector<float_matrix>& outputs) {
  std::vector<site> sites;
  std::vector<matrix_view<const float>> views;
  for (const float_matrix& o : outputs) {
    sites.push_back({site_kind::residual, sites.size() + 1});
    views.push_back(o.view());
  }
  return how.compare(sites, views);
}

std::vector<double> values(const cca& how, const std::vector<float_matrix>& outputs) {
  return how.combine(std::span(three_blocks).first(outputs.size()), compare(how, outputs)).values;
}

token_batch random_tokens(std::size_t sequences, std::size_t first = 0) {
  token_batch b{.sequences = sequences, .tokens = 3, .ids = {}, .targets = {}};
  for (std::size_t i = 0; i < sequences * 3; ++i)
    b.ids.push_back(static_cast<token>(((first * 3 + i) * 2654435761u >> 9) % 3));
  return b;
}

}  // namespace

TEST_CASE("scores of the worked layers", "[score][cca][worked-example]") {
  const std::vector<double> s = values({}, {X, Y, Z});
  CHECK(s[0] == Approx(0.25509564).margin(5e-9));
  CHECK(s[1] == Approx(0.25292394).margin(5e-9));
  CHECK(s[2] == Approx(0.49847266).margin(5e-9));
}

TEST_CASE("summaries of a pair of worked layers", "[score][cca][worked-example]") {
  CHECK(compare({.leading = 1}, {X, Y, Z}).similarity(0, 1) == Approx(0.99841782).margin(5e-9));
  CHECK(compare({.leading = 7}, {X, Y, Z}).similarity(0, 2) == Approx(0.4993556468).margin(5e-11));
  const double squares = (0.95951561 * 0.95951561 + 0.03919568 * 0.03919568) / 2;
  const cca square{.of_pair = cca::summary::mean_square};
  CHECK(compare(square, {X, Y, Z}).similarity(2, 0) == Approx(squares).margin(1e-8));
  const cca top_square{.of_pair = cca::summary::mean_square, .leading = 1};
  CHECK(compare(top_square, {X, Y, Z}).similarity(2, 0) == Approx(0.95951561 * 0.95951561).margin(1e-8));
  const cca weighted{.of_pair = cca::summary::projection_weighted};
  CHECK(compare(weighted, {X, Y}).similarity(0, 1) == Approx(0.9923761344).margin(5e-11));
  CHECK(compare(weighted, {Y, X}).similarity(0, 1) == Approx(0.9934054341).margin(5e-11));
}

TEST_CASE("identical layers have similarity 1, and the table is symmetric", "[score][cca][property]") {
  const cca_table t = compare({}, {X, X, Z});
  CHECK(t.similarity(0, 1) == Approx(1).epsilon(1e-14));
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(t.similarity(i, i) == 1);
    for (std::size_t j = 0; j < 3; ++j) CHECK(t.similarity(i, j) == t.similarity(j, i));
  }
  for (const double v : t.similarity.values) CHECK((v >= 0 && v <= 1));
}

TEST_CASE("a single layer has no pairs and scores 0", "[score][cca][worked-example]") {
  CHECK(values({}, {X}) == std::vector<double>{0});
}

TEST_CASE("a constant layer scores 0 or 1 without affecting the others, or is refused", "[score][cca][refusal]") {
  const float_matrix constant(8, 2, 0.3f);
  CHECK(
      refusal([&] { static_cast<void>(compare({.constant = cca::constant_layer::refuse}, {X, constant, Y})); }) ==
      "score::cca: the output at residual.2 is the same in all 8 rows; expected activations that vary, or .constant = "
      "constant_layer::report or keep");
  const std::vector<double> reported = values({}, {X, constant, Y});
  CHECK(reported[1] == 0);
  CHECK(reported[0] == values({}, {X, Y})[0]);
  const scores said = cca{}.combine(three_blocks, compare({}, {X, constant, Y}));
  CHECK(said.notes == std::vector<std::string>{"the output at residual.2 is the same in all rows"});
  const std::vector<double> s = values({.constant = cca::constant_layer::keep}, {X, constant, Y});
  CHECK(s[1] == 1);
  CHECK(s[0] == values({}, {X, Y})[0]);
}

TEST_CASE("too few rows are refused with numbers", "[score][cca][refusal]") {
  const auto rows = [](std::size_t n) {
    return std::vector<float_matrix>{
        {n, 2, std::vector<float>(X.values.begin(), X.values.begin() + 2 * static_cast<int>(n))},
        {n, 2, std::vector<float>(Z.values.begin(), Z.values.begin() + 2 * static_cast<int>(n))}};
  };
  CHECK(compare({}, rows(5)).rows == 5);  // 5 - 1 = 2 x 2 directions
  CHECK(refusal([&] { static_cast<void>(compare({}, rows(4))); }) ==
        "score::cca: 4 rows for 2 directions of residual.1; expected at least 5, better 11; or fewer directions, with "
        "keep.variance or keep.most");
  CHECK(compare({.keep = {.most = 1}}, rows(4)).ranks == std::vector<std::size_t>{1, 1});
  CHECK(compare({.rows_per_direction = 0}, rows(4)).rows == 4);
  CHECK_THAT(refusal([&] { static_cast<void>(compare({}, rows(1))); }), ContainsSubstring("1 rows"));
}

TEST_CASE("outputs that do not match the sites are refused", "[score][cca][refusal]") {
  CHECK_THAT(refusal([&] { static_cast<void>(compare({}, {X, float_matrix(7, 2)})); }),
             ContainsSubstring("all with the same number of rows"));
  CHECK_THAT(
      refusal([&] { static_cast<void>(cca{.units = unit_kind::half}.combine(three_blocks, compare({}, {X, Y, Z}))); }),
      ContainsSubstring("needs activations at mlp.0"));
}

TEST_CASE("blocks are compared by the stream leaving them, halves by their output", "[score][cca][oracle]") {
  const micro_transformer model;
  const std::vector<token_batch> batches{random_tokens(9), random_tokens(6, 9)};
  const auto rows_at = [&](site wanted) {
    float_matrix out(0, 2);
    for (const token_batch& b : batches) {
      tap::record seen{[&](site at) { return at == wanted; }};
      static_cast<void>(model.logits(b, positions::last, seen));
      const std::vector<float>& values = seen.find(wanted)->values;
      out.values.insert(out.values.end(), values.begin(), values.end());
      out.rows += values.size() / 2;
    }
    return out;
  };
  const scores blocks = cca{}(model, batches);
  CHECK(blocks.values == values({}, {rows_at({site_kind::residual, 1}), rows_at({site_kind::residual, 2})}));
  CHECK(blocks.scorer == "cca mean rows=45 directions=2");
  CHECK(blocks.units[1].name == "block.1");

  const cca halves{.units = unit_kind::half};
  const std::vector<float_matrix> outputs{rows_at({site_kind::attention, 0}), rows_at({site_kind::mlp, 0}),
                                          rows_at({site_kind::attention, 1}), rows_at({site_kind::mlp, 1})};
  CHECK(halves.compare(model, batches).similarity == compare(halves, outputs).similarity);
  CHECK(cca{.units = unit_kind::matrix}(model, batches).values == halves(model, batches).values);

  // Every third row, starting with row 1, counted over batches.
  const cca thinned{.every = 3, .first = 1};
  float_matrix selected[2] = {float_matrix(0, 2), float_matrix(0, 2)};
  for (std::size_t l = 0; l < 2; ++l)
    for (std::size_t r = 1; r < 45; r += 3, ++selected[l].rows)
      for (std::size_t c = 0; c < 2; ++c) selected[l].values.push_back(rows_at({site_kind::residual, l + 1})(r, c));
  CHECK(thinned.compare(model, batches).rows == 15);
  CHECK(thinned(model, batches).values == values({}, {selected[0], selected[1]}));

  // Means over the three tokens of each sequence.
  float_matrix means[2] = {float_matrix(15, 2), float_matrix(15, 2)};
  for (std::size_t l = 0; l < 2; ++l)
    for (std::size_t s = 0; s < 15; ++s)
      for (std::size_t c = 0; c < 2; ++c) {
        double sum = 0;
        for (std::size_t t = 0; t < 3; ++t)
          sum += static_cast<double>(rows_at({site_kind::residual, l + 1})(s * 3 + t, c));
        means[l](s, c) = static_cast<float>(sum / 3);
      }
  CHECK(cca{.rows = cca::sample::sequences}(model, batches).values == values({}, {means[0], means[1]}));
}

TEST_CASE("cca @post: equal on any executor and for any split into batches, bit for bit", "[score][cca][property]") {
  const micro_transformer model;
  const std::vector<token_batch> one{random_tokens(15)}, two{random_tokens(4), random_tokens(11, 4)};
  std::vector<token_batch> many;  // more batches than run at a time
  for (std::size_t i = 0; i < 15; ++i) many.push_back(random_tokens(1, i));
  const cca scorer{.every = 2, .units = unit_kind::half};
  CHECK(scorer(model, one).values == scorer(model, two).values);
  CHECK(scorer(model, one).values == scorer(model, many, thread_pool{3}).values);
}
