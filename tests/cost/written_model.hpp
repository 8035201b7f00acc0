#pragma once

#include <precis/codec/affine.hpp>
#include <precis/codec/float16.hpp>
#include <precis/codec/min_anchored.hpp>
#include <precis/codec/symmetric.hpp>
#include <precis/core/menu.hpp>
#include <precis/core/random.hpp>
#include <precis/core/scores.hpp>
#include <precis/core/unit.hpp>

#include <span>
#include <string>
#include <utility>
#include <vector>

/// Models and scores of the tests of cost::weighted_error and cost::scan_errors.
namespace written {

using namespace precis;

using formats = menu<codec::affine<2, 32>, codec::affine<4, 32>, codec::symmetric<4, codec::per_tensor>,
                     codec::affine<8, codec::per_row>, codec::affine<3, 20>, codec::min_anchored<4, 32>,
                     codec::affine<16, 32>, codec::float16>;

/// A model whose matrices are written in the test.
struct written_model {
  std::vector<matrix_info> infos;
  std::vector<float_matrix> maps;
  [[nodiscard]] std::span<const matrix_info> matrices() const { return infos; }
  [[nodiscard]] weight_view weights(std::size_t i) const { return maps[i].view(); }
};

inline written_model random_model() {
  const random_stream random(5, purpose("weights"));
  written_model m;
  std::size_t draw = 0;
  for (const auto& [out, in] : {std::pair<std::size_t, std::size_t>{70, 100}, {33, 64}, {5, 7}, {64, 128}}) {
    const std::size_t i = m.infos.size();
    m.infos.push_back({"m" + std::to_string(i), i / 2, part::mlp, out, in});
    m.maps.emplace_back(out, in);
    for (float& x : m.maps.back().values) x = static_cast<float>(random.normal(draw++));
  }
  return m;
}

inline scores scores_of(const written_model& m, std::vector<double> values) {
  return {.model = "8c1f",
          .scorer = "hand",
          .measure = "none",
          .units = group_units(m.infos, unit_kind::block),
          .values = std::move(values)};
}

}  // namespace written
