#include <engine/model/block.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/rows.hpp>
#include <engine/model/shared_forward.hpp>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

using precis::activations_view;
using precis::matrix_view;

/// The query, key and value maps: three maps, or three row ranges of GPT-2's fused map; of a layer that reads the keys
/// and values of another, the query map alone; where keys are values too, without a value map.
struct query_key_value {
  std::size_t count = 3;
  const linear* source[3] = {};
  std::size_t first_out[3] = {};
  map_view map[3];
  std::span<const float> bias[3];

  explicit query_key_value(const block_run& run) {
    const block& b = run.block;
    if (!run.knobs.fused) {
      const linear* const maps[3] = {&b.query, &b.key, &b.value};
      if (!run.has_own_keys())
        count = 1;
      else if (run.settings().value_is_key)
        count = 2;
      for (std::size_t i = 0; i < count; ++i) {
        source[i] = maps[i];
        map[i] = *maps[i];
        bias[i] = maps[i]->bias;
      }
    } else {
      const std::size_t width = run.query_width();
      for (std::size_t i = 0; i < 3; ++i) {
        source[i] = &b.qkv;
        first_out[i] = i * width;
        map[i] = map_view(b.qkv).outputs(i * width, width);
        bias[i] = std::span<const float>(b.qkv.bias).subspan(i * width, width);
      }
    }
  }
};

/// Whether outputs of the maps change before the rotation in a way that needs them in backward.
[[nodiscard]] bool keeps_raw(const knobs& k) noexcept {
  return k.query_key_norm != head_norm::none || k.value_norm || k.qkv_clip != 0;
}

/// Normalizes one row of heads, by head or as a whole.
void normalize_heads(const norm& n, head_norm how, std::size_t head_width, float epsilon, std::span<float> row) {
  if (how == head_norm::whole) {
    normalize(n, row, epsilon, row.data());
    return;
  }
  for (std::size_t i = 0; i < row.size(); i += head_width)
    normalize(n, row.subspan(i, head_width), epsilon, row.data() + i);
}

void normalize_heads_backward(const norm& n, head_norm how, std::size_t head_width, float epsilon,
                              std::span<const float> x, std::span<float> d, float* scratch, norm* gradient) {
  std::ranges::copy(d, scratch);
  std::ranges::fill(d, 0.f);
  const std::size_t step = how == head_norm::whole ? d.size() : head_width;
  for (std::size_t i = 0; i < d.size(); i += step)
    normalize_backward(n, x.subspan(i, step), epsilon, scratch + i, d.data() + i, gradient);
}

/// What queries of a position are multiplied by.
[[nodiscard]] float temperature(const knobs& k, std::size_t position) noexcept {
  if (k.temperature_slope == 0) return 1;
  const auto turns = static_cast<double>(position / k.temperature_context);
  return static_cast<float>(1 + static_cast<double>(k.temperature_slope) * std::log1p(turns));
}

[[nodiscard]] const rope_table* table_of(const block_run& run) noexcept {
  return run.settings().rope == no_rope ? nullptr : run.tables[run.settings().rope].get();
}

void clip(std::span<float> row, float most) noexcept {
  for (float& x : row) x = std::clamp(x, -most, most);
}

}  // namespace

void finish_row(const block_run& run, float* row, std::size_t position, bool is_query) {
  const knobs& k = run.knobs;
  const block& b = run.block;
  const std::size_t q = run.query_width(), kv = run.kv_width(), head = run.settings().head_width;
  const float epsilon = run.shape.norm_epsilon;
  const rope_table* const table = table_of(run);
  const norm unweighted;
  if (is_query) {
    if (k.query_key_norm != head_norm::none) normalize_heads(b.query_norm, k.query_key_norm, head, epsilon, {row, q});
    if (k.qkv_clip != 0) clip({row, q}, k.qkv_clip);
    if (table != nullptr) table->rotate(row, run.shape.heads, position);
    if (const float t = temperature(k, position); t != 1)
      for (std::size_t i = 0; i < q; ++i) row[i] *= t;
  }
  if (!run.has_own_keys()) return;
  float *const key = row + q, *const value = key + kv;
  if (k.query_key_norm != head_norm::none) normalize_heads(b.key_norm, k.query_key_norm, head, epsilon, {key, kv});
  if (k.value_norm) normalize_heads(unweighted, head_norm::per_head, head, epsilon, {value, kv});
  if (k.qkv_clip != 0) clip({key, 2 * kv}, k.qkv_clip);
  if (k.key_scale != 1)
    for (std::size_t i = 0; i < kv; ++i) key[i] *= k.key_scale;
  if (table != nullptr) table->rotate(key, run.settings().kv_heads, position);
}

