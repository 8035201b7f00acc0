#include <engine/model/block.hpp>
#include <engine/model/family.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/transformer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <vector>

namespace engine {

using precis::activations_view;
using precis::matrix_view;
using precis::kernel::product;
using precis::kernel::product_add;

void add_map_gradient(matrix_view<const float> dy, matrix_view<const float> x, linear& gradient,
                      std::span<float> workspace) noexcept {
  product_add(dy.transposed(), x, gradient.view(), workspace);
  if (gradient.bias.empty()) return;
  for (std::size_t r = 0; r < dy.rows; ++r) {
    const std::span<const float> row = dy.row(r);
    for (std::size_t o = 0; o < row.size(); ++o) gradient.bias[o] += row[o];
  }
}

namespace {

/// Computes the gradient of one block, map by map, from its output to its input.
class block_gradient {
 public:
  block_gradient(const block_run& run, std::size_t first_matrix, activations_view<float> residual_gradient,
                 const block_values& kept, const sink_callback& sink, block* gradient, scratch_arena& memory)
      : run_(run),
        c_(run.shape),
        b_(run.block),
        v_(kept),
        dx_(residual_gradient),
        sink_(sink),
        gradient_(gradient),
        first_(first_matrix),
        rows_(residual_gradient.rows()),
        gated_(family_of(c_).gated),
        parallel_(family_of(c_).parallel),
        fused_(family_of(c_).fused),
        first_out_(fused_ ? 1 : 3),
        workspace_(product_workspace(memory)),
        memory_(memory),
        d_normed_(memory.take(rows_ * c_.width)),
        dy_(dx_.data) {
    if (!parallel_) return;
    float* const copy = memory.take(rows_ * c_.width);  // input of both sub-layers: the first one overwrites dx
    std::copy_n(dx_.data, rows_ * c_.width, copy);
    dy_ = copy;
  }

