#include <engine/model/bidirectional_attention.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model/math.hpp>
#include <engine/model/mlp.hpp>
#include <engine/model/product.hpp>
#include <engine/model/relative_positions.hpp>
#include <engine/model/rows.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace engine {

using precis::activations_view;
using precis::float_matrix;
using precis::matrix_view;
using precis::kernel::product;
using precis::kernel::product_add;

namespace {

/// Replaces the gradients at a norm's output with those at its input.
void through_norm(const norm& n, const float* x, float epsilon, activations_view<float> dx, norm* gradient,
                  std::vector<float>& row) noexcept {
  const std::size_t width = dx.features;
  for (std::size_t r = 0; r < dx.rows(); ++r) {
    float* const d = dx.data + r * width;
    std::copy_n(d, width, row.data());
    std::fill_n(d, width, 0.f);
    normalize_backward(n, {x + r * width, width}, epsilon, row.data(), d, gradient);
  }
}

}  // namespace

void encoder::head_backward(const text_batch& b, const head_values& h, activations_view<const float> x,
                            activations_view<float> dx, engine::weights* gradient) const {
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  float_matrix d_logits = h.logits, d_pooled(b.sequences, weights_.config.width);
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const std::span<float> row = d_logits.row(s);
    const auto shift = static_cast<float>(log_sum_exp(row));
    const bool counts = b.labels[s] != precis::no_target;
    for (float& v : row) v = counts ? exponential(v - shift) : 0.f;
    if (counts) row[static_cast<std::size_t>(b.labels[s])] -= 1.f;
  }
  apply_transposed(weights_.classifier, d_logits.view(), d_pooled.view(), workspace);
  if (gradient != nullptr) add_map_gradient(d_logits.view(), h.pooled.view(), gradient->classifier, workspace);
  for (std::size_t i = 0; i < d_pooled.values.size(); ++i)
    d_pooled.values[i] *= 1.f - h.pooled.values[i] * h.pooled.values[i];
  std::fill_n(dx.data, dx.size(), 0.f);
  apply_transposed(weights_.pooler, d_pooled.view(), first_tokens(dx), workspace);
  if (gradient != nullptr) add_map_gradient(d_pooled.view(), first_tokens(x), gradient->pooler, workspace);
}

