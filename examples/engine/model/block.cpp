#include <engine/model/block.hpp>

#include <engine/model/family.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/rows.hpp>

#include <algorithm>
#include <cmath>

namespace engine {
namespace {

using precis::activations_view;
using precis::matrix_view;

/// Rows processed at a time, so that the values between two maps stay in the L2 cache.
constexpr std::size_t chunk_rows = 512;

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

void scale(float* x, std::size_t count, float by) noexcept {
  if (by == 1) return;
  for (std::size_t i = 0; i < count; ++i) x[i] *= by;
}

/// The input of a sub-layer: the rows of the residual, normalized unless only outputs are.
void enter_half(const block_run& run, const norm& n, activations_view<const float> x, float* to) noexcept {
  if (!run.normalizes_before()) {
    copy_rows(x, to);
    return;
  }
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t, to += x.features) normalize(n, x(s, t), run.shape.norm_epsilon, to);
}

/// The output of a sub-layer as it is added to the residual: normalized, and scaled.
void leave_half(const block_run& run, const norm& n, float* out, std::size_t rows, float* made, float by) noexcept {
  const std::size_t width = run.shape.width;
  if (run.normalizes_branch()) {
    if (made != nullptr) std::copy_n(out, rows * width, made);
    for (std::size_t r = 0; r < rows; ++r)
      normalize(n, {out + r * width, width}, run.shape.norm_epsilon, out + r * width);
  }
  scale(out, rows * width, by);
}

/// Normalizes the residual after a sum; `before` receives it as it was.
void normalize_sum(const block_run& run, const norm& n, activations_view<float> x, float* before) noexcept {
  if (run.knobs.norms != norm_place::after_sum) return;
  if (before != nullptr) copy_rows(x, before);
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t) normalize(n, x(s, t), run.shape.norm_epsilon, x(s, t).data());
}

/// Computes the output of the mixing sub-layer, attention or recurrence or both, for the sequences of `x`.
void attention_half(const block_run& run, activations_view<float> stream, const block_values& v, float* out,
                    float* scratch, std::span<float> workspace) {
  const activations_view<float> x = run.stream.residual(stream);
  const knobs& k = run.knobs;
  const std::size_t rows = x.sequences * (run.last_only ? 1 : x.tokens), made = rows * run.shape.width;
  enter_half(run, run.block.attention_norm, x, v.normed);
  if (run.recurs()) {
    if (v.recurrent.normed != v.normed) std::copy_n(v.normed, x.rows() * run.shape.width, v.recurrent.normed);
    scale(v.recurrent.normed, x.rows() * run.shape.width, k.mixer_in_scale);
  }
  if (run.attends()) {
    scale(v.normed, x.rows() * run.shape.width, k.attention_in_scale);
    run_attention(run, stream, v, out, scratch, workspace);
    scale(out, made, k.attention_out_scale);
  }
  if (run.recurs()) {
    float* const to = run.attends() ? v.recurrent.out : out;
    run_recurrent(run, x.sequences, x.tokens, v, to, workspace);
    scale(to, made, k.mixer_out_scale);
    for (std::size_t i = 0; to != out && i < made; ++i) out[i] += to[i];
  }
  leave_half(run, run.block.attention_post_norm, out, rows, v.attention_made, k.residual_scale);
}

/// Computes the MLP sub-layer's output for the rows of `x`, whose sequences begin at `position`.
void mlp_half(const block_run& run, activations_view<const float> x, std::size_t position, block_values& v, float* out,
              std::span<float> workspace) {
  const config& c = run.shape;
  const block& b = run.block;
  const std::size_t n = x.rows();
  const matrix_view<const float> normed = dense_rows<const float>(v.mlp_normed, n, c.width);
  enter_half(run, run.knobs.shared_norm ? b.attention_norm : b.mlp_norm, x, v.mlp_normed);
  if (run.settings().experts)
    run_experts(c, run.knobs, b, normed, v.experts, dense_rows(out, n, c.width), workspace);
  else
    run_mlp(run.knobs, c.activation, {run.knobs.gated ? &b.gate : nullptr, &b.up, &b.down}, normed, v.mlp,
            dense_rows(out, n, c.width), {position, x.tokens}, workspace);
  leave_half(run, b.mlp_post_norm, out, n, v.mlp_made, run.knobs.residual_scale);
}

