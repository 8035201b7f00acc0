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

[[nodiscard]] float score_scale(const attention_run& run) noexcept {
  return run.scale != 0 ? run.scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(run.shape.width)));
}

/// The first position that a position sees.
[[nodiscard]] std::size_t first_seen(const attention_run& run, std::size_t position) noexcept {
  return run.window == 0 || position < run.window ? 0 : position + 1 - run.window;
}

/// Elements between rows of scores. A softmax over a window pads behind it.
[[nodiscard]] std::ptrdiff_t score_stride(const attention_run& run) noexcept {
  return static_cast<std::ptrdiff_t>(whole_lanes(run.positions) + (run.window == 0 ? 0 : lanes));
}

/// Turns n products of a query with keys into shares; returns the share of the sink. `capped` receives the capped scores
/// unless it is null.
float to_shares(const attention_run& run, std::size_t head, float* x, std::size_t n, float scale,
                float* capped) noexcept {
  if (run.cap != 0) {
    const float inner = 2 * scale / run.cap, cap = run.cap;
    for_each_lane(
        [inner, cap]<class L>(L, auto v) {  // tanh(u) = 2 logistic(2u) - 1
          const auto g = logistic<L>(L::multiply(v, L::all(inner)));
          return L::multiply(L::all(cap), L::fma(L::all(2.f), g, L::all(-1.f)));
        },
        n, x, x);
    if (capped != nullptr) std::copy_n(x, n, capped);
    scale = 1;
  }
  if (run.sinks != nullptr) return softmax_beside(x, n, scale, run.sinks[head]);
  softmax(x, n, scale);
  return 0;
}

}  // namespace

std::size_t attention_scratch(std::size_t positions, std::size_t queries) noexcept {
  return std::min(queries, block_queries) * (whole_lanes(positions) + lanes);
}

void attend(const attention_run& run, row_span<float> out, float* scratch, std::span<float> workspace) noexcept {
  const std::size_t width = run.shape.width, group = run.shape.heads / run.shape.kv_heads;
  const float scale = score_scale(run);
  const std::ptrdiff_t stride = score_stride(run);
  const row_span<float> scores{scratch, stride};
  const std::size_t first_query = run.positions - run.queries;

  for (std::size_t head = 0; head < run.shape.heads; ++head) {
    const std::size_t kv = head / group * width;
    const auto query = run.query.columns(head * width);
    const auto key = run.key.columns(kv), value = run.value.columns(kv);
    const auto cached_key = run.cached_key.columns(kv), cached_value = run.cached_value.columns(kv);
    const auto result = out.columns(head * width);

    for (std::size_t q0 = 0; q0 < run.queries; q0 += block_queries) {
      const std::size_t q1 = std::min(run.queries, q0 + block_queries);
      const std::size_t seen = first_query + q1;                    // positions visible to the last query of the block
      const std::size_t begin = first_seen(run, first_query + q0);  // the first that any of its queries sees
      const std::size_t own = std::max(begin, run.earlier);         // the first of them that is not cached
      const auto queries = matrix(row_span<const float>{query.row(q0), query.stride}, q1 - q0, width);
      if (begin < run.earlier)
        product(
            queries,
            matrix(row_span<const float>{cached_key.row(begin), cached_key.stride}, own - begin, width).transposed(),
            matrix(scores, q1 - q0, own - begin), workspace);
      product(queries,
              matrix(row_span<const float>{key.row(own - run.earlier), key.stride}, seen - own, width).transposed(),
              matrix(scores.columns(own - begin), q1 - q0, seen - own), workspace);
      for (std::size_t q = q0; q < q1; ++q) {
        const std::size_t first = first_seen(run, first_query + q);
        std::fill_n(scores.row(q - q0), first - begin, 0.f);
        (void)to_shares(run, head, scores.row(q - q0) + (first - begin), first_query + q + 1 - first, scale, nullptr);
      }

      for (std::size_t t0 = q0; t0 < q1; t0 += tile_queries) {
        const std::size_t t1 = std::min(q1, t0 + tile_queries);
        const std::size_t common = first_query + t0 + 1;  // positions up to here are visible to all queries of the tile
        const std::size_t first = first_seen(run, first_query + t0), fresh = std::max(first, run.earlier);
        const row_span<float> rows{result.row(t0), result.stride};
        const row_span<const float> share{scores.row(t0 - q0), stride};
        const auto tile = matrix(rows, t1 - t0, width);
        const bool cached = first < run.earlier;
        if (cached)
          product(matrix(share.columns(first - begin), t1 - t0, fresh - first),
                  matrix(row_span<const float>{cached_value.row(first), cached_value.stride}, fresh - first, width),
                  tile, workspace);
        precis::kernel::product_onto(
            cached ? strided<const float>(tile) : strided<const float>(),
            matrix(share.columns(fresh - begin), t1 - t0, common - fresh),
            matrix(row_span<const float>{value.row(fresh - run.earlier), value.stride}, common - fresh, width), tile,
            workspace);
        for (std::size_t q = t0 + 1; q < t1; ++q)  // the remaining triangle of the tile, row by row
          product_add(matrix(row_span<const float>{share.row(q - t0) + (common - begin), stride}, 1, q - t0),
                      matrix(row_span<const float>{value.row(common - run.earlier), value.stride}, q - t0, width),
                      matrix(row_span<float>{result.row(q), result.stride}, 1, width), workspace);
      }
    }
  }
}