namespace {

/// The reverse of finish_row for gradients.
void finish_row_backward(const block_run& run, const float* raw, float* d, std::size_t position, float* scratch,
                         block* gradient) {
  const knobs& k = run.knobs;
  const block& b = run.block;
  const std::size_t q = run.query_width(), kv = run.kv_width(), head = run.settings().head_width;
  const float epsilon = run.shape.norm_epsilon;
  const rope_table* const table = table_of(run);
  if (const float t = temperature(k, position); t != 1)
    for (std::size_t i = 0; i < q; ++i) d[i] *= t;
  if (table != nullptr) table->rotate_back(d, run.shape.heads, position);
  const auto through = [&](const norm& n, head_norm how, std::size_t first, std::size_t count, norm* of_gradient) {
    if (how == head_norm::none) return;
    normalize_heads_backward(n, how, head, epsilon, {raw + first, count}, {d + first, count}, scratch, of_gradient);
  };
  const auto clipped = [&](const norm& n, head_norm how, std::size_t first, std::size_t count) {
    if (k.qkv_clip == 0) return;
    std::copy_n(raw + first, count, scratch);
    if (how != head_norm::none) normalize_heads(n, how, head, epsilon, {scratch, count});
    for (std::size_t i = 0; i < count; ++i)
      if (std::abs(scratch[i]) > k.qkv_clip) d[first + i] = 0;
  };
  clipped(b.query_norm, k.query_key_norm, 0, q);
  through(b.query_norm, k.query_key_norm, 0, q, gradient == nullptr ? nullptr : &gradient->query_norm);
  if (!run.has_own_keys()) return;
  float* const key = d + q;
  if (table != nullptr) table->rotate_back(key, run.settings().kv_heads, position);
  if (k.key_scale != 1)
    for (std::size_t i = 0; i < kv; ++i) key[i] *= k.key_scale;
  const norm unweighted;
  const head_norm of_value = k.value_norm ? head_norm::per_head : head_norm::none;
  clipped(b.key_norm, k.query_key_norm, q, kv);
  clipped(unweighted, of_value, q + kv, kv);
  through(b.key_norm, k.query_key_norm, q, kv, gradient == nullptr ? nullptr : &gradient->key_norm);
  through(unweighted, of_value, q + kv, kv, nullptr);
}

}  // namespace

bool finishes_rows(const block_run& run) noexcept {
  const knobs& k = run.knobs;
  return table_of(run) != nullptr || keeps_raw(k) || k.key_scale != 1 || k.temperature_slope != 0;
}

namespace {

/// The attention of one sequence of a run with intermediate values `v`.
[[nodiscard]] attention_run sequence_attention(const block_run& run, activations_view<const float> x,
                                               const block_values& v, std::size_t sequence,
                                               std::size_t queries) noexcept {
  const std::size_t w = run.qkv_width(), q = run.query_width(), kv = run.kv_width(), tokens = x.tokens;
  const auto stride = stride_of(w);
  const float* const first = v.qkv + sequence * tokens * w;
  attention_run a{.shape = {run.shape.heads, run.settings().kv_heads, run.settings().head_width},
                  .earlier = run.first_token,
                  .positions = run.first_token + tokens,
                  .queries = queries,
                  .query = {first + (tokens - queries) * w, stride},
                  .cached_key = {},
                  .cached_value = {},
                  .key = {first + q, stride},
                  .value = {first + q + kv, stride},
                  .scale = run.knobs.attention_scale,
                  .cap = run.knobs.score_cap,
                  .window = run.settings().window,
                  .sinks = run.knobs.sinks ? run.block.sinks.data() : nullptr};
  if (!run.has_own_keys()) {
    const float* const shared = x(sequence, 0).data() + run.stream.keys[run.settings().kv_source];
    a.key = {shared, x.token_stride};
    a.value = {shared + kv, x.token_stride};
  }
  if (run.first_token > 0) {
    const std::size_t offset = run.sequences[sequence] * run.cached_tokens * kv;
    a.cached_key = {run.cached_keys + offset, stride_of(kv)};
    a.cached_value = {run.cached_values + offset, stride_of(kv)};
  }
  return a;
}

/// One head of `a`.
[[nodiscard]] attention_run one_head(attention_run a, std::size_t head) noexcept {
  const std::size_t width = a.shape.width, kv = head / (a.shape.heads / a.shape.kv_heads) * width;
  a.shape = {1, 1, width};
  a.query = a.query.columns(head * width);
  a.key = a.key.columns(kv);
  a.value = a.value.columns(kv);
  a.cached_key = a.cached_key.columns(kv);
  a.cached_value = a.cached_value.columns(kv);
  if (a.sinks != nullptr) a.sinks += head;
  return a;
}

/// The attention of all sequences, one head of a sequence at a time if several threads share it.
void attend_all(const block_run& run, activations_view<const float> x, const block_values& v, std::size_t queries,
                float* out, float* scratch, std::span<float> workspace) {
  const std::size_t q = run.query_width(), heads = run.shape.heads, all = x.sequences * heads;
  const double seen = static_cast<double>(run.first_token + x.tokens) / (run.last_only ? 1 : 2);
  const double multiply_adds = 2 * seen * static_cast<double>(x.sequences * queries * q);
  if (worthwhile_pieces(multiply_adds, all) == 1) {
    for (std::size_t s = 0; s < x.sequences; ++s)
      attend(sequence_attention(run, x, v, s, queries), {out + s * queries * q, stride_of(q)}, scratch, workspace);
    return;
  }
  run_pieces(all, [&](std::size_t i) {
    const std::size_t s = i / heads, head = i % heads;
    const attention_run a = sequence_attention(run, x, v, s, queries);
    scratch_arena memory;
    float* const own = memory.take(attention_scratch(a.positions, queries));
    attend(one_head(a, head), {out + s * queries * q + head * a.shape.width, stride_of(q)}, own,
           product_workspace(memory));
  });
}

}  // namespace

