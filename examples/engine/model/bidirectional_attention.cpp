#include <engine/model/bidirectional_attention.hpp>

#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace engine {
namespace {

using precis::kernel::product;
using precis::kernel::product_add;
using precis::kernel::strided;

template<class T>
[[nodiscard]] strided<T> matrix(row_span<T> rows, std::size_t first, std::size_t count, std::size_t cols) noexcept {
  return {rows.row(first), count, cols, rows.stride, 1};
}

/// Adds what depends on the distance to the scores of one query, and hides keys outside of its window.
void shift_and_hide(const bidirectional_attention_run& run, std::size_t head, std::size_t query, float scale,
                    float* scores) noexcept {
  if (run.by_distance != nullptr) {
    const float* const shift = run.by_distance + head * (2 * run.queries - 1) + (run.queries - 1 - query);
    for (std::size_t p = 0; p < run.length; ++p) scores[p] = scores[p] * scale + shift[p];
  }
  if (run.window == 0 || query >= run.length) return;  // padding sees everything
  const std::size_t reach = run.window / 2, first = query - std::min(reach, query);
  const std::size_t end = std::min(run.length, query + reach + 1);
  std::fill(scores, scores + first, -std::numeric_limits<float>::infinity());
  std::fill(scores + end, scores + run.length, -std::numeric_limits<float>::infinity());
}

/// Calls use(first query, count, scale) for each block of queries of one head, after computing their attention weights
/// in `share`.
template<class Use>
void for_each_block(const bidirectional_attention_run& run, std::size_t head, row_span<float> share,
                    std::span<float> workspace, Use&& use) {
  const std::size_t width = run.shape.width;
  const float scale = run.scale != 0 ? run.scale : static_cast<float>(1.0 / std::sqrt(static_cast<double>(width)));
  const float left = run.by_distance == nullptr ? scale : 1.f;  // of the scale, after the bias
  const auto query = run.query.columns(head * width), key = run.key.columns(head * width);
  for (std::size_t q = 0; q < run.queries; q += block_queries) {
    const std::size_t rows = std::min(block_queries, run.queries - q);
    product(matrix(query, q, rows, width), matrix(key, 0, run.length, width).transposed(),
            matrix(share, 0, rows, run.length), workspace);
    for (std::size_t r = 0; r < rows; ++r) {
      shift_and_hide(run, head, q + r, scale, share.row(r));
      softmax(share.row(r), run.length, left);
    }
    use(q, rows, scale);
  }
}

}  // namespace

std::size_t bidirectional_attention_scratch(std::size_t queries) noexcept {
  return std::min(queries, block_queries) * whole_lanes(queries);
}

void attend(const bidirectional_attention_run& run, row_span<float> out, float* scratch,
            std::span<float> workspace) noexcept {
  const std::size_t width = run.shape.width;
  const row_span<float> share{scratch, static_cast<std::ptrdiff_t>(whole_lanes(run.length))};
  for (std::size_t head = 0; head < run.shape.heads; ++head)
    for_each_block(run, head, share, workspace, [&](std::size_t q, std::size_t rows, float) {
      product(matrix(share, 0, rows, run.length), matrix(run.value.columns(head * width), 0, run.length, width),
              matrix(out.columns(head * width), q, rows, width), workspace);
    });
}

void attend_backward(const bidirectional_attention_run& run, row_span<const float> d_out, row_span<float> d_query,
                     row_span<float> d_key, row_span<float> d_value, float* scratch, std::span<float> workspace,
                     double* d_by_distance) noexcept {
  const std::size_t width = run.shape.width, n = run.length;
  const auto stride = static_cast<std::ptrdiff_t>(whole_lanes(n));
  const row_span<float> share{scratch, stride}, d_share{scratch + bidirectional_attention_scratch(run.queries), stride};
  for (std::size_t p = 0; p < run.queries; ++p) {
    std::fill_n(d_key.row(p), run.shape.heads * width, 0.f);
    std::fill_n(d_value.row(p), run.shape.heads * width, 0.f);
  }
  for (std::size_t head = 0; head < run.shape.heads; ++head) {
    const std::size_t first = head * width;
    for_each_block(run, head, share, workspace, [&](std::size_t q, std::size_t rows, float scale) {
      const auto d_result = matrix(d_out.columns(first), q, rows, width);
      const auto shares = matrix(share, 0, rows, n), d_scores = matrix(d_share, 0, rows, n);
      product(d_result, matrix(run.value.columns(first), 0, n, width).transposed(), d_scores, workspace);
      for (std::size_t r = 0; r < rows; ++r) {
        const float* const w = share.row(r);
        float* const d = d_share.row(r);
        const auto mean = static_cast<float>(
            lane_sum(n, [w, d](std::size_t p) { return static_cast<double>(w[p]) * static_cast<double>(d[p]); }));
        for (std::size_t p = 0; p < n; ++p) d[p] = w[p] * (d[p] - mean);
        if (d_by_distance != nullptr && q + r < n) {
          double* const shift = d_by_distance + head * (2 * run.queries - 1) + (run.queries - 1 - (q + r));
          for (std::size_t p = 0; p < n; ++p) shift[p] += static_cast<double>(d[p]);
        }
        for (std::size_t p = 0; p < n; ++p) d[p] *= scale;
      }
      product(d_scores, matrix(run.key.columns(first), 0, n, width), matrix(d_query.columns(first), q, rows, width),
              workspace);
      product_add(d_scores.transposed(), matrix(run.query.columns(first), q, rows, width),
                  matrix(d_key.columns(first), 0, n, width), workspace);
      product_add(shares.transposed(), d_result, matrix(d_value.columns(first), 0, n, width), workspace);
    });
  }
}

}  // namespace engine
