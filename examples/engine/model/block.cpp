#include <engine/model/block.hpp>

#include <engine/model/family.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

using precis::activations_view;
using precis::matrix_view;

/// Rows processed at a time, so that the values between two maps stay in the L2 cache.
constexpr std::size_t chunk_rows = 512;

[[nodiscard]] std::ptrdiff_t signed_size(std::size_t n) noexcept { return static_cast<std::ptrdiff_t>(n); }

/// A residual with any strides as a sequence of rows, one per token.
struct token_rows {
  activations_view<const float> x;
  [[nodiscard]] std::size_t size() const noexcept { return x.sequences * x.tokens; }
  [[nodiscard]] std::span<const float> operator[](std::size_t row) const noexcept {
    return x(row / x.tokens, row % x.tokens);
  }
};

void add(activations_view<float> x, const float* y) noexcept {
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t, y += x.features) {
      float* const row = x(s, t).data();
      for (std::size_t f = 0; f < x.features; ++f) row[f] += y[f];
    }
}

void copy_rows(activations_view<const float> x, float* to) noexcept {
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t, to += x.features) std::ranges::copy(x(s, t), to);
}

/// The query, key and value maps: three maps, or three row ranges of GPT-2's fused map.
struct query_key_value {
  const linear* source[3];
  std::size_t first_out[3] = {};
  precis::weight_view map[3];
  std::span<const float> bias[3];

  query_key_value(const config& c, const block& b) {
    if (!family_of(c).fused) {
      const linear* const maps[3] = {&b.query, &b.key, &b.value};
      for (std::size_t i = 0; i < 3; ++i) {
        source[i] = maps[i];
        map[i] = maps[i]->view();
        bias[i] = maps[i]->bias;
      }
    } else {
      for (std::size_t i = 0; i < 3; ++i) {
        source[i] = &b.qkv;
        first_out[i] = i * c.width;
        map[i] = b.qkv.view().row_range(i * c.width, c.width);
        bias[i] = std::span<const float>(b.qkv.bias).subspan(i * c.width, c.width);
      }
    }
  }
};

/// Computes the attention sub-layer's output for the sequences of `x`: norm, query, key and value, attention, output
/// map.
void attention_half(const block_run& run, activations_view<const float> x, const block_values& v, float* out,
                    float* scratch, std::span<float> workspace) {
  const config& c = run.shape;
  const token_rows rows{x};
  const std::size_t n = rows.size(), w = qkv_width(c), t = x.tokens, queries = run.last_only ? 1 : t;
  for (std::size_t r = 0; r < n; ++r)
    normalize(run.block.attention_norm, rows[r], c.norm_epsilon, v.normed + r * c.width);

  const query_key_value maps(c, run.block);
  const std::size_t column[3] = {0, c.width, c.width + c.kv_width()};
  for (std::size_t i = 0; i < 3; ++i) {
    const std::size_t step =
        i == 0 && run.last_only ? t : 1;  // with last_only, the queries are rows t - 1, 2t - 1, ...
    const std::size_t first = step - 1;
    const matrix_view<float> made{v.qkv + first * w + column[i], n / step, maps.map[i].rows, signed_size(step * w), 1};
    apply(maps.map[i], maps.bias[i], {v.normed + first * c.width, n / step, c.width, signed_size(step * c.width), 1},
          made, workspace);
    maps.source[i]->add_position_bias(made, maps.first_out[i], run.first_token + first, t / step);
  }
  if (run.rotary.pairs != 0)
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t position = run.first_token + r % t;
      if (r % t >= t - queries) run.rotary.rotate(v.qkv + r * w, c.heads, position);
      run.rotary.rotate(v.qkv + r * w + c.width, c.kv_heads, position);
    }
  for (std::size_t s = 0; s < x.sequences; ++s)
    attend(sequence_attention(run, v, s, t, queries), {v.context + s * queries * c.width, signed_size(c.width)},
           scratch, workspace);
  const matrix_view<float> made{out, x.sequences * queries, c.width, signed_size(c.width), 1};
  apply(run.block.attention_out.view(), run.block.attention_out.bias,
        {v.context, x.sequences * queries, c.width, signed_size(c.width), 1}, made, workspace);
  run.block.attention_out.add_position_bias(made, 0, run.first_token + t - queries, queries);
}

