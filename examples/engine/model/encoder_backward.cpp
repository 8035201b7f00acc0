#include <engine/model/bidirectional_attention.hpp>
#include <engine/model/encoder.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
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
  product(d_logits.view(), weights_.classifier.view(), d_pooled.view(), workspace);
  if (gradient != nullptr) add_map_gradient(d_logits.view(), h.pooled.view(), gradient->classifier, workspace);
  for (std::size_t i = 0; i < d_pooled.values.size(); ++i)
    d_pooled.values[i] *= 1.f - h.pooled.values[i] * h.pooled.values[i];
  std::fill_n(dx.data, dx.size(), 0.f);
  product(d_pooled.view(), weights_.pooler.view(), first_tokens(dx), workspace);
  if (gradient != nullptr) add_map_gradient(d_pooled.view(), first_tokens(x), gradient->pooler, workspace);
}

void encoder::backward_block(std::size_t layer, const text_batch& b, activations_view<float> dx, const values& v,
                             const sink_callback& sink, block* gradient) const {
  const config& c = weights_.config;
  const block& block = weights_.blocks[layer];
  const std::size_t rows = dx.rows(), w = 3 * c.width, per_block = matrices_.size() / c.layers;
  const auto stride = static_cast<std::ptrdiff_t>(w);
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  std::vector<float> row(c.width);
  const auto dense = [&](float* p, std::size_t cols) { return matrix_view<float>({p, rows * cols}, rows, cols); };
  const auto by_token = [&](matrix_view<const float> m) {
    return activations_view<const float>{
        m.data, dx.sequences, dx.tokens, m.cols, m.row_stride * static_cast<std::ptrdiff_t>(dx.tokens), m.row_stride};
  };
  /// Matrices in the order of families/bert.cpp: query, key, value, attention_out, up, down.
  const auto hand_over = [&](std::size_t matrix, linear engine::block::* map, matrix_view<const float> x,
                             matrix_view<const float> dy) {
    sink({.matrix = layer * per_block + matrix, .input = by_token(x), .output_gradient = by_token(dy)});
    if (gradient != nullptr) add_map_gradient(dy, x, gradient->*map, workspace);
  };
  const matrix_view<float> stream = dx.as_matrix();

  through_norm(block.mlp_norm, v.leaving, c.norm_epsilon, dx, gradient == nullptr ? nullptr : &gradient->mlp_norm, row);
  hand_over(5, &block::down, dense(v.active, c.hidden), stream);
  const matrix_view<float> d_active = dense(memory.take(rows * c.hidden), c.hidden);
  product(stream, block.down.view(), d_active, workspace);
  with_activation(c.activation, [&]<class F>(F) {
    for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template slope<L>(x)); }, rows * c.hidden,
                  d_active.data, v.raw, d_active.data);
  });
  hand_over(4, &block::up, dense(v.middle, c.width), d_active);
  product_add(d_active, block.up.view(), stream, workspace);

  through_norm(block.attention_norm, v.attended, c.norm_epsilon, dx,
               gradient == nullptr ? nullptr : &gradient->attention_norm, row);
  hand_over(3, &block::attention_out, dense(v.context, c.width), stream);
  const matrix_view<float> d_context = dense(memory.take(rows * c.width), c.width);
  product(stream, block.attention_out.view(), d_context, workspace);
  const matrix_view<float> d_qkv = dense(memory.take(rows * w), w);
  float* const scratch = memory.take(2 * bidirectional_attention_scratch(b.tokens));
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const float* const first = v.qkv + s * b.tokens * w;
    float* const d_first = d_qkv.data + s * b.tokens * w;
    attend_backward(bidirectional_attention_run{.shape = {c.heads, c.heads, c.head_width()},
                                                .queries = b.tokens,
                                                .length = b.length(s),
                                                .query = {first, stride},
                                                .key = {first + c.width, stride},
                                                .value = {first + 2 * c.width, stride}},
                    {d_context.data + s * b.tokens * c.width, static_cast<std::ptrdiff_t>(c.width)}, {d_first, stride},
                    {d_first + c.width, stride}, {d_first + 2 * c.width, stride}, scratch, workspace);
  }
  linear engine::block::* const maps[] = {&block::query, &block::key, &block::value};
  for (std::size_t i = 3; i-- > 0;) {
    const matrix_view<float> d = d_qkv.col_range(i * c.width, c.width);
    hand_over(i, maps[i], dense(v.entering, c.width), d);
    product_add(d, (block.*maps[i]).view(), stream, workspace);
  }
}

precis::nll encoder::backward_of(const text_batch& b, const sink_callback& sink, engine::weights* gradient) const {
  check_batch(b, true);
  const config& c = weights_.config;
  if (gradient != nullptr && (gradient->config != c || gradient->blocks.size() != c.layers))
    precis::refuse({.what = "a gradient of another shape", .where = "encoder", .expected = "zeros(shape())"});

  scratch_arena memory;
  const std::size_t rows = b.sequences * b.tokens, size = rows * c.width;
  const activations_view<float> x({memory.take(size), size}, b.sequences, b.tokens, c.width);
  const activations_view<float> dx({memory.take(size), size}, b.sequences, b.tokens, c.width);
  float* const embedded = memory.take(size);
  std::vector<values> kept;
  for (std::size_t l = 0; l < c.layers; ++l) kept.push_back(allocate(rows, memory));
  run(b, x, nullptr, embedded, kept);

  const head_values h = read(x);
  head_backward(b, h, x, dx, gradient);
  for (std::size_t l = c.layers; l-- > 0;)
    backward_block(l, b, dx, kept[l], sink, gradient == nullptr ? nullptr : &gradient->blocks[l]);
  if (gradient == nullptr) return loss_of_labels(b, h.logits);

  std::vector<float> row(c.width);
  through_norm(weights_.embedding_norm, embedded, c.norm_epsilon, dx, &gradient->embedding_norm, row);
  const auto add = [&](std::vector<float>& table, std::size_t to, std::span<const float> from) {
    for (std::size_t f = 0; f < c.width; ++f) table[to * c.width + f] += from[f];
  };
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.length(s); ++t) {
      const std::size_t i = s * b.tokens + t;
      add(gradient->token_embedding, static_cast<std::size_t>(b.ids[i]), dx(s, t));
      add(gradient->position_embedding, t, dx(s, t));
      add(gradient->type_embedding, b.types.empty() ? 0 : static_cast<std::size_t>(b.types[i]), dx(s, t));
    }
  return loss_of_labels(b, h.logits);
}

}  // namespace engine