  void mlp() {
    const matrix_view<const float> dy = dense(dy_, c_.width);
    hand_over(first_out_ + 2, &block::down, dense(v_.active, c_.hidden), dy);
    const matrix_view<float> d_active = dense(memory_.take(rows_ * c_.hidden), c_.hidden);
    product(dy, b_.down.view(), d_active, workspace_);
    if (gated_) {
      const matrix_view<float> d_up = dense(memory_.take(rows_ * c_.hidden), c_.hidden);
      with_activation(c_.activation, [&]<class F>(F) {
        for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template value<L>(x)); }, d_up.size(),
                      d_up.data, v_.raw, d_active.data);
        for_each_lane([]<class L>(L, auto x, auto up,
                                  auto d) { return L::multiply(d, L::multiply(up, F::template slope<L>(x))); },
                      d_active.size(), d_active.data, v_.raw, v_.up, d_active.data);
      });
      hand_over(first_out_ + 3, &block::up, dense(v_.mlp_normed, c_.width), d_up);
      hand_over(first_out_ + 1, &block::gate, dense(v_.mlp_normed, c_.width), d_active);
      product(d_active, b_.gate.view(), normed_gradient(), workspace_);
      product_add(d_up, b_.up.view(), normed_gradient(), workspace_);
    } else {
      with_activation(c_.activation, [&]<class F>(F) {
        for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template slope<L>(x)); },
                      d_active.size(), d_active.data, v_.raw, d_active.data);
      });
      hand_over(first_out_ + 1, &block::up, dense(v_.mlp_normed, c_.width), d_active);
      product(d_active, b_.up.view(), normed_gradient(), workspace_);
    }
    through_norm(parallel_ ? &block::attention_norm : &block::mlp_norm, parallel_ ? v_.entering : v_.middle);
  }

  void attention() {
    const matrix_view<const float> dy = dense(dy_, c_.width);
    hand_over(first_out_, &block::attention_out, dense(v_.context, c_.width), dy);
    const matrix_view<float> d_context = dense(memory_.take(rows_ * c_.width), c_.width);
    product(dy, b_.attention_out.view(), d_context, workspace_);

    const std::size_t w = qkv_width(c_), t = dx_.tokens;
    const matrix_view<float> d_qkv = dense(memory_.take(rows_ * w), w);
    float* const scratch = memory_.take(2 * attention_scratch(t, t));
    const auto stride = static_cast<std::ptrdiff_t>(w);
    for (std::size_t s = 0; s < dx_.sequences; ++s) {
      float* const first = d_qkv.data + s * t * w;
      attend_backward(sequence_attention(run_, v_, s, t, t),
                      {d_context.data + s * t * c_.width, static_cast<std::ptrdiff_t>(c_.width)}, {first, stride},
                      {first + c_.width, stride}, {first + c_.width + c_.kv_width(), stride}, scratch, workspace_);
    }
    const matrix_view<const float> normed = dense(v_.normed, c_.width);
    if (!fused_) {
      for (std::size_t r = 0; run_.rotary.pairs != 0 && r < rows_; ++r) {
        run_.rotary.rotate_back(d_qkv.data + r * w, c_.heads, r % t);
        run_.rotary.rotate_back(d_qkv.data + r * w + c_.width, c_.kv_heads, r % t);
      }
      const matrix_view<float> d_query = d_qkv.col_range(0, c_.width);
      const matrix_view<float> d_key = d_qkv.col_range(c_.width, c_.kv_width());
      const matrix_view<float> d_value = d_qkv.col_range(c_.width + c_.kv_width(), c_.kv_width());
      hand_over(2, &block::value, normed, d_value);
      hand_over(1, &block::key, normed, d_key);
      hand_over(0, &block::query, normed, d_query);
      product(d_query, b_.query.view(), normed_gradient(), workspace_);
      product_add(d_key, b_.key.view(), normed_gradient(), workspace_);
      product_add(d_value, b_.value.view(), normed_gradient(), workspace_);
    } else {
      hand_over(0, &block::qkv, normed, d_qkv);
      product(d_qkv, b_.qkv.view(), normed_gradient(), workspace_);
    }
    through_norm(&block::attention_norm, v_.entering);
  }

 private:
  template<class T>
  [[nodiscard]] matrix_view<T> dense(T* p, std::size_t cols) const noexcept {
    return {p, rows_, cols, static_cast<std::ptrdiff_t>(cols), 1};
  }
  [[nodiscard]] matrix_view<float> normed_gradient() const noexcept { return dense(d_normed_, c_.width); }

  [[nodiscard]] activations_view<const float> by_token(matrix_view<const float> m) const noexcept {
    return {m.data,      dx_.sequences, dx_.tokens, m.cols, m.row_stride * static_cast<std::ptrdiff_t>(dx_.tokens),
            m.row_stride};
  }

  void hand_over(std::size_t matrix, linear block::* map, matrix_view<const float> x, matrix_view<const float> dy) {
    sink_({.matrix = first_ + matrix, .input = by_token(x), .output_gradient = by_token(dy)});
    if (gradient_ != nullptr) add_map_gradient(dy, x, gradient_->*map, workspace_);
  }

  void through_norm(norm block::* which, const float* x) noexcept {
    const std::size_t width = c_.width;
    for (std::size_t r = 0; r < rows_; ++r)
      normalize_backward(b_.*which, {x + r * width, width}, c_.norm_epsilon, d_normed_ + r * width,
                         dx_.data + r * width, gradient_ == nullptr ? nullptr : &(gradient_->*which));
  }

  const block_run& run_;
  const config& c_;
  const block& b_;
  const block_values& v_;
  activations_view<float> dx_;
  const sink_callback& sink_;
  block* gradient_;
  std::size_t first_, rows_;
  bool gated_, parallel_, fused_;
  std::size_t first_out_;  ///< index of attention_out in the block; up and down, or gate, down and up follow
  std::span<float> workspace_;
  scratch_arena& memory_;
  float* d_normed_;
  const float* dy_;  ///< [rows x width] gradient at the output of a sub-layer
};

}  // namespace

void backward_block(const block_run& run, std::size_t first_matrix, activations_view<float> residual_gradient,
                    const block_values& kept, const sink_callback& sink, block* gradient, scratch_arena& memory) {
  block_gradient g(run, first_matrix, residual_gradient, kept, sink, gradient, memory);
  g.mlp();
  g.attention();
}