/// Adds what a layer makes of its own input of each token, and multiplies by the layer's number.
void layer_input_part(const block_run& run, activations_view<float> stream, const block_values* keep,
                      scratch_arena& memory, std::span<float> workspace) {
  const std::size_t inside = run.knobs.layer_input_width, n = stream.rows(), width = run.shape.width;
  const block& b = run.block;
  const activations_view<float> x = run.stream.residual(stream);
  if (inside != 0) {
    float* const left = keep != nullptr ? keep->left : memory.take(n * width);
    float* const raw = keep != nullptr ? keep->layer_raw : memory.take(n * inside);
    float* const active = keep != nullptr ? keep->layer_active : memory.take(n * inside);
    float* const made = keep != nullptr ? keep->layer_made : memory.take(n * width);
    copy_rows(x, left);
    apply(b.layer_gate, dense_rows<const float>(left, n, width), dense_rows(raw, n, inside), {}, workspace);
    with_activation(run.shape.activation, [&]<class F>(F) {
      for_each_lane([]<class L>(L, auto v) { return F::template value<L>(v); }, n * inside, active, raw);
    });
    for (std::size_t r = 0; r < n; ++r) {
      const float* const own = stream(r / x.tokens, r % x.tokens).data() + run.stream.layer_inputs + run.layer * inside;
      for (std::size_t i = 0; i < inside; ++i) active[r * inside + i] *= own[i];
    }
    apply(b.layer_projection, dense_rows<const float>(active, n, inside), dense_rows(made, n, width), {}, workspace);
    float* const row = memory.take(width);
    for (std::size_t r = 0; r < n; ++r) {
      normalize(b.layer_post_norm, {made + r * width, width}, run.shape.norm_epsilon, row);
      float* const to = x(r / x.tokens, r % x.tokens).data();
      for (std::size_t f = 0; f < width; ++f) to[f] += row[f];
    }
  }
  if (!run.knobs.layer_scalars) return;
  if (keep != nullptr) copy_rows(x, keep->unscaled);
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t)
      for (float& f : x(s, t)) f *= b.layer_scalar.front();
}

/// Copies the keys and values of a chunk to the destination of the run.
void keep_keys_values(const block_run& run, const block_values& v, std::size_t first_row, std::size_t rows) noexcept {
  if (!run.has_own_keys()) return;
  const std::size_t kv = run.kv_width(), w = run.qkv_width();
  for (std::size_t r = 0; r < rows; ++r) {
    const float* const key = v.qkv + r * w + run.query_width();
    std::copy_n(key, kv, run.keep_keys + (first_row + r) * kv);
    std::copy_n(key + kv, kv, run.keep_values + (first_row + r) * kv);
  }
}

}  // namespace

stream_layout::stream_layout(const config& c, const knobs& k)
    : width(c.width), layer_inputs(c.width), total(c.width + c.layers * k.layer_input_width), keys(c.layers) {
  for (const layer_settings& l : k.layers)
    if (l.kv_source != own_keys && keys[l.kv_source] == 0) {
      keys[l.kv_source] = total;
      total += 2 * l.kv_heads * l.head_width;
    }
}

std::size_t layer_matrices::of(linear block::* map) const noexcept {
  const auto at = std::ranges::find(maps, map, [](const auto& m) { return m.first; });
  return at == maps.end() ? none : at->second;
}

std::size_t layer_matrices::of(linear expert::* map, std::size_t expert) const noexcept {
  const auto at = std::ranges::find(of_first_expert, map, [](const auto& m) { return m.first; });
  return at == of_first_expert.end() ? none : at->second + expert * per_expert;
}

std::vector<layer_matrices> layer_matrices_of(const config& c, const knobs& k) {
  std::vector<layer_matrices> all(c.layers);
  for (std::size_t m = 0; const place& p : matrix_places_of(c, k)) {
    layer_matrices& of = all[p.layer];
    if (p.slot->map != nullptr)
      of.maps.emplace_back(p.slot->map, m);
    else if (p.expert == 0)
      of.of_first_expert.emplace_back(p.slot->of_expert, m);
    of.per_expert = of.of_first_expert.size();
    ++m;
  }
  return all;
}