void split_gate(const block_run& run, const float* both, float* query, float* gate) noexcept {
  const std::size_t head = run.settings().head_width;
  for (std::size_t h = 0; h < run.shape.heads; ++h, both += 2 * head) {
    std::copy_n(both, head, query + h * head);
    std::copy_n(both + head, head, gate + h * head);
  }
}

void run_attention(const block_run& run, activations_view<float> x, const block_values& v, float* out, float* scratch,
                   std::span<float> workspace) {
  const config& c = run.shape;
  const std::size_t n = x.rows(), w = run.qkv_width(), q = run.query_width(), kv = run.kv_width(), t = x.tokens,
                    queries = run.last_only ? 1 : t;
  const query_key_value maps(run);
  const std::size_t column[3] = {0, q, q + kv};
  for (std::size_t i = 0; i < maps.count; ++i) {
    // With last_only, the queries are rows t - 1, 2t - 1, ...
    const std::size_t step = i == 0 && run.last_only ? t : 1;
    const std::size_t first = step - 1;
    const bool with_gate = i == 0 && run.knobs.output_gate;
    const std::size_t made_width = with_gate ? 2 * q : w;
    float* const into = with_gate ? v.gated_query : v.qkv;
    const matrix_view<float> made{into + first * made_width + column[i], n / step, maps.map[i].out,
                                  stride_of(step * made_width), 1};
    apply(maps.map[i], maps.bias[i], {v.normed + first * c.width, n / step, c.width, stride_of(step * c.width), 1},
          made, workspace);
    maps.source[i]->add_position_bias(made, maps.first_out[i], run.first_token + first, t / step);
    if (with_gate)
      for (std::size_t r = first; r < n; r += step)
        split_gate(run, v.gated_query + r * 2 * q, v.qkv + r * w, v.gate + r * q);
  }
  if (run.has_own_keys() && run.settings().value_is_key)
    for (std::size_t r = 0; r < n; ++r) std::copy_n(v.qkv + r * w + q, kv, v.qkv + r * w + q + kv);
  if (v.raw_qkv != nullptr) std::copy_n(v.qkv, n * w, v.raw_qkv);
  if (finishes_rows(run))
    for (std::size_t r = 0; r < n; ++r) finish_row(run, v.qkv + r * w, run.first_token + r % t, r % t >= t - queries);
  if (const std::size_t shared = run.stream.keys[run.layer]; shared != 0)
    for (std::size_t r = 0; r < n; ++r) std::copy_n(v.qkv + r * w + q, 2 * kv, x(r / t, r % t).data() + shared);

  float* const attended = run.knobs.output_gate && v.ungated != nullptr ? v.ungated : v.context;
  attend_all(run, x, v, queries, attended, scratch, workspace);
  if (run.knobs.output_gate)
    for (std::size_t s = 0; s < x.sequences; ++s)
      for (std::size_t i = 0; i < queries * q; ++i) {
        const std::size_t at = s * queries * q + i;
        const float gate = v.gate[(s * t + t - queries) * q + i];
        v.context[at] = attended[at] * logistic<scalar_lanes>(gate);
      }
  const matrix_view<float> made{out, x.sequences * queries, c.width, stride_of(c.width), 1};
  apply(run.block.attention_out, run.block.attention_out.bias, {v.context, x.sequences * queries, q, stride_of(q), 1},
        made, workspace);
  run.block.attention_out.add_position_bias(made, 0, run.first_token + t - queries, queries);
}