void encoder::backward_block(std::size_t layer, const run_state& s, activations_view<float> dx, const values& v,
                             const sink_callback& sink, block* gradient, double* d_by_distance) const {
  const config& c = weights_.config;
  const block& block = weights_.blocks[layer];
  const layer_settings& l = knobs_.layers[layer];
  const layer_matrices& indices = of_layer_[layer];
  const text_batch& b = *s.batch;
  const bool before = knobs_.norms == norm_place::before;
  const std::size_t rows = dx.rows(), query = c.heads * l.head_width, hidden = l.hidden;
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  std::vector<float> row(c.width);
  const auto dense = [&](float* p, std::size_t cols) { return dense_rows(p, rows, cols); };
  const auto by_token = [&](matrix_view<const float> m) {
    return activations_view<const float>{
        m.data, dx.sequences, dx.tokens, m.cols, m.row_stride * stride_of(dx.tokens), m.row_stride};
  };
  const auto hand_over = [&](std::size_t matrix, linear engine::block::* map, matrix_view<const float> x,
                             matrix_view<const float> dy) {
    sink({.matrix = matrix, .input = by_token(x), .output_gradient = by_token(dy)});
    if (gradient != nullptr) add_map_gradient(dy, x, gradient->*map, workspace);
  };
  const auto norm_gradient = [&](norm engine::block::* n) { return gradient == nullptr ? nullptr : &(gradient->*n); };
  const matrix_view<float> stream = dx.as_matrix();
  // With norms before, the gradient at the input of a branch goes through its norm and is added to that of the stream.
  const matrix_view<float> d_in = before ? dense(memory.take(rows * c.width), c.width) : stream;
  const activations_view<float> d_in_rows({d_in.data, rows * c.width}, dx.sequences, dx.tokens, c.width);
  const auto begin_branch = [&] {
    if (before) std::fill_n(d_in.data, rows * c.width, 0.f);
  };
  const auto end_branch = [&](const norm& n, const float* x, norm* g) {
    if (!before) return;
    through_norm(n, x, c.norm_epsilon, d_in_rows, g, row);
    for (std::size_t i = 0; i < rows * c.width; ++i) dx.data[i] += d_in.data[i];
  };

  if (!before) through_norm(block.mlp_norm, v.leaving, c.norm_epsilon, dx, norm_gradient(&block::mlp_norm), row);
  hand_over(indices.down, &block::down, dense(v.active, hidden), stream);
  const matrix_view<float> d_active = dense(memory.take(rows * hidden), hidden);
  apply_transposed(block.down, stream, d_active, workspace);
  const matrix_view<float> d_up = dense(knobs_.gated ? memory.take(rows * hidden) : nullptr, hidden);
  activate_backward(knobs_, c.activation, rows * hidden, {v.raw, v.up, v.active}, d_active.data, d_up.data);
  begin_branch();
  hand_over(indices.up, &block::up, dense(v.mlp_in, c.width), knobs_.gated ? d_up : d_active);
  if (knobs_.gated) {
    hand_over(indices.gate, &block::gate, dense(v.mlp_in, c.width), d_active);
    add_transposed(block.up, d_up, d_in, workspace);
    add_transposed(block.gate, d_active, d_in, workspace);
  } else {
    add_transposed(block.up, d_active, d_in, workspace);
  }
  end_branch(block.mlp_norm, v.attended, norm_gradient(&block::mlp_norm));

  if (!before)
    through_norm(block.attention_norm, v.attended, c.norm_epsilon, dx, norm_gradient(&block::attention_norm), row);
  hand_over(indices.attention_out, &block::attention_out, dense(v.context, query), stream);
  const matrix_view<float> d_context = dense(memory.take(rows * query), query);
  apply_transposed(block.attention_out, stream, d_context, workspace);
  const matrix_view<float> d_qkv = dense(memory.take(rows * 3 * query), 3 * query);
  float* const scratch = memory.take(2 * bidirectional_attention_scratch(b.tokens));
  for (std::size_t i = 0; i < b.sequences; ++i) {
    float* const d_first = d_qkv.data + i * b.tokens * 3 * query;
    const std::ptrdiff_t stride = stride_of(3 * query);
    attend_backward(attention_of(s, layer, i, v.qkv), {d_context.data + i * b.tokens * query, stride_of(query)},
                    {d_first, stride}, {d_first + query, stride}, {d_first + 2 * query, stride}, scratch, workspace,
                    d_by_distance);
  }
  if (l.rope != no_rope)
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < 2; ++i)
        s.ropes[l.rope]->rotate_back(d_qkv.data + (3 * r + i) * query, c.heads, r % b.tokens);
  begin_branch();
  linear engine::block::* const maps[] = {&block::query, &block::key, &block::value};
  const std::size_t of_map[] = {indices.query, indices.key, indices.value};
  for (std::size_t i = 3; i-- > 0;) {
    const matrix_view<float> d = d_qkv.col_range(i * query, query);
    hand_over(of_map[i], maps[i], dense(v.attention_in, c.width), d);
    add_transposed((block.*maps[i]), d, d_in, workspace);
  }
  if (before && !l.attention_norm)
    for (std::size_t i = 0; i < rows * c.width; ++i) dx.data[i] += d_in.data[i];
  else
    end_branch(block.attention_norm, v.entering, norm_gradient(&block::attention_norm));
}

