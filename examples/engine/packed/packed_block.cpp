#include <engine/packed/packed_transformer.hpp>

#include <engine/model/attention.hpp>
#include <engine/model/math.hpp>
#include <engine/packed/row_operations.hpp>

#include <algorithm>
#include <utility>

// One block of a packed transformer.

namespace engine {

using namespace packed_rows;
using precis::matrix_view;

void packed_transformer::run_attention(sequence& s, const block_run& run, matrix_view<float> normed,
                                       matrix_view<float> out) const {
  const config& c = shape();
  const packed_block& b = weights_.blocks[run.layer];
  const layer_settings& l = run.settings();
  const std::size_t tokens = normed.rows, q = run.query_width(), kv = run.kv_width(), end = s.tokens_ + tokens;
  thread_team& threads = *s.threads_;
  scratch_arena memory;

  input_rows attention_input(normed, activations_, memory);
  const matrix_view<float> qkv = take_rows(memory, tokens, run.qkv_width()), query = qkv.col_range(0, q);
  matrix_view<float> gate;
  if (knobs_.fused) {
    apply(b, &block::qkv, attention_input, qkv, threads);
  } else {
    if (knobs_.output_gate) {
      const matrix_view<float> both = take_rows(memory, tokens, 2 * q);
      gate = take_rows(memory, tokens, q);
      apply(b, &block::query, attention_input, both, threads);
      for (std::size_t n = 0; n < tokens; ++n)
        split_gate(run, both.row(n).data(), query.row(n).data(), gate.row(n).data());
    } else {
      apply(b, &block::query, attention_input, query, threads);
    }
    if (run.has_own_keys()) {
      apply(b, &block::key, attention_input, qkv.col_range(q, kv), threads);
      const matrix_view<float> key = qkv.col_range(q, kv), value = qkv.col_range(q + kv, kv);
      if (l.value_is_key)
        for (std::size_t n = 0; n < tokens; ++n) std::ranges::copy(key.row(n), value.row(n).begin());
      else
        apply(b, &block::value, attention_input, value, threads);
    }
  }
  const std::size_t source = run.has_own_keys() ? run.layer : l.kv_source;
  float *const keys = s.keys_[source].data(), *const values = s.values_[source].data();
  for (std::size_t n = 0; n < tokens; ++n) {
    const std::size_t position = s.tokens_ + n;
    if (finishes_rows(run)) finish_row(run, qkv.row(n).data(), position, true);
    if (!run.has_own_keys()) continue;
    std::ranges::copy(qkv.row(n).subspan(q, kv), keys + position * kv);
    std::ranges::copy(qkv.row(n).subspan(q + kv, kv), values + position * kv);
  }

  // Attention to this and earlier tokens.
  const matrix_view<float> context = take_rows(memory, tokens, q);
  attend({.shape = {c.heads, l.kv_heads, l.head_width},
          .earlier = 0,
          .positions = end,
          .queries = tokens,
          .query = {query.data, query.row_stride},
          .cached_key = {},
          .cached_value = {},
          .key = {keys, stride_of(kv)},
          .value = {values, stride_of(kv)},
          .scale = knobs_.attention_scale,
          .cap = knobs_.score_cap,
          .window = l.window,
          .sinks = knobs_.sinks ? b.rest.sinks.data() : nullptr},
         {context.data, context.row_stride}, memory.take(attention_scratch(end, tokens)), product_workspace(memory));
  for (std::size_t i = 0; knobs_.output_gate && i < tokens * q; ++i)
    context.data[i] *= logistic<scalar_lanes>(gate.data[i]);
  input_rows attention_output(context, activations_, memory);
  apply(b, &block::attention_out, attention_output, out, threads);
}

void packed_transformer::run_recurrent(sequence& s, const block_run& run, matrix_view<float> normed,
                                       matrix_view<float> out) const {
  const packed_block& b = weights_.blocks[run.layer];
  const mixer m = run.settings().mixer;
  const mixer_sizes sizes = mixer_sizes_of(shape(), knobs_, m);
  const std::size_t tokens = normed.rows;
  scratch_arena memory;
  input_rows entering(normed, activations_, memory);
  const matrix_view<float> projected = take_rows(memory, tokens, sizes.projected),
                           mixed = take_rows(memory, tokens, sizes.inner);
  std::size_t column = 0;
  for (linear block::* const map : mixer_maps_of(m)) {
    const std::size_t made = b.of(map).out();
    apply(b, map, entering, projected.col_range(column, made), *s.threads_);
    column += made;
  }
  mix(shape(), knobs_, m, mixer_parameters_of(b.rest), projected, s.states_[run.layer], mixed);
  input_rows leaving(mixed, activations_, memory);
  apply(b, &block::mixer_out, leaving, out, *s.threads_);
}

void packed_transformer::run_mlp(sequence& s, const block_run& run, matrix_view<float> normed,
                                 matrix_view<float> out) const {
  const packed_block& b = weights_.blocks[run.layer];
  const std::size_t tokens = normed.rows, inside = run.settings().hidden;
  scratch_arena memory;
  input_rows mlp_input(normed, activations_, memory);
  const matrix_view<float> hidden = take_rows(memory, tokens, inside);
  mlp_values v{hidden.data, nullptr, hidden.data};
  if (knobs_.gated) {
    const matrix_view<float> raised = take_rows(memory, tokens, inside);
    apply(b, &block::up, mlp_input, raised, *s.threads_);
    v.up = raised.data;
  }
  apply(b, knobs_.gated ? &block::gate : &block::up, mlp_input, hidden, *s.threads_);
  activate(knobs_, shape().activation, tokens * inside, v);
  input_rows active(hidden, activations_, memory);
  apply(b, &block::down, active, out, *s.threads_);
  scale(out, knobs_.down_scale);
}

void packed_transformer::run_experts(sequence& s, const block_run& run, matrix_view<float> normed,
                                     matrix_view<float> out) const {
  const packed_block& b = weights_.blocks[run.layer];
  const mixture& m = knobs_.mixture;
  const std::size_t tokens = normed.rows, width = shape().width;
  thread_team& threads = *s.threads_;
  scratch_arena memory;
  const auto run_one = [&](const stored_matrix& gate, const stored_matrix& up, const stored_matrix& down,
                           const expert& biases, input_rows& x, matrix_view<float> to) {
    scratch_arena inner;
    const matrix_view<float> hidden = take_rows(inner, x.size(), up.out());
    mlp_values v{hidden.data, nullptr, hidden.data};
    if (knobs_.gated) {
      const matrix_view<float> raised = take_rows(inner, x.size(), up.out());
      apply(up, biases.up.bias, x, raised, threads);
      v.up = raised.data;
    }
    apply(knobs_.gated ? gate : up, knobs_.gated ? biases.gate.bias : biases.up.bias, x, hidden, threads);
    activate(knobs_, shape().activation, hidden.size(), v);
    input_rows active(hidden, activations_, inner);
    apply(down, biases.down.bias, active, to, threads);
    scale(to, knobs_.down_scale);
  };

  input_rows into_router(normed, activation_type::float32, memory);
  expert_values v;
  const matrix_view<float> logits = take_rows(memory, tokens, m.router.experts);
  v.logits = logits.data;
  apply(b, &block::router, into_router, logits, threads);
  sort_by_expert(knobs_, b.rest.router_correction, tokens, v);
  for (std::size_t n = 0; n < tokens; ++n) std::ranges::fill(out.row(n), 0.f);
  for (std::size_t e = 0; e < m.router.experts; ++e) {
    const std::size_t first = v.first[e], count = v.first[e + 1] - first;
    if (count == 0) continue;
    scratch_arena inner;
    const matrix_view<float> gathered = take_rows(inner, count, width), made = take_rows(inner, count, width);
    for (std::size_t i = 0; i < count; ++i) std::ranges::copy(normed.row(v.row[first + i]), gathered.row(i).begin());
    input_rows x(gathered, activations_, inner);
    const packed_block::packed_expert& of = b.experts[e];
    run_one(of.gate, of.up, of.down, b.rest.experts[e], x, made);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t row = v.row[first + i];
      const float weight = v.made.weights_of(row)[v.choice[first + i]];
      for (std::size_t f = 0; f < width; ++f) out(row, f) = std::fma(weight, made(i, f), out(row, f));
    }
  }
  if (m.shared_hidden == 0) return;
  input_rows x(normed, activations_, memory);
  const matrix_view<float> made = take_rows(memory, tokens, width);
  static const stored_matrix none;
  run_one(knobs_.gated ? b.of(&block::shared_gate) : none, b.of(&block::shared_up), b.of(&block::shared_down), {}, x,
          made);
  const matrix_view<float> scales = take_rows(memory, tokens, 1);
  if (m.shared_gate) apply(b, &block::shared_scale, into_router, scales, threads);
  for (std::size_t n = 0; n < tokens; ++n) {
    const float by = m.shared_gate ? logistic<scalar_lanes>(scales(n, 0)) : 1.f;
    for (std::size_t f = 0; f < width; ++f) out(n, f) = std::fma(by, made(n, f), out(n, f));
  }
}