void run_attention_backward(const block_run& run, activations_view<const float> stream,
                            activations_view<float> d_stream, const block_values& v, matrix_view<const float> dy,
                            matrix_view<float> d_normed, const map_sink& sink, block* gradient, scratch_arena& memory,
                            std::span<float> workspace) {
  using precis::kernel::product;
  using precis::kernel::product_add;
  const config& c = run.shape;
  const std::size_t n = dy.rows, t = d_stream.tokens, w = run.qkv_width(), q = run.query_width(), kv = run.kv_width();
  sink(&block::attention_out, dense_rows<const float>(v.context, n, q), dy);
  const matrix_view<float> d_context = dense_rows(memory.take(n * q), n, q);
  apply_transposed(run.block.attention_out, dy, d_context, workspace);

  float* const d_gate = run.knobs.output_gate ? memory.take(n * q) : nullptr;
  for (std::size_t i = 0; d_gate != nullptr && i < n * q; ++i) {
    const float g = logistic<scalar_lanes>(v.gate[i]);
    d_gate[i] = d_context.data[i] * v.ungated[i] * g * (1 - g);
    d_context.data[i] *= g;
  }

  const matrix_view<float> d_qkv = dense_rows(memory.take(n * w), n, w);
  float* const scratch = memory.take(3 * attention_scratch(t, t));
  float* const d_sinks = run.knobs.sinks && gradient != nullptr ? gradient->sinks.data() : nullptr;
  const auto stride = stride_of(w);
  for (std::size_t s = 0; s < d_stream.sequences; ++s) {
    float* const first = d_qkv.data + s * t * w;
    row_span<float> d_key{first + q, stride}, d_value{first + q + kv, stride};
    if (!run.has_own_keys()) {
      float* const shared = d_stream(s, 0).data() + run.stream.keys[run.settings().kv_source];
      d_key = {shared, d_stream.token_stride};
      d_value = {shared + kv, d_stream.token_stride};
    }
    attend_backward(sequence_attention(run, stream, v, s, t), {d_context.data + s * t * q, stride_of(q)},
                    {first, stride}, d_key, d_value, scratch, workspace, d_sinks, !run.has_own_keys());
  }
  if (const std::size_t shared = run.stream.keys[run.layer]; shared != 0)
    for (std::size_t r = 0; r < n; ++r) {
      float* const d = d_stream(r / t, r % t).data() + shared;
      for (std::size_t i = 0; i < 2 * kv; ++i) d_qkv(r, q + i) += d[i];
      std::fill_n(d, 2 * kv, 0.f);
    }
  if (finishes_rows(run)) {
    float* const row = memory.take(w);
    for (std::size_t r = 0; r < n; ++r)
      finish_row_backward(run, v.raw_qkv == nullptr ? nullptr : v.raw_qkv + r * w, d_qkv.data + r * w, r % t, row,
                          gradient);
  }
  const matrix_view<const float> normed = dense_rows<const float>(v.normed, n, c.width);
  if (run.knobs.fused) {
    sink(&block::qkv, normed, d_qkv);
    apply_transposed(run.block.qkv, d_qkv, d_normed, workspace);
    return;
  }
  matrix_view<float> d_query = d_qkv.col_range(0, q);
  if (d_gate != nullptr) {
    d_query = dense_rows(memory.take(n * 2 * q), n, 2 * q);
    const std::size_t head = run.settings().head_width;
    for (std::size_t r = 0; r < n; ++r)
      for (std::size_t h = 0; h < c.heads; ++h) {
        std::copy_n(d_qkv.data + r * w + h * head, head, d_query.row(r).data() + 2 * h * head);
        std::copy_n(d_gate + r * q + h * head, head, d_query.row(r).data() + (2 * h + 1) * head);
      }
  }
  if (run.has_own_keys()) {
    const matrix_view<float> d_key = d_qkv.col_range(q, kv), d_value = d_qkv.col_range(q + kv, kv);
    const bool value_is_key = run.settings().value_is_key;
    if (value_is_key)
      for (std::size_t r = 0; r < n; ++r)
        for (std::size_t i = 0; i < kv; ++i) d_key(r, i) += d_value(r, i);
    else
      sink(&block::value, normed, d_value);
    sink(&block::key, normed, d_key);
    sink(&block::query, normed, d_query);
    apply_transposed(run.block.query, d_query, d_normed, workspace);
    add_transposed(run.block.key, d_key, d_normed, workspace);
    if (!value_is_key) add_transposed(run.block.value, d_value, d_normed, workspace);
  } else {
    sink(&block::query, normed, d_query);
    apply_transposed(run.block.query, d_query, d_normed, workspace);
  }
}

}  // namespace engine
