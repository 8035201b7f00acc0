#include <engine/model/experts.hpp>

#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/rows.hpp>

#include <algorithm>

namespace engine {
namespace {

using precis::matrix_view;

[[nodiscard]] mlp_values behind(const mlp_values& v, std::size_t offset) noexcept {
  return {v.raw + offset, v.up == nullptr ? nullptr : v.up + offset, v.active + offset};
}

[[nodiscard]] mlp_values take_values(const knobs& k, std::size_t count, scratch_arena& memory) {
  return {memory.take(count), k.gated ? memory.take(count) : nullptr, memory.take(count)};
}

/// The gradient of one MLP: calls sink(map, x, dy) for its three maps, and adds to d_rows.
template<class Sink>
void mlp_gradient(const knobs& k, activation f, const mlp_maps& maps, matrix_view<const float> x, const mlp_values& v,
                  matrix_view<const float> dy, matrix_view<float> d_rows, scratch_arena& memory,
                  std::span<float> workspace, Sink&& sink) {
  const std::size_t n = x.rows, hidden = maps.up->out, count = n * hidden;
  if (k.down_scale != 1) {
    const matrix_view<float> scaled = dense_rows(memory.take(dy.size()), n, dy.cols);
    for (std::size_t r = 0; r < n; ++r)
      for (std::size_t i = 0; i < dy.cols; ++i) scaled(r, i) = dy(r, i) * k.down_scale;
    dy = scaled;
  }
  sink(&mlp_maps::down, dense_rows<const float>(v.active, n, hidden), dy);
  const matrix_view<float> d_active = dense_rows(memory.take(count), n, hidden);
  apply_transposed(*maps.down, dy, d_active, workspace);
  float* const d_up = maps.gate != nullptr ? memory.take(count) : nullptr;
  activate_backward(k, f, count, v, d_active.data, d_up);
  if (maps.gate == nullptr) {
    sink(&mlp_maps::up, x, d_active);
    add_transposed(*maps.up, d_active, d_rows, workspace);
    return;
  }
  sink(&mlp_maps::up, x, dense_rows<const float>(d_up, n, hidden));
  sink(&mlp_maps::gate, x, d_active);
  add_transposed(*maps.gate, d_active, d_rows, workspace);
  add_transposed(*maps.up, dense_rows<const float>(d_up, n, hidden), d_rows, workspace);
}

}  // namespace

expert_values allocate_experts(const config& c, const knobs& k, std::size_t rows, scratch_arena& memory) {
  const mixture& m = k.mixture;
  const std::size_t sorted = rows * m.router.chosen;
  expert_values v;
  v.logits = memory.take(rows * m.router.experts);
  v.gathered = memory.take(sorted * c.width);
  v.inside = take_values(k, sorted * m.hidden, memory);
  v.outputs = memory.take(sorted * c.width);
  if (m.shared_hidden != 0) {
    v.shared = take_values(k, rows * m.shared_hidden, memory);
    v.shared_scale = memory.take(rows);
    v.shared_output = memory.take(rows * c.width);
  }
  return v;
}

void sort_by_expert(const knobs& k, std::span<const float> correction, std::size_t rows, expert_values& v) {
  const router_settings& s = k.mixture.router;
  v.made = route(s, dense_rows<const float>(v.logits, rows, s.experts), correction);
  v.first.assign(s.experts + 1, 0);
  for (const std::uint32_t e : v.made.expert) ++v.first[e + 1];
  for (std::size_t e = 0; e < s.experts; ++e) v.first[e + 1] += v.first[e];
  std::vector<std::size_t> next(v.first.begin(), v.first.end() - 1);
  v.row.resize(v.made.expert.size());
  v.choice.resize(v.made.expert.size());
  for (std::size_t i = 0; i < v.made.expert.size(); ++i) {
    const std::size_t at = next[v.made.expert[i]]++;
    v.row[at] = i / s.chosen;
    v.choice[at] = i % s.chosen;
  }
}

void run_experts(const config& c, const knobs& k, const block& b, matrix_view<const float> rows, expert_values& v,
                 matrix_view<float> out, std::span<float> workspace) {
  const mixture& m = k.mixture;
  const std::size_t n = rows.rows;
  apply(b.router, rows, dense_rows(v.logits, n, m.router.experts), {}, workspace);
  sort_by_expert(k, b.router_correction, n, v);
  for (std::size_t i = 0; i < v.row.size(); ++i) std::ranges::copy(rows.row(v.row[i]), v.gathered + i * c.width);
  for (std::size_t r = 0; r < n; ++r) std::ranges::fill(out.row(r), 0.f);
  for (std::size_t e = 0; e < m.router.experts; ++e) {
    const std::size_t first = v.first[e], count = v.first[e + 1] - first;
    if (count == 0) continue;
    run_mlp(k, c.activation, maps_of(b.experts[e], k),
            dense_rows<const float>(v.gathered + first * c.width, count, c.width), behind(v.inside, first * m.hidden),
            dense_rows(v.outputs + first * c.width, count, c.width), {}, workspace);
  }
  for (std::size_t i = 0; i < v.row.size(); ++i) {  // sorted, so that experts are added in their order
    const float weight = v.made.weights_of(v.row[i])[v.choice[i]];
    const float* const from = v.outputs + i * c.width;
    float* const to = out.row(v.row[i]).data();
    for (std::size_t f = 0; f < c.width; ++f) to[f] = std::fma(weight, from[f], to[f]);
  }
  if (m.shared_hidden == 0) return;
  run_mlp(k, c.activation, shared_maps_of(b, k), rows, v.shared, dense_rows(v.shared_output, n, c.width), {},
          workspace);
  if (m.shared_gate) apply(b.shared_scale, rows, dense_rows(v.shared_scale, n, 1), {}, workspace);
  for (std::size_t r = 0; r < n; ++r) {
    const float scale = m.shared_gate ? logistic<scalar_lanes>(v.shared_scale[r]) : 1.f;
    for (std::size_t f = 0; f < c.width; ++f) out(r, f) = std::fma(scale, v.shared_output[r * c.width + f], out(r, f));
  }
}

void run_experts_backward(const config& c, const knobs& k, const block& b, matrix_view<const float> rows,
                          const expert_values& v, matrix_view<const float> d_out, matrix_view<float> d_rows,
                          const expert_sink& sink, scratch_arena& memory, std::span<float> workspace) {
  const mixture& m = k.mixture;
  const std::size_t n = rows.rows, sorted = v.row.size();
  for (std::size_t r = 0; r < n; ++r) std::ranges::fill(d_rows.row(r), 0.f);

  if (m.shared_hidden != 0) {
    const matrix_view<float> d_shared = dense_rows(memory.take(n * c.width), n, c.width);
    const matrix_view<float> d_scale = dense_rows(memory.take(n), n, 1);
    for (std::size_t r = 0; r < n; ++r) {
      const float scale = m.shared_gate ? logistic<scalar_lanes>(v.shared_scale[r]) : 1.f;
      const float* const made = v.shared_output + r * c.width;
      const auto along = lane_sum(
          c.width, [&](std::size_t f) { return static_cast<double>(made[f]) * static_cast<double>(d_out(r, f)); });
      d_scale(r, 0) = static_cast<float>(along) * scale * (1 - scale);
      for (std::size_t f = 0; f < c.width; ++f) d_shared(r, f) = d_out(r, f) * scale;
    }
    const auto of_block = [&](const linear* mlp_maps::* map, matrix_view<const float> x, matrix_view<const float> dy) {
      sink.of_block(map == &mlp_maps::gate ? &block::shared_gate
                    : map == &mlp_maps::up ? &block::shared_up
                                           : &block::shared_down,
                    x, dy);
    };
    mlp_gradient(k, c.activation, shared_maps_of(b, k), rows, v.shared, d_shared, d_rows, memory, workspace, of_block);
    if (m.shared_gate) {
      sink.of_block(&block::shared_scale, rows, d_scale);
      add_transposed(b.shared_scale, d_scale, d_rows, workspace);
    }
  }

  float* const d_gathered = memory.take(sorted * c.width);
  float* const d_outputs = memory.take(sorted * c.width);
  const matrix_view<float> d_weight = dense_rows(memory.take(n * m.router.chosen), n, m.router.chosen);
  std::fill_n(d_gathered, sorted * c.width, 0.f);
  for (std::size_t i = 0; i < sorted; ++i) {
    const float weight = v.made.weights_of(v.row[i])[v.choice[i]];
    const float* const made = v.outputs + i * c.width;
    const std::span<const float> dy = d_out.row(v.row[i]);
    for (std::size_t f = 0; f < c.width; ++f) d_outputs[i * c.width + f] = weight * dy[f];
    d_weight(v.row[i], v.choice[i]) = static_cast<float>(
        lane_sum(c.width, [&](std::size_t f) { return static_cast<double>(made[f]) * static_cast<double>(dy[f]); }));
  }
  for (std::size_t e = m.router.experts; e-- > 0;) {
    const std::size_t first = v.first[e], count = v.first[e + 1] - first;
    if (count == 0) continue;
    const auto of_expert = [&](const linear* mlp_maps::* map, matrix_view<const float> x, matrix_view<const float> dy) {
      sink.of_expert(e,
                     map == &mlp_maps::gate ? &expert::gate
                     : map == &mlp_maps::up ? &expert::up
                                            : &expert::down,
                     x, dy);
    };
    mlp_gradient(k, c.activation, maps_of(b.experts[e], k),
                 dense_rows<const float>(v.gathered + first * c.width, count, c.width),
                 behind(v.inside, first * m.hidden),
                 dense_rows<const float>(d_outputs + first * c.width, count, c.width),
                 dense_rows(d_gathered + first * c.width, count, c.width), memory, workspace, of_expert);
  }
  for (std::size_t i = 0; i < sorted; ++i) {
    const std::span<float> to = d_rows.row(v.row[i]);
    for (std::size_t f = 0; f < c.width; ++f) to[f] += d_gathered[i * c.width + f];
  }
  const matrix_view<float> d_logits = dense_rows(memory.take(n * m.router.experts), n, m.router.experts);
  route_backward(m.router, dense_rows<const float>(v.logits, n, m.router.experts), v.made, d_weight, d_logits);
  sink.of_block(&block::router, rows, d_logits);
  add_transposed(b.router, d_logits, d_rows, workspace);
}

}  // namespace engine