void packed_transformer::add_layer_input(sequence& s, const block_run& run, matrix_view<float> x) const {
  const packed_block& b = weights_.blocks[run.layer];
  const std::size_t inside = knobs_.layer_input_width, tokens = x.rows, width = shape().width;
  scratch_arena memory;
  if (inside != 0) {
    const matrix_view<float> left = take_rows(memory, tokens, width), active = take_rows(memory, tokens, inside);
    for (std::size_t n = 0; n < tokens; ++n) std::ranges::copy(x.row(n).first(width), left.row(n).begin());
    input_rows entering(left, activations_, memory);
    apply(b, &block::layer_gate, entering, active, *s.threads_);
    with_activation(shape().activation, [&]<class F>(F) {
      for_each_lane([]<class L>(L, auto v) { return F::template value<L>(v); }, active.size(), active.data,
                    active.data);
    });
    for (std::size_t n = 0; n < tokens; ++n)
      for (std::size_t i = 0; i < inside; ++i) active(n, i) *= x(n, stream_.layer_inputs + run.layer * inside + i);
    input_rows made_of(active, activations_, memory);
    const matrix_view<float> made = take_rows(memory, tokens, width);
    apply(b, &block::layer_projection, made_of, made, *s.threads_);
    normalize_rows(b.rest.layer_post_norm, made, shape().norm_epsilon, made);
    add(x, made);
  }
  if (knobs_.layer_scalars)
    for (std::size_t n = 0; n < tokens; ++n)
      for (float& f : x.row(n).first(width)) f *= b.rest.layer_scalar.front();
}