precis::nll transformer::head_backward(const precis::token_batch& batch, activations_view<const float> x,
                                       activations_view<float> dx, const sink_callback& sink,
                                       engine::weights* gradient) const {
  const config& c = weights_.config;
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  const std::size_t most = head_rows(c);
  float* const normed = memory.take(most * c.width);
  float* const d_normed = memory.take(most * c.width);
  float* const logits = memory.take(most * c.vocabulary);
  const matrix_view<const float> head(head_weights(), c.vocabulary, c.width);
  std::vector<std::size_t> rows;  // rows collected so far
  precis::nll total;
  std::fill_n(dx.data, dx.size(), 0.f);

  const auto read = [&] {
    const std::size_t n = rows.size();
    const matrix_view<float> z({logits, n * c.vocabulary}, n, c.vocabulary);
    const matrix_view<const float> y({normed, n * c.width}, n, c.width);
    apply(head, weights_.head_bias, y, z, workspace);
    for (std::size_t r = 0; r < n; ++r) {
      const std::span<float> row = z.row(r);
      const auto target = static_cast<std::size_t>(batch.targets[rows[r]]);
      const double log_sum = log_sum_exp(row);
      total.sum += token_loss(log_sum, row[target]);
      const auto shift = static_cast<float>(log_sum);
      for_each_lane([shift]<class L>(L, auto v) { return exponential<L>(L::subtract(v, L::all(shift))); }, row.size(),
                    row.data(), row.data());  // d loss / d logit = probability - [target]
      row[target] -= 1.f;
    }
    total.count += n;
    if (has_tables())
      sink({.matrix = head_matrix(),
            .input = {std::span<const float>(normed, n * c.width), 1, n, c.width},
            .output_gradient = {std::span<const float>(logits, n * c.vocabulary), 1, n, c.vocabulary}});
    product(z, head, matrix_view<float>({d_normed, n * c.width}, n, c.width), workspace);
    if (gradient != nullptr) {
      std::vector<float>& d_head = c.tied_head ? gradient->token_embedding : gradient->head;
      product_add(matrix_view<const float>(z).transposed(), y, matrix_view<float>(d_head, c.vocabulary, c.width),
                  workspace);
      for (std::size_t r = 0; r < n && !gradient->head_bias.empty(); ++r)
        for (std::size_t v = 0; v < c.vocabulary; ++v) gradient->head_bias[v] += z(r, v);
    }
    for (std::size_t r = 0; r < n; ++r)
      normalize_backward(weights_.final_norm, {x.data + rows[r] * c.width, c.width}, c.norm_epsilon,
                         d_normed + r * c.width, dx.data + rows[r] * c.width,
                         gradient == nullptr ? nullptr : &gradient->final_norm);
    rows.clear();
  };
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] == precis::no_target) continue;
    normalize(weights_.final_norm, {x.data + i * c.width, c.width}, c.norm_epsilon, normed + rows.size() * c.width);
    rows.push_back(i);
    if (rows.size() == most) read();
  }
  if (!rows.empty()) read();
  return total;
}

precis::nll transformer::backward_of(const precis::token_batch& batch, const sink_callback& sink,
                                     engine::weights* gradient) const {
  check_batch(batch, true);
  const config& c = weights_.config;
  if (gradient != nullptr && (gradient->config != c || gradient->blocks.size() != c.layers))
    precis::refuse({.what = "a gradient of another shape", .where = "transformer", .expected = "zeros(shape())"});

  scratch_arena memory;
  const std::size_t size = batch.sequences * batch.tokens * c.width;
  const activations_view<float> x({memory.take(size), size}, batch.sequences, batch.tokens, c.width);
  const activations_view<float> dx({memory.take(size), size}, batch.sequences, batch.tokens, c.width);
  std::vector<block_values> kept(c.layers);
  embed(batch, x, nullptr);
  run_blocks(x, nullptr, nullptr, kept, memory);

  const precis::nll total = head_backward(batch, x, dx, sink, gradient);
  const std::size_t per_block = maps_ / c.layers;
  for (std::size_t l = c.layers; l-- > 0;) {
    scratch_arena block_memory;
    backward_block({.shape = c, .block = weights_.blocks[l], .rotary = rotary_, .layer = l}, l * per_block, dx, kept[l],
                   sink, gradient == nullptr ? nullptr : &gradient->blocks[l], block_memory);
  }
  if (gradient == nullptr) return total;
  const auto add = [&](std::vector<float>& to, std::size_t row, std::span<const float> values) {
    float* const into = to.data() + row * c.width;
    for (std::size_t f = 0; f < c.width; ++f) into[f] += values[f];
  };
  const std::size_t first = family_of(c).first_position;
  for (std::size_t s = 0; s < batch.sequences; ++s)
    for (std::size_t t = 0; t < batch.tokens; ++t) {
      add(gradient->token_embedding, static_cast<std::size_t>(batch.sequence(s)[t]), dx(s, t));
      if (!gradient->position_embedding.empty()) add(gradient->position_embedding, first + t, dx(s, t));
    }
  return total;
}

}  // namespace engine
