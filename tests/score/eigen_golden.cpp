#include <precis/score/eigen_attribution.hpp>

#include <engine/json.hpp>
#include <engine/load.hpp>
#include <engine/transformer.hpp>

#include "catch.hpp"
#include "shared.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace precis;

TEST_CASE("keys of the real model, whole and one head", "[score][golden][oracle]") {
  const auto folder = shared_path("models/imdb-gpt2"), path = shared_path("golden/imdb-gpt2/eigen.json");
  if (!folder || !path) return;
  std::ifstream file(*path);
  const engine::json golden = engine::json::parse(file);
  const engine::transformer model(engine::load(*folder).weights);
  const std::size_t width = model.shape().width, head_width = model.shape().head_width();
  const std::size_t layer = golden.at("layer"), matrix = 4 * layer;
  REQUIRE(model.matrices()[matrix].name == "h." + std::to_string(layer) + ".attn.c_attn");

  token_batch samples{.sequences = 0, .tokens = 0, .ids = {}, .targets = {}};
  for (const auto& row : golden.at("ids")) {
    const auto ids = row.get<std::vector<token>>();
    samples.tokens = ids.size();
    samples.ids.insert(samples.ids.end(), ids.begin(), ids.end());
    samples.targets.resize(samples.ids.size(), no_target);
    samples.targets.back() = golden.at("target_at_last_position").at(samples.sequences++);
  }
  const std::vector<score::matrix_slice> slices{{.name = "key",
                                                 .component = "key",
                                                 .matrix = matrix,
                                                 .first_row = width,
                                                 .rows = width,
                                                 .first_col = 0,
                                                 .cols = width},
                                                {.name = "key head 2",
                                                 .component = "key",
                                                 .matrix = matrix,
                                                 .first_row = width + 2 * head_width,
                                                 .rows = head_width,
                                                 .first_col = 0,
                                                 .cols = width}};
  const score::eigen_attribution scorer{.in_order = true};
  const auto found = scorer(model, samples, slices);

  activations x, g;
  static_cast<void>(model.backward(samples, [&](const linear_gradient& each) {
    if (each.matrix != matrix) return;
    x = activations(samples.sequences, samples.tokens, each.input.features);
    g = activations(samples.sequences, samples.tokens, each.output_gradient.features);
    for (std::size_t s = 0; s < samples.sequences; ++s)
      for (std::size_t t = 0; t < samples.tokens; ++t) {
        std::ranges::copy(each.input(s, t), x.view()(s, t).begin());
        std::ranges::copy(each.output_gradient(s, t), g.view()(s, t).begin());
      }
  }));

  const std::string names[2] = {"key_matrix", "key_head_2"};
  for (std::size_t i = 0; i < 2; ++i) {
    INFO(names[i]);
    const auto& expected = golden.at(names[i]);
    const score::singular_effects& e = found.slices[i];
    const auto values = expected.at("singular_values").get<std::vector<double>>();
    REQUIRE(e.parts.size() == values.size());
    for (std::size_t r = 0; r < values.size(); ++r)
      CHECK(e.parts.values[r] == Approx(values[r]).margin(1e-5 * values[0]));
    auto scores = expected.at("score_max").get<std::vector<double>>(), mine = e.effects;
    std::ranges::sort(scores);  // nearly equal singular values may change places
    std::ranges::sort(mine);
    for (std::size_t r = 0; r < scores.size(); ++r) CHECK(mine[r] == Approx(scores[r]).margin(1e-3 * scores.back()));

    // The full attribution: parts, applied one by one, say what the matrix says.
    const weight_view w = slices[i].of(std::as_const(model).weights(matrix));
    double by_parts = 0, by_matrix = 0;
    for (std::size_t s = 0; s < samples.sequences; ++s) {
      const std::size_t other = (s + samples.sequences - 1) % samples.sequences;
      for (std::size_t t = 0; t < samples.tokens; ++t) {
        const auto gradient = std::as_const(g).view()(s, t).subspan(slices[i].first_row, w.rows);
        std::vector<double> d(width);
        for (std::size_t c = 0; c < width; ++c)
          d[c] = static_cast<double>(std::as_const(x).view()(other, t)[c]) -
                 static_cast<double>(std::as_const(x).view()(s, t)[c]);
        for (std::size_t o = 0; o < w.rows; ++o)
          for (std::size_t c = 0; c < width; ++c)
            by_matrix += static_cast<double>(gradient[o]) * static_cast<double>(w(o, c)) * d[c];
        for (std::size_t r = 0; r < e.parts.size(); ++r) {
          double p = 0, q = 0;
          for (std::size_t o = 0; o < w.rows; ++o) p += e.parts.left(r, o) * static_cast<double>(gradient[o]);
          for (std::size_t c = 0; c < width; ++c) q += e.parts.right(r, c) * d[c];
          by_parts += p * q;
        }
      }
    }
    CHECK(by_parts == Approx(by_matrix).epsilon(1e-9));
    CHECK(by_parts == Approx(expected.at("sum_over_r_total").get<double>()).epsilon(1e-3));
  }
}