/// Computes the MLP sub-layer's output for the rows of `x`, whose sequences begin at `position`: norm, up (and gate),
/// activation, down.
void mlp_half(const block_run& run, activations_view<const float> x, std::size_t position, const block_values& v,
              float* out, std::span<float> workspace) {
  const config& c = run.shape;
  const token_rows rows{x};
  const std::size_t n = rows.size();
  const auto wide = [&](float* p) { return matrix_view<float>{p, n, c.hidden, signed_size(c.hidden), 1}; };
  const matrix_view<const float> normed{v.mlp_normed, n, c.width, signed_size(c.width), 1};
  const norm& before = family_of(c).parallel ? run.block.attention_norm : run.block.mlp_norm;
  for (std::size_t r = 0; r < n; ++r) normalize(before, rows[r], c.norm_epsilon, v.mlp_normed + r * c.width);

  const bool gated = family_of(c).gated;
  const linear& into_activation = gated ? run.block.gate : run.block.up;
  apply(into_activation.view(), into_activation.bias, normed, wide(v.raw), workspace);
  into_activation.add_position_bias(wide(v.raw), 0, position, x.tokens);
  if (gated) {
    apply(run.block.up.view(), run.block.up.bias, normed, wide(v.up), workspace);
    run.block.up.add_position_bias(wide(v.up), 0, position, x.tokens);
  }
  with_activation(c.activation, [&]<class F>(F) {
    if (gated)
      for_each_lane([]<class L>(L, auto raw, auto up) { return L::multiply(F::template value<L>(raw), up); },
                    n * c.hidden, v.active, v.raw, v.up);
    else
      for_each_lane([]<class L>(L, auto raw) { return F::template value<L>(raw); }, n * c.hidden, v.active, v.raw);
  });
  const matrix_view<float> made{out, n, c.width, signed_size(c.width), 1};
  apply(run.block.down.view(), run.block.down.bias, wide(v.active), made, workspace);
  run.block.down.add_position_bias(made, 0, position, x.tokens);
}

/// Copies the keys and values of a chunk to the destination of the run.
void keep_keys_values(const block_run& run, const block_values& v, std::size_t first_row, std::size_t rows) noexcept {
  const std::size_t kv = run.shape.kv_width(), w = qkv_width(run.shape);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* const key = v.qkv + r * w + run.shape.width;
    std::copy_n(key, kv, run.keep_keys + (first_row + r) * kv);
    std::copy_n(key + kv, kv, run.keep_values + (first_row + r) * kv);
  }
}

}  // namespace

attention_run sequence_attention(const block_run& run, const block_values& v, std::size_t sequence, std::size_t tokens,
                                 std::size_t queries) noexcept {
  const config& c = run.shape;
  const auto stride = signed_size(qkv_width(c));
  const float* const first = v.qkv + sequence * tokens * qkv_width(c);
  attention_run a{.shape = {c.heads, c.kv_heads, c.head_width()},
                  .earlier = run.first_token,
                  .positions = run.first_token + tokens,
                  .queries = queries,
                  .query = {first + (tokens - queries) * qkv_width(c), stride},
                  .cached_key = {},
                  .cached_value = {},
                  .key = {first + c.width, stride},
                  .value = {first + c.width + c.kv_width(), stride}};
  if (run.first_token > 0) {
    const std::size_t offset = run.sequences[sequence] * run.cached_tokens * c.kv_width();
    a.cached_key = {run.cached_keys + offset, signed_size(c.kv_width())};
    a.cached_value = {run.cached_values + offset, signed_size(c.kv_width())};
  }
  return a;
}

rotary::rotary(const config& shape) {
  if (!family_of(shape).rotary) return;
  head_width = shape.head_width();
  half_split = family_of(shape).rotary_halves;
  pairs = (shape.rotary_width != 0 ? shape.rotary_width : head_width) / 2;
  for (std::size_t p = 0; p < shape.context; ++p)
    for (std::size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(p) * std::pow(static_cast<double>(shape.rope_theta),
                                                             -static_cast<double>(i) / static_cast<double>(pairs));
      cosine.push_back(static_cast<float>(std::cos(angle)));
      sine.push_back(static_cast<float>(std::sin(angle)));
    }
}

