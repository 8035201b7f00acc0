#include <engine/model/attention.hpp>

#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

using precis::kernel::product;
using precis::kernel::product_add;
using precis::kernel::strided;

constexpr std::size_t tile_queries = 6;  ///< queries that share one product with the values before the first of them

template<class T>
[[nodiscard]] strided<T> matrix(row_span<T> rows, std::size_t count, std::size_t cols) noexcept {
  return {rows.data, count, cols, rows.stride, 1};
}

[[nodiscard]] float score_scale(const head_shape& shape) noexcept {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(shape.width)));
}

}  // namespace

std::size_t attention_scratch(std::size_t positions, std::size_t queries) noexcept {
  return std::min(queries, block_queries) * whole_lanes(positions);
}

void attend(const attention_run& run, row_span<float> out, float* scratch, std::span<float> workspace) noexcept {
  const std::size_t width = run.shape.width, group = run.shape.heads / run.shape.kv_heads;
  const float scale = score_scale(run.shape);
  const auto stride = static_cast<std::ptrdiff_t>(whole_lanes(run.positions));
  const row_span<float> scores{scratch, stride};
  const std::size_t first_query = run.positions - run.queries;

  for (std::size_t head = 0; head < run.shape.heads; ++head) {
    const std::size_t kv = head / group * width;
    const auto query = run.query.columns(head * width);
    const auto key = run.key.columns(kv), value = run.value.columns(kv);
    const auto result = out.columns(head * width);

    for (std::size_t q0 = 0; q0 < run.queries; q0 += block_queries) {
      const std::size_t q1 = std::min(run.queries, q0 + block_queries);
      const std::size_t seen = first_query + q1;  // positions visible to the last query of the block
      const auto queries = matrix(row_span<const float>{query.row(q0), query.stride}, q1 - q0, width);
      if (run.earlier > 0)
        product(queries, matrix(run.cached_key.columns(kv), run.earlier, width).transposed(),
                matrix(scores, q1 - q0, run.earlier), workspace);
      product(queries, matrix(key, seen - run.earlier, width).transposed(),
              matrix(scores.columns(run.earlier), q1 - q0, seen - run.earlier), workspace);
      for (std::size_t q = q0; q < q1; ++q) softmax(scores.row(q - q0), first_query + q + 1, scale);

      for (std::size_t t0 = q0; t0 < q1; t0 += tile_queries) {
        const std::size_t t1 = std::min(q1, t0 + tile_queries);
        const std::size_t common = first_query + t0 + 1;  // positions visible to all queries of the tile
        const row_span<float> rows{result.row(t0), result.stride};
        const row_span<const float> share{scores.row(t0 - q0), stride};
        const auto tile = matrix(rows, t1 - t0, width);
        if (run.earlier > 0)
          product(matrix(share, t1 - t0, run.earlier), matrix(run.cached_value.columns(kv), run.earlier, width), tile,
                  workspace);
        precis::kernel::product_onto(run.earlier > 0 ? strided<const float>(tile) : strided<const float>(),
                                     matrix(share.columns(run.earlier), t1 - t0, common - run.earlier),
                                     matrix(value, common - run.earlier, width), tile, workspace);
        for (std::size_t q = t0 + 1; q < t1; ++q)  // the remaining triangle of the tile, row by row
          product_add(matrix(row_span<const float>{share.row(q - t0) + common, stride}, 1, q - t0),
                      matrix(row_span<const float>{value.row(common - run.earlier), value.stride}, q - t0, width),
                      matrix(row_span<float>{result.row(q), result.stride}, 1, width), workspace);
      }
    }
  }
}

void attend_backward(const attention_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch,
                     std::span<float> workspace) noexcept {
  const std::size_t width = run.shape.width, group = run.shape.heads / run.shape.kv_heads, n = run.positions;
  const float scale = score_scale(run.shape);
  const auto stride = static_cast<std::ptrdiff_t>(whole_lanes(n));
  const std::size_t most = std::min(n, block_queries);
  const row_span<float> share{scratch, stride};
  const row_span<float> d_share{scratch + most * whole_lanes(n), stride};

  for (std::size_t p = 0; p < n; ++p) {
    std::fill_n(d_key.row(p), run.shape.kv_heads * width, 0.f);
    std::fill_n(d_value.row(p), run.shape.kv_heads * width, 0.f);
  }
  for (std::size_t head = 0; head < run.shape.heads; ++head) {
    const std::size_t kv = head / group * width;
    const auto key = run.key.columns(kv), value = run.value.columns(kv);
    for (std::size_t q0 = 0; q0 < n; q0 += block_queries) {
      const std::size_t q1 = std::min(n, q0 + block_queries), rows = q1 - q0;
      const row_span<const float> query{run.query.columns(head * width).row(q0), run.query.stride};
      const row_span<const float> d_result{d_out.columns(head * width).row(q0), d_out.stride};
      const auto queries = matrix(query, rows, width), d_tile = matrix(d_result, rows, width);
      product(queries, matrix(key, q1, width).transposed(), matrix(share, rows, q1), workspace);
      product(d_tile, matrix(value, q1, width).transposed(), matrix(d_share, rows, q1), workspace);
      for (std::size_t r = 0; r < rows; ++r) {
        float* const w = share.row(r);
        float* const d = d_share.row(r);
        const std::size_t seen = q0 + r + 1;
        softmax(w, seen, scale);
        const auto mean = static_cast<float>(
            lane_sum(seen, [w, d](std::size_t p) { return static_cast<double>(w[p]) * static_cast<double>(d[p]); }));
        for (std::size_t p = 0; p < seen; ++p) d[p] = w[p] * (d[p] - mean) * scale;
        std::fill(w + seen, w + q1, 0.f);
        std::fill(d + seen, d + q1, 0.f);
      }
      const auto shares = matrix(row_span<const float>(share), rows, q1);
      const auto d_scores = matrix(row_span<const float>(d_share), rows, q1);
      product(d_scores, matrix(key, q1, width),
              matrix(row_span<float>{d_query.columns(head * width).row(q0), d_query.stride}, rows, width), workspace);
      product_add(d_scores.transposed(), queries, matrix(d_key.columns(kv), q1, width), workspace);
      product_add(shares.transposed(), d_tile, matrix(d_value.columns(kv), q1, width), workspace);
    }
  }
}

}  // namespace engine
