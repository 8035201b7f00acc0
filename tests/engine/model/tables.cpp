#include <engine/model/transformer.hpp>

#include <precis/model/guard.hpp>

#include "catch.hpp"
#include "engine/random_models.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

using namespace precis;
using namespace random_models;

TEST_CASE("transformer: listed tables are the embedding and the head, with the head's inputs and gradients",
          "[engine][oracle]") {
  for (auto& [name, m] : models()) {
    INFO(name);
    const token_batch b = random_batch(m, 3, 11, 9);
    const std::size_t maps = m.matrices().size(), slices = m.slices().size();
    const nll before = m.loss(b);
    m.list_tables();
    m.list_tables();  // once is enough
    const bool tied = m.shape().tied_head;
    REQUIRE(m.matrices().size() == maps + (tied ? 1 : 2));
    CHECK(m.matrices()[maps].layer == before_layers);
    CHECK(m.slices().size() == slices);
    const std::size_t head = m.matrices().size() - 1;
    CHECK(m.matrices()[head].out == m.shape().vocabulary);

    engine::weights gradient = zeros(m.shape());
    float_matrix products(m.shape().vocabulary, m.shape().width);
    std::size_t predictions = 0;
    const nll loss = m.backward(
        b,
        [&](const linear_gradient& g) {
          CHECK((g.matrix < maps || g.matrix == head));
          if (g.matrix != head) return;
          predictions += g.input.rows();
          for (std::size_t r = 0; r < g.input.rows(); ++r)
            for (std::size_t o = 0; o < products.rows; ++o)
              for (std::size_t i = 0; i < products.cols; ++i)
                products(o, i) += g.output_gradient(0, r)[o] * g.input(0, r)[i];
        },
        gradient);
    CHECK(loss == before);
    CHECK(predictions == loss.count);
    if (!tied) {  // a tied table's gradient also has that of the embedding
      double worst = 0;
      for (std::size_t i = 0; i < products.values.size(); ++i)
        worst = std::max(worst, static_cast<double>(std::abs(products.values[i] - gradient.head[i])));
      CHECK(worst < 1e-4);
    }
    std::size_t reported = 0;
    m.inputs(b, [&](const linear_input& i) { reported += i.matrices.front() == head ? i.input.rows() : 0; });
    CHECK(reported == 33);

    // A changed table is used by `enter` and, if it is tied, by the head: by whole runs as by parts.
    const std::vector<std::size_t> table{maps};
    const weight_guard guard(m, table);
    m.weights(maps)(static_cast<std::size_t>(b.ids[0]), 0) += 0.5f;
    activations x = m.enter(b);
    for (std::size_t l = 0; l < m.layers(); ++l) m.run_layer(l, x);
    CHECK(m.loss(b) == m.read_loss(b, std::as_const(x).view()));
    CHECK(m.loss(b) != before);
  }
}
