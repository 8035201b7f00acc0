#include <engine/model/block.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/rows.hpp>

#include <algorithm>

namespace engine {
namespace {

using precis::matrix_view;

/// Rows of earlier positions that are mixed again at a time.
constexpr std::size_t earlier_rows = 256;

/// The outputs of all in-projections, side by side. Rows are at the positions `first` to `first + period - 1`, again and
/// again.
void project(const block_run& run, matrix_view<const float> normed, matrix_view<float> projected, std::size_t first,
             std::size_t period, std::span<float> workspace) {
  std::size_t column = 0;
  for (linear block::* const map : mixer_maps_of(run.settings().mixer)) {
    const linear& l = run.block.*map;
    apply(l, normed, projected.col_range(column, l.out), {first, period}, workspace);
    column += l.out;
  }
}

/// The state of a cached sequence before the run's first position.
[[nodiscard]] mixer_state earlier_state(const block_run& run, std::size_t sequence, std::span<float> workspace) {
  scratch_arena memory;
  const config& c = run.shape;
  const mixer m = run.settings().mixer;
  const mixer_sizes sizes = mixer_sizes_of(c, run.knobs, m);
  const std::size_t most = std::min(earlier_rows, run.first_token);
  float* const normed = memory.take(most * c.width);
  float* const projected = memory.take(most * sizes.projected);
  float* const mixed = memory.take(most * sizes.inner);
  const float* row = run.cached_stream + sequence * run.cached_tokens * run.stream.total;
  mixer_state state;
  for (std::size_t t = 0; t < run.first_token; t += most) {
    const std::size_t n = std::min(most, run.first_token - t);
    for (std::size_t r = 0; r < n; ++r, row += run.stream.total)
      if (run.normalizes_before())
        normalize(run.block.attention_norm, {row, c.width}, c.norm_epsilon, normed + r * c.width);
      else
        std::copy_n(row, c.width, normed + r * c.width);
    if (run.knobs.mixer_in_scale != 1)
      for (std::size_t i = 0; i < n * c.width; ++i) normed[i] *= run.knobs.mixer_in_scale;
    const matrix_view<float> made = dense_rows(projected, n, sizes.projected);
    project(run, dense_rows<const float>(normed, n, c.width), made, t, n, workspace);
    mix(c, run.knobs, m, mixer_parameters_of(run.block), made, state, dense_rows(mixed, n, sizes.inner));
  }
  return state;
}

}  // namespace

void run_recurrent(const block_run& run, std::size_t sequences, std::size_t tokens, const block_values& v, float* out,
                   std::span<float> workspace) {
  const config& c = run.shape;
  const mixer m = run.settings().mixer;
  const mixer_sizes sizes = mixer_sizes_of(c, run.knobs, m);
  const std::size_t rows = sequences * tokens, queries = run.last_only ? 1 : tokens;
  const matrix_view<float> projected = dense_rows(v.recurrent.projected, rows, sizes.projected);
  const matrix_view<float> mixed = dense_rows(v.recurrent.mixed, rows, sizes.inner);
  project(run, dense_rows<const float>(v.recurrent.normed, rows, c.width), projected, run.first_token, tokens,
          workspace);
  for (std::size_t s = 0; s < sequences; ++s) {
    mixer_state state;
    if (run.first_token > 0) state = earlier_state(run, run.sequences[s], workspace);
    mix(c, run.knobs, m, mixer_parameters_of(run.block), projected.row_range(s * tokens, tokens), state,
        mixed.row_range(s * tokens, tokens));
  }
  const std::size_t step = tokens / queries;  // with last_only, rows tokens - 1, 2 tokens - 1, ...
  const matrix_view<const float> wanted{mixed.data + (step - 1) * sizes.inner, sequences * queries, sizes.inner,
                                        static_cast<std::ptrdiff_t>(step * sizes.inner), 1};
  apply(run.block.mixer_out, wanted, dense_rows(out, sequences * queries, c.width),
        {run.first_token + tokens - queries, queries}, workspace);
}

void run_recurrent_backward(const block_run& run, std::size_t sequences, const block_values& v,
                            matrix_view<const float> dy, matrix_view<float> d_normed, const map_sink& sink,
                            block* gradient, scratch_arena& memory, std::span<float> workspace) {
  using precis::kernel::product;
  using precis::kernel::product_add;
  const config& c = run.shape;
  const mixer m = run.settings().mixer;
  const mixer_sizes sizes = mixer_sizes_of(c, run.knobs, m);
  const std::size_t rows = dy.rows, tokens = rows / sequences;
  const matrix_view<const float> projected = dense_rows<const float>(v.recurrent.projected, rows, sizes.projected);
  sink(&block::mixer_out, dense_rows<const float>(v.recurrent.mixed, rows, sizes.inner), dy);
  const matrix_view<float> d_mixed = dense_rows(memory.take(rows * sizes.inner), rows, sizes.inner);
  apply_transposed(run.block.mixer_out, dy, d_mixed, workspace);
  const matrix_view<float> d_projected = dense_rows(memory.take(rows * sizes.projected), rows, sizes.projected);
  for (std::size_t s = 0; s < sequences; ++s)
    mix_backward(c, run.knobs, m, mixer_parameters_of(run.block), projected.row_range(s * tokens, tokens),
                 d_mixed.row_range(s * tokens, tokens), d_projected.row_range(s * tokens, tokens), gradient);
  const matrix_view<const float> normed = dense_rows<const float>(v.recurrent.normed, rows, c.width);
  const std::span<linear block::* const> maps = mixer_maps_of(m);
  std::size_t column = sizes.projected;
  for (std::size_t i = maps.size(); i-- > 0;) {  // the last matrix first
    const linear& map = run.block.*maps[i];
    column -= map.out;
    const matrix_view<float> d = d_projected.col_range(column, map.out);
    sink(maps[i], normed, d);
    if (i + 1 == maps.size())
      apply_transposed(map, d, d_normed, workspace);
    else
      add_transposed(map, d, d_normed, workspace);
  }
}

}  // namespace engine