std::span<float> product_workspace(scratch_arena& memory) {
  return {memory.take(precis::kernel::product_workspace), precis::kernel::product_workspace};
}

block_values allocate_values(const block_run& run, std::size_t rows, bool for_backward, scratch_arena& memory) {
  const config& c = run.shape;
  const knobs& k = run.knobs;
  const layer_settings& l = run.settings();
  const std::size_t q = run.query_width(), inside = k.layer_input_width;
  const mixer_sizes recurrent = mixer_sizes_of(c, k, l.mixer);
  const auto take = [&](bool wanted, std::size_t cols) { return wanted ? memory.take(rows * cols) : nullptr; };
  block_values v;
  v.normed = take(true, c.width);
  v.qkv = take(true, run.qkv_width());
  v.gated_query = take(k.output_gate, 2 * q);
  v.gate = take(k.output_gate, q);
  v.context = take(true, q);
  if (run.recurs()) {
    v.recurrent.normed = run.attends() ? memory.take(rows * c.width) : v.normed;
    v.recurrent.projected = take(true, recurrent.projected);
    v.recurrent.mixed = take(true, recurrent.inner);
    v.recurrent.out = take(run.attends(), c.width);
  }
  if (l.experts) {
    v.experts = allocate_experts(c, k, rows, memory);
  } else {
    v.mlp.raw = take(true, l.hidden);
    v.mlp.up = take(k.gated, l.hidden);
    v.mlp.active = for_backward ? memory.take(rows * l.hidden) : v.mlp.raw;
  }
  v.mlp_normed = for_backward ? memory.take(rows * c.width) : v.normed;
  if (!for_backward) return v;
  const bool changed = k.query_key_norm != head_norm::none || k.value_norm || k.qkv_clip != 0;
  v.entering = take(true, c.width);
  v.middle = take(true, c.width);
  v.raw_qkv = take(changed, run.qkv_width());
  v.ungated = take(k.output_gate, q);
  v.attention_made = take(run.normalizes_branch(), c.width);
  v.mlp_made = take(run.normalizes_branch(), c.width);
  v.attention_sum = take(k.norms == norm_place::after_sum, c.width);
  v.mlp_sum = take(k.norms == norm_place::after_sum, c.width);
  v.left = take(inside != 0, c.width);
  v.layer_raw = take(inside != 0, inside);
  v.layer_active = take(inside != 0, inside);
  v.layer_made = take(inside != 0, c.width);
  v.unscaled = take(k.layer_scalars, c.width);
  return v;
}

void run_block(const block_run& run, activations_view<float> stream, const tap_callback* tap, block_values* keep,
               scratch_arena& memory) {
  const config& c = run.shape;
  const std::size_t sequences = stream.sequences, tokens = stream.tokens, queries = run.last_only ? 1 : tokens;
  const std::size_t chunk =
      keep != nullptr ? sequences : std::min(sequences, std::max<std::size_t>(1, chunk_rows / tokens));
  const std::span<float> workspace = product_workspace(memory);
  float* const scratch = memory.take(attention_scratch(run.first_token + tokens, queries));
  float* const out = memory.take(sequences * queries * c.width);
  block_values own;
  if (keep == nullptr) own = allocate_values(run, chunk * tokens, false, memory);
  block_values& values = keep != nullptr ? *keep : own;
  const bool parallel = run.knobs.parallel;
  float* const mlp_out = parallel ? memory.take(sequences * queries * c.width) : out;
  const auto whole = [&](float* p) {
    return activations_view<float>({p, sequences * queries * c.width}, sequences, queries, c.width);
  };

  const activations_view<float> residual = run.stream.residual(stream);
  if (keep != nullptr) copy_rows(residual, values.entering);
  for (std::size_t s = 0; s < sequences; s += chunk) {
    const std::size_t n = std::min(chunk, sequences - s);
    block_run part = run;
    if (run.first_token > 0) part.sequences = run.sequences.subspan(s, n);
    attention_half(part, stream.sequence_range(s, n), values, out + s * queries * c.width, scratch, workspace);
    if (run.keep_keys != nullptr) keep_keys_values(run, values, s * tokens, n * tokens);
  }
  if (tap != nullptr) (*tap)({precis::site_kind::attention, run.layer}, whole(out));
  const activations_view<float> needed = residual.token_range(tokens - queries, queries);
  if (!parallel) {
    add(needed, out);
    normalize_sum(run, run.block.attention_norm, needed, values.attention_sum);
  }

  if (keep != nullptr) copy_rows(residual, values.middle);
  const std::size_t mlp_chunk = run.last_only ? std::min(sequences, chunk * tokens) : chunk;
  for (std::size_t s = 0; s < sequences; s += mlp_chunk)
    mlp_half(run, needed.sequence_range(s, std::min(mlp_chunk, sequences - s)), run.first_token + tokens - queries,
             values, mlp_out + s * queries * c.width, workspace);
  if (tap != nullptr) (*tap)({precis::site_kind::mlp, run.layer}, whole(mlp_out));
  if (parallel) add(needed, out);
  add(needed, mlp_out);
  normalize_sum(run, run.block.mlp_norm, needed, values.mlp_sum);
  if (run.knobs.layer_input_width != 0 || run.knobs.layer_scalars)
    layer_input_part(run, stream.token_range(tokens - queries, queries), keep, memory, workspace);
}