template<class Head>
void encoder::backward_with(const text_batch& b, const sink_callback& sink, engine::weights* gradient,
                            Head&& head) const {
  const config& c = weights_.config;
  if (gradient != nullptr && (gradient->config != c || gradient->blocks.size() != c.layers))
    precis::refuse({.what = "a gradient of another shape", .where = "encoder", .expected = "zeros(shape())"});

  scratch_arena memory;
  const std::size_t rows = b.sequences * b.tokens, size = rows * c.width;
  const activations_view<float> x({memory.take(size), size}, b.sequences, b.tokens, c.width);
  const activations_view<float> dx({memory.take(size), size}, b.sequences, b.tokens, c.width);
  float *const embedded = memory.take(size), *const last = memory.take(size);
  std::vector<values> kept;
  for (std::size_t l = 0; l < c.layers; ++l) kept.push_back(allocate(rows, l, memory));
  const run_state state = start(b, nullptr, nullptr);
  run(state, x, embedded, kept, last);

  head(activations_view<const float>(x), dx);
  std::vector<float> row(c.width);
  if (knobs_.final_norm)
    through_norm(weights_.final_norm, last, c.norm_epsilon, dx, gradient == nullptr ? nullptr : &gradient->final_norm,
                 row);
  std::vector<double> d_by_distance(gradient == nullptr ? 0 : state.by_distance.size());
  for (std::size_t l = c.layers; l-- > 0;)
    backward_block(l, state, dx, kept[l], sink, gradient == nullptr ? nullptr : &gradient->blocks[l],
                   d_by_distance.empty() ? nullptr : d_by_distance.data());
  if (gradient == nullptr) return;

  if (!d_by_distance.empty())
    add_by_distance(knobs_.relative_bias, d_by_distance, c.heads, b.tokens, gradient->relative_bias);
  if (!weights_.embedding_norm.scale.empty())
    through_norm(weights_.embedding_norm, embedded, c.norm_epsilon, dx, &gradient->embedding_norm, row);
  const auto add = [&](auto& table, std::size_t to, std::span<const float> from) {
    for (std::size_t f = 0; f < c.width; ++f) table[to * c.width + f] += from[f];
  };
  const std::vector<std::size_t> positions = positions_of(b);
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.length(s); ++t) {
      const std::size_t i = s * b.tokens + t;
      add(gradient->token_embedding, static_cast<std::size_t>(b.ids[i]), dx(s, t));
      if (!gradient->position_embedding.empty()) add(gradient->position_embedding, positions[i], dx(s, t));
      if (!gradient->type_embedding.empty())
        add(gradient->type_embedding, b.types.empty() ? 0 : static_cast<std::size_t>(b.types[i]), dx(s, t));
    }
}

void encoder::pooling_backward(const text_batch& b, activations_view<const float> x, const float_matrix& d_embeddings,
                               activations_view<float> dx) const {
  const std::size_t width = weights_.config.width;
  std::fill_n(dx.data, dx.size(), 0.f);
  for (std::size_t s = 0; s < b.sequences; ++s)
    pool_backward(sentence_, dense_rows(x.data + s * b.tokens * width, b.length(s), width), d_embeddings.row(s),
                  dense_rows(dx.data + s * b.tokens * width, b.length(s), width));
}

void encoder::backward_from_embeddings(const text_batch& b, const float_matrix& d_embeddings, const sink_callback& sink,
                                       engine::weights* gradient) const {
  check_batch(b, false);
  if (classifies() || d_embeddings.rows != b.sequences || d_embeddings.cols != weights_.config.width)
    precis::refuse({.what = "gradients of " + std::to_string(d_embeddings.rows) + " embeddings of width " +
                            std::to_string(d_embeddings.cols),
                    .where = "encoder",
                    .expected = "one per sequence of a sentence encoder"});
  backward_with(b, sink, gradient, [&](activations_view<const float> x, activations_view<float> dx) {
    pooling_backward(b, x, d_embeddings, dx);
  });
}

precis::nll encoder::backward_of(const text_batch& b, const sink_callback& sink, engine::weights* gradient) const {
  check_batch(b, true);
  precis::nll total;
  backward_with(b, sink, gradient, [&](activations_view<const float> x, activations_view<float> dx) {
    if (classifies()) {
      const head_values h = read(x);
      head_backward(b, h, x, dx, gradient);
      total = loss_of_labels(b, h.logits);
      return;
    }
    const std::size_t width = weights_.config.width;
    float_matrix embeddings(b.sequences, width), d(b.sequences, width);
    for (std::size_t s = 0; s < b.sequences; ++s) {
      pool(sentence_, dense_rows(x.data + s * b.tokens * width, b.length(s), width), embeddings.row(s));
      cosine_distance_gradient(embeddings.row(s), std::span(b.references).subspan(s * width, width), d.row(s));
    }
    pooling_backward(b, x, d, dx);
    total = distance_of(b, embeddings);
  });
  return total;
}

}  // namespace engine