void attend_backward(const attention_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch, std::span<float> workspace,
                     float* d_sinks, bool onto) noexcept {
  const std::size_t width = run.shape.width, group = run.shape.heads / run.shape.kv_heads, n = run.positions;
  const float scale = score_scale(run);
  const std::ptrdiff_t stride = score_stride(run);
  const std::size_t most = std::min(n, block_queries) * static_cast<std::size_t>(stride);
  const row_span<float> share{scratch, stride};
  const row_span<float> d_share{scratch + most, stride};
  float* const capped = run.cap != 0 ? scratch + 2 * most : nullptr;

  for (std::size_t p = 0; p < n && !onto; ++p) {
    std::fill_n(d_key.row(p), run.shape.kv_heads * width, 0.f);
    std::fill_n(d_value.row(p), run.shape.kv_heads * width, 0.f);
  }
  for (std::size_t head = 0; head < run.shape.heads; ++head) {
    const std::size_t kv = head / group * width;
    const auto key = run.key.columns(kv), value = run.value.columns(kv);
    for (std::size_t q0 = 0; q0 < n; q0 += block_queries) {
      const std::size_t q1 = std::min(n, q0 + block_queries), rows = q1 - q0;
      const std::size_t begin = first_seen(run, q0), count = q1 - begin;
      const row_span<const float> query{run.query.columns(head * width).row(q0), run.query.stride};
      const row_span<const float> d_result{d_out.columns(head * width).row(q0), d_out.stride};
      const row_span<const float> keys{key.row(begin), key.stride}, values{value.row(begin), value.stride};
      const auto queries = matrix(query, rows, width), d_tile = matrix(d_result, rows, width);
      product(queries, matrix(keys, count, width).transposed(), matrix(share, rows, count), workspace);
      product(d_tile, matrix(values, count, width).transposed(), matrix(d_share, rows, count), workspace);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t first = first_seen(run, q0 + r) - begin, seen = q0 + r + 1 - begin - first;
        float* const w = share.row(r) + first;
        float* const d = d_share.row(r) + first;
        const float sink = to_shares(run, head, w, seen, scale, capped);
        const auto mean = static_cast<float>(
            lane_sum(seen, [w, d](std::size_t p) { return static_cast<double>(w[p]) * static_cast<double>(d[p]); }));
        for (std::size_t p = 0; p < seen; ++p) d[p] = w[p] * (d[p] - mean) * scale;
        for (std::size_t p = 0; capped != nullptr && p < seen; ++p) {
          const float level = capped[p] / run.cap;
          d[p] *= 1.f - level * level;
        }
        if (d_sinks != nullptr) d_sinks[head] -= sink * mean;
        std::fill(share.row(r), w, 0.f);
        std::fill(d_share.row(r), d, 0.f);
        std::fill(w + seen, share.row(r) + count, 0.f);
        std::fill(d + seen, d_share.row(r) + count, 0.f);
      }
      const auto shares = matrix(row_span<const float>(share), rows, count);
      const auto d_scores = matrix(row_span<const float>(d_share), rows, count);
      product(d_scores, matrix(keys, count, width),
              matrix(row_span<float>{d_query.columns(head * width).row(q0), d_query.stride}, rows, width), workspace);
      product_add(d_scores.transposed(), queries,
                  matrix(row_span<float>{d_key.columns(kv).row(begin), d_key.stride}, count, width), workspace);
      product_add(shares.transposed(), d_tile,
                  matrix(row_span<float>{d_value.columns(kv).row(begin), d_value.stride}, count, width), workspace);
    }
  }
}

}  // namespace engine