void packed_transformer::run_block(sequence& s, const block_run& run, matrix_view<float> x) const {
  const config& c = shape();
  const knobs& k = knobs_;
  const block& rest = run.block;
  const std::size_t tokens = x.rows, width = c.width;
  scratch_arena memory;
  const matrix_view<float> normed = take_rows(memory, tokens, width), out = take_rows(memory, tokens, width);
  const auto enter = [&](const norm& n, matrix_view<float> to) {
    if (run.normalizes_before()) return normalize_rows(n, x, c.norm_epsilon, to);
    for (std::size_t r = 0; r < tokens; ++r) std::ranges::copy(x.row(r).first(width), to.row(r).begin());
  };
  const auto leave = [&](const norm& n, float by) {
    if (run.normalizes_branch()) normalize_rows(n, out, c.norm_epsilon, out);
    scale(out, by);
  };
  const auto after_sum = [&](const norm& n) {
    if (k.norms == norm_place::after_sum) normalize_rows(n, x, c.norm_epsilon, x.col_range(0, width));
  };

  enter(rest.attention_norm, normed);
  const matrix_view<float> mlp_normed = k.parallel ? take_rows(memory, tokens, width) : normed;
  if (k.parallel) enter(k.shared_norm ? rest.attention_norm : rest.mlp_norm, mlp_normed);
  const bool both = run.attends() && run.recurs();
  const matrix_view<float> recurrent_in = both ? take_rows(memory, tokens, width) : normed;
  const matrix_view<float> recurrent_out = both ? take_rows(memory, tokens, width) : out;
  for (std::size_t n = 0; both && n < tokens; ++n) std::ranges::copy(normed.row(n), recurrent_in.row(n).begin());
  if (run.attends()) {
    scale(normed, k.attention_in_scale);
    run_attention(s, run, normed, out);
    scale(out, k.attention_out_scale);
  }
  if (run.recurs()) {
    scale(recurrent_in, k.mixer_in_scale);
    run_recurrent(s, run, recurrent_in, recurrent_out);
    scale(recurrent_out, k.mixer_out_scale);
    if (both) add(out, recurrent_out);
  }
  leave(rest.attention_post_norm, k.residual_scale);
  add(x, out);
  if (!k.parallel) {
    after_sum(rest.attention_norm);
    enter(rest.mlp_norm, mlp_normed);
  }
  if (run.settings().experts)
    run_experts(s, run, mlp_normed, out);
  else
    run_mlp(s, run, mlp_normed, out);
  leave(rest.mlp_post_norm, k.residual_scale);
  add(x, out);
  after_sum(rest.mlp_norm);
  if (k.layer_input_width != 0 || k.layer_scalars) add_layer_input(s, run, x);
}

}  // namespace engine