void rotary::rotate_by(float sign, float* row, std::size_t heads, std::size_t position) const noexcept {
  const float* const c = cosine.data() + position * pairs;
  const float* const s = sine.data() + position * pairs;
  const std::size_t step = half_split ? 1 : 2, apart = half_split ? pairs : 1;
  for (std::size_t h = 0; h < heads; ++h, row += head_width)
    for (std::size_t i = 0; i < pairs; ++i) {
      float &low = row[i * step], &high = row[i * step + apart];
      const float x = low, y = high, signed_sine = sign * s[i];
      low = std::fma(x, c[i], -(y * signed_sine));
      high = std::fma(x, signed_sine, y * c[i]);
    }
}

void rotary::rotate(float* row, std::size_t heads, std::size_t position) const noexcept {
  rotate_by(1, row, heads, position);
}
void rotary::rotate_back(float* row, std::size_t heads, std::size_t position) const noexcept {
  rotate_by(-1, row, heads, position);
}

std::span<float> product_workspace(scratch_arena& memory) {
  return {memory.take(precis::kernel::product_workspace), precis::kernel::product_workspace};
}

void apply(const precis::weight_view& map, std::span<const float> bias, matrix_view<const float> rows,
           matrix_view<float> out, std::span<float> workspace) noexcept {
  precis::kernel::strided<const float> start;
  if (!bias.empty()) start = {bias.data(), out.rows, out.cols, 0, 1};
  precis::kernel::product_onto(start, rows, map.transposed(), out, workspace);
}

block_values allocate_values(const config& c, std::size_t rows, bool for_backward, scratch_arena& memory) {
  block_values v;
  v.normed = memory.take(rows * c.width);
  v.qkv = memory.take(rows * qkv_width(c));
  v.context = memory.take(rows * c.width);
  v.raw = memory.take(rows * c.hidden);
  v.up = family_of(c).gated ? memory.take(rows * c.hidden) : nullptr;
  if (for_backward) {
    v.entering = memory.take(rows * c.width);
    v.middle = memory.take(rows * c.width);
    v.mlp_normed = memory.take(rows * c.width);
    v.active = memory.take(rows * c.hidden);
  } else {
    v.mlp_normed = v.normed;
    v.active = v.raw;
  }
  return v;
}

void run_block(const block_run& run, activations_view<float> residual, const tap_callback* tap, block_values* keep,
               scratch_arena& memory) {
  const config& c = run.shape;
  const std::size_t sequences = residual.sequences, tokens = residual.tokens, queries = run.last_only ? 1 : tokens;
  const std::size_t chunk =
      keep != nullptr ? sequences : std::min(sequences, std::max<std::size_t>(1, chunk_rows / tokens));
  const std::span<float> workspace = product_workspace(memory);
  float* const scratch = memory.take(attention_scratch(run.first_token + tokens, queries));
  float* const out = memory.take(sequences * queries * c.width);
  const block_values values = keep != nullptr ? *keep : allocate_values(c, chunk * tokens, false, memory);
  const bool parallel = family_of(c).parallel;
  float* const mlp_out = parallel ? memory.take(sequences * queries * c.width) : out;
  const auto whole = [&](float* p) {
    return activations_view<float>({p, sequences * queries * c.width}, sequences, queries, c.width);
  };

  if (keep != nullptr) copy_rows(residual, values.entering);
  for (std::size_t s = 0; s < sequences; s += chunk) {
    const std::size_t n = std::min(chunk, sequences - s);
    block_run part = run;
    if (run.first_token > 0) part.sequences = run.sequences.subspan(s, n);
    attention_half(part, residual.sequence_range(s, n), values, out + s * queries * c.width, scratch, workspace);
    if (run.keep_keys != nullptr) keep_keys_values(run, values, s * tokens, n * tokens);
  }
  if (tap != nullptr) (*tap)({precis::site_kind::attention, run.layer}, whole(out));
  const activations_view<float> needed = residual.token_range(tokens - queries, queries);
  if (!parallel) add(needed, out);

  if (keep != nullptr) copy_rows(residual, values.middle);
  const std::size_t mlp_chunk = run.last_only ? std::min(sequences, chunk * tokens) : chunk;
  for (std::size_t s = 0; s < sequences; s += mlp_chunk)
    mlp_half(run, needed.sequence_range(s, std::min(mlp_chunk, sequences - s)), run.first_token + tokens - queries,
             values, mlp_out + s * queries * c.width, workspace);
  if (tap != nullptr) (*tap)({precis::site_kind::mlp, run.layer}, whole(mlp_out));
  if (parallel) add(needed, out);
  add(needed, mlp_out);
}

}  // namespace engine
