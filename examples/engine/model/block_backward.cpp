#include <engine/model/block.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>

#include <algorithm>

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
  block_gradient(const block_run& run, const layer_matrices& matrices, activations_view<const float> stream,
                 activations_view<float> d_stream, const block_values& kept, const sink_callback& sink, block* gradient,
                 scratch_arena& memory)
      : run_(run),
        c_(run.shape),
        k_(run.knobs),
        b_(run.block),
        v_(kept),
        matrices_(matrices),
        stream_(stream),
        d_stream_(d_stream),
        sink_(sink),
        gradient_(gradient),
        rows_(d_stream.rows()),
        workspace_(product_workspace(memory)),
        memory_(memory),
        d_normed_(memory.take(rows_ * c_.width)) {
    map_sink_ = [this](linear block::* map, matrix_view<const float> x, matrix_view<const float> dy) {
      hand_over(matrices_.of(map), x, dy, gradient_ == nullptr ? nullptr : &(gradient_->*map));
    };
  }

  void layer_inputs() {
    if (k_.layer_scalars) {
      if (gradient_ != nullptr) {
        double sum = 0;
        for (std::size_t r = 0; r < rows_; ++r)
          for (std::size_t f = 0; f < c_.width; ++f)
            sum += static_cast<double>(dx(r)[f]) * static_cast<double>(v_.unscaled[r * c_.width + f]);
        gradient_->layer_scalar.front() += static_cast<float>(sum);
      }
      for (std::size_t r = 0; r < rows_; ++r)
        for (std::size_t f = 0; f < c_.width; ++f) dx(r)[f] *= b_.layer_scalar.front();
    }
    const std::size_t inside = k_.layer_input_width, width = c_.width;
    if (inside == 0) return;
    const matrix_view<float> d_made = dense(memory_.take(rows_ * width), width);
    std::fill_n(d_made.data, d_made.size(), 0.f);
    for (std::size_t r = 0; r < rows_; ++r)
      normalize_backward(b_.layer_post_norm, {v_.layer_made + r * width, width}, c_.norm_epsilon, dx(r),
                         d_made.row(r).data(), gradient_ == nullptr ? nullptr : &gradient_->layer_post_norm);
    map_sink_(&block::layer_projection, dense<const float>(v_.layer_active, inside), d_made);
    const matrix_view<float> d_active = dense(memory_.take(rows_ * inside), inside);
    float* const value = memory_.take(rows_ * inside);
    apply_transposed(b_.layer_projection, d_made, d_active, workspace_);
    with_activation(c_.activation, [&]<class F>(F) {
      for_each_lane([]<class L>(L, auto x) { return F::template value<L>(x); }, rows_ * inside, value, v_.layer_raw);
    });
    const std::size_t first = run_.stream.layer_inputs + run_.layer * inside;
    for (std::size_t r = 0; r < rows_; ++r) {
      const float* const own = stream_(r / stream_.tokens, r % stream_.tokens).data() + first;
      float* const d_own = dx(r) + first;
      for (std::size_t i = 0; i < inside; ++i) {
        const float d = d_active(r, i);
        d_own[i] += d * value[r * inside + i];
        d_active(r, i) = d * own[i];
      }
    }
    with_activation(c_.activation, [&]<class F>(F) {
      for_each_lane([]<class L>(L, auto x, auto d) { return L::multiply(d, F::template slope<L>(x)); }, rows_ * inside,
                    d_active.data, v_.layer_raw, d_active.data);
    });
    map_sink_(&block::layer_gate, dense<const float>(v_.left, width), d_active);
    add_transposed(b_.layer_gate, d_active, residual_gradient(), workspace_);
  }

  /// Both halves: the gradient at a half's output, that at its input, and back through the norm before it.
  void mlp() {
    through_sum(&block::mlp_norm, v_.mlp_sum);
    keep_parallel();
    const matrix_view<const float> dy = at_output(&block::mlp_post_norm, v_.mlp_made, k_.residual_scale);
    const matrix_view<const float> normed = dense<const float>(v_.mlp_normed, c_.width);
    if (run_.settings().experts) {
      const expert_sink sink{
          .of_expert =
              [this](std::size_t e, linear expert::* map, matrix_view<const float> x, matrix_view<const float> d) {
                const auto rows_of_expert = [](matrix_view<const float> m) {
                  return activations_view<const float>{m.data, 1, m.rows, m.cols, 0, m.row_stride};
                };
                if (const std::size_t matrix = matrices_.of(map, e); matrix != layer_matrices::none)
                  sink_({.matrix = matrix, .input = rows_of_expert(x), .output_gradient = rows_of_expert(d)});
                if (gradient_ != nullptr) add_map_gradient(d, x, gradient_->experts[e].*map, workspace_);
              },
          .of_block = map_sink_};
      run_experts_backward(c_, k_, b_, normed, v_.experts, dy, normed_gradient(), sink, memory_, workspace_);
    } else {
      dense_mlp(dy, normed);
    }
    through_norm(k_.shared_norm ? &block::attention_norm : &block::mlp_norm, k_.parallel ? v_.entering : v_.middle);
  }

  void attention() {
    if (!k_.parallel) through_sum(&block::attention_norm, v_.attention_sum);
    const matrix_view<const float> dy = at_output(&block::attention_post_norm, v_.attention_made, k_.residual_scale);
    if (run_.attends()) {
      run_attention_backward(run_, stream_, d_stream_, v_, scaled(dy, k_.attention_out_scale), normed_gradient(),
                             map_sink_, gradient_, memory_, workspace_);
      if (k_.attention_in_scale != 1)
        for (std::size_t i = 0; i < rows_ * c_.width; ++i) d_normed_[i] *= k_.attention_in_scale;
    }
    if (run_.recurs()) {
      const matrix_view<float> d = run_.attends() ? dense(memory_.take(rows_ * c_.width), c_.width) : normed_gradient();
      run_recurrent_backward(run_, d_stream_.sequences, v_, scaled(dy, k_.mixer_out_scale), d, map_sink_, gradient_,
                             memory_, workspace_);
      for (std::size_t i = 0; k_.mixer_in_scale != 1 && i < rows_ * c_.width; ++i) d.data[i] *= k_.mixer_in_scale;
      for (std::size_t i = 0; run_.attends() && i < rows_ * c_.width; ++i) d_normed_[i] += d.data[i];
    }
    through_norm(&block::attention_norm, v_.entering);
  }

 private:
  template<class T>
  [[nodiscard]] matrix_view<T> dense(T* p, std::size_t cols) const noexcept {
    return {p, rows_, cols, static_cast<std::ptrdiff_t>(cols), 1};
  }
  [[nodiscard]] float* dx(std::size_t row) const noexcept {
    return d_stream_.data + static_cast<std::ptrdiff_t>(row) * d_stream_.token_stride;
  }
  [[nodiscard]] matrix_view<float> residual_gradient() const noexcept {
    return {d_stream_.data, rows_, c_.width, d_stream_.token_stride, 1};
  }
  [[nodiscard]] matrix_view<float> normed_gradient() const noexcept { return dense(d_normed_, c_.width); }

  /// In parallel, the gradient at the output is that of both halves: the first one overwrites dx.
  void keep_parallel() {
    if (!k_.parallel) return;
    const matrix_view<float> copy = dense(memory_.take(rows_ * c_.width), c_.width);
    for (std::size_t r = 0; r < rows_; ++r) std::copy_n(dx(r), c_.width, copy.row(r).data());
    output_ = copy;
  }

  /// The gradient at the output of a half, before its norm and scale.
  [[nodiscard]] matrix_view<const float> at_output(norm block::* which, const float* made, float by) {
    const matrix_view<const float> dy = k_.parallel ? output_ : matrix_view<const float>(residual_gradient());
    if (by == 1 && !run_.normalizes_branch()) return dy;
    const matrix_view<const float> normed = scaled(dy, by);
    if (!run_.normalizes_branch()) return normed;
    const matrix_view<float> before = dense(memory_.take(rows_ * c_.width), c_.width);
    std::fill_n(before.data, before.size(), 0.f);
    for (std::size_t r = 0; r < rows_; ++r)
      normalize_backward(b_.*which, {made + r * c_.width, c_.width}, c_.norm_epsilon, normed.row(r).data(),
                         before.row(r).data(), gradient_ == nullptr ? nullptr : &(gradient_->*which));
    return before;
  }

  [[nodiscard]] matrix_view<const float> scaled(matrix_view<const float> dy, float by) {
    if (by == 1) return dy;
    const matrix_view<float> to = dense(memory_.take(rows_ * c_.width), c_.width);
    for (std::size_t r = 0; r < rows_; ++r)
      for (std::size_t f = 0; f < c_.width; ++f) to(r, f) = dy(r, f) * by;
    return to;
  }

  void dense_mlp(matrix_view<const float> dy, matrix_view<const float> normed) {
    const std::size_t hidden = run_.settings().hidden;
    dy = scaled(dy, k_.down_scale);
    map_sink_(&block::down, dense<const float>(v_.mlp.active, hidden), dy);
    const matrix_view<float> d_active = dense(memory_.take(rows_ * hidden), hidden);
    apply_transposed(b_.down, dy, d_active, workspace_);
    if (k_.gated) {
      const matrix_view<float> d_up = dense(memory_.take(rows_ * hidden), hidden);
      activate_backward(k_, c_.activation, rows_ * hidden, v_.mlp, d_active.data, d_up.data);
      map_sink_(&block::up, normed, d_up);
      map_sink_(&block::gate, normed, d_active);
      apply_transposed(b_.gate, d_active, normed_gradient(), workspace_);
      add_transposed(b_.up, d_up, normed_gradient(), workspace_);
    } else {
      activate_backward(k_, c_.activation, rows_ * hidden, v_.mlp, d_active.data, nullptr);
      map_sink_(&block::up, normed, d_active);
      apply_transposed(b_.up, d_active, normed_gradient(), workspace_);
    }
  }

  [[nodiscard]] activations_view<const float> by_token(matrix_view<const float> m) const noexcept {
    const auto tokens = static_cast<std::ptrdiff_t>(d_stream_.tokens);
    return {m.data, d_stream_.sequences, d_stream_.tokens, m.cols, m.row_stride * tokens, m.row_stride};
  }

  void hand_over(std::size_t matrix, matrix_view<const float> x, matrix_view<const float> dy, linear* gradient) {
    if (matrix != layer_matrices::none)
      sink_({.matrix = matrix, .input = by_token(x), .output_gradient = by_token(dy)});
    if (gradient != nullptr) add_map_gradient(dy, x, *gradient, workspace_);
  }

  /// From the gradient at a half's input rows to that at the residual.
  void through_norm(norm block::* which, const float* x) noexcept {
    const std::size_t width = c_.width;
    for (std::size_t r = 0; r < rows_; ++r) {
      const float* const d = d_normed_ + r * width;
      if (run_.normalizes_before())
        normalize_backward(b_.*which, {x + r * width, width}, c_.norm_epsilon, d, dx(r),
                           gradient_ == nullptr ? nullptr : &(gradient_->*which));
      else
        for (std::size_t f = 0; f < width; ++f) dx(r)[f] += d[f];
    }
  }

  void through_sum(norm block::* which, const float* x) {
    if (k_.norms != norm_place::after_sum) return;
    float* const d = memory_.take(c_.width);
    for (std::size_t r = 0; r < rows_; ++r) {
      std::copy_n(dx(r), c_.width, d);
      std::fill_n(dx(r), c_.width, 0.f);
      normalize_backward(b_.*which, {x + r * c_.width, c_.width}, c_.norm_epsilon, d, dx(r),
                         gradient_ == nullptr ? nullptr : &(gradient_->*which));
    }
  }

  const block_run& run_;
  const config& c_;
  const knobs& k_;
  const block& b_;
  const block_values& v_;
  const layer_matrices& matrices_;
  activations_view<const float> stream_;
  activations_view<float> d_stream_;
  const sink_callback& sink_;
  block* gradient_;
  std::size_t rows_;
  std::span<float> workspace_;
  scratch_arena& memory_;
  float* d_normed_;
  matrix_view<const float> output_;  ///< in parallel: [rows x width] gradient at the block's output
  map_sink map_sink_;
};

}  // namespace

void backward_block(const block_run& run, const layer_matrices& matrices, activations_view<const float> stream,
                    activations_view<float> d_stream, const block_values& kept, const sink_callback& sink,
                    block* gradient, scratch_arena& memory) {
  block_gradient g(run, matrices, stream, d_stream, kept, sink, gradient, memory);
  g.layer_inputs();
  g.mlp();
  g.attention();
}

}  // namespace engine