void report_inputs(const block_run& run, const layer_matrices& matrices, std::size_t sequences, std::size_t tokens,
                   const block_values& kept, const input_callback& sink) {
  const std::size_t width = run.shape.width;
  const auto report = [&](std::vector<std::size_t> of, const float* values, std::size_t s, std::size_t t,
                          std::size_t features) {
    std::erase(of, layer_matrices::none);
    if (!of.empty() && s * t != 0)
      sink({.matrices = of, .input = {std::span<const float>(values, s * t * features), s, t, features}});
  };
  const auto at = [&](linear block::* map) { return matrices.of(map); };
  const bool shared = run.knobs.shared_norm;
  std::vector<std::size_t> into_attention{at(&block::qkv), at(&block::query), at(&block::key), at(&block::value)};
  if (shared) into_attention.insert(into_attention.end(), {at(&block::up), at(&block::gate)});
  report(into_attention, kept.normed, sequences, tokens, width);
  report({at(&block::attention_out)}, kept.context, sequences, tokens, run.query_width());
  std::vector<std::size_t> into_mixer;
  for (linear block::* const map : mixer_maps_of(run.settings().mixer)) into_mixer.push_back(at(map));
  report(into_mixer, kept.recurrent.normed, sequences, tokens, width);
  report({at(&block::mixer_out)}, kept.recurrent.mixed, sequences, tokens,
         mixer_sizes_of(run.shape, run.knobs, run.settings().mixer).inner);
  std::vector<std::size_t> into_mlp{at(&block::shared_gate), at(&block::shared_up), at(&block::shared_scale),
                                    at(&block::router)};
  if (!shared) into_mlp.insert(into_mlp.begin(), {at(&block::gate), at(&block::up)});
  std::ranges::sort(into_mlp);
  report(into_mlp, kept.mlp_normed, sequences, tokens, width);
  report({at(&block::down)}, kept.mlp.active, sequences, tokens, run.settings().hidden);
  if (run.settings().experts) {
    const expert_values& v = kept.experts;
    const std::size_t hidden = run.knobs.mixture.hidden;
    for (std::size_t e = 0; e + 1 < v.first.size(); ++e) {
      const std::size_t first = v.first[e], count = v.first[e + 1] - first;
      report({matrices.of(&expert::gate, e), matrices.of(&expert::up, e)}, v.gathered + first * width, 1, count, width);
      report({matrices.of(&expert::down, e)}, v.inside.active + first * hidden, 1, count, hidden);
    }
    report({at(&block::shared_down)}, v.shared.active, sequences, tokens, run.knobs.mixture.shared_hidden);
  }
  report({at(&block::layer_gate)}, kept.left, sequences, tokens, width);
  report({at(&block::layer_projection)}, kept.layer_active, sequences, tokens, run.knobs.layer_input_width);
}

}  // namespace engine
