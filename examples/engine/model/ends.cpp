#include <engine/model/ends.hpp>
#include <engine/model/family.hpp>
#include <engine/model/math.hpp>
#include <engine/model/product.hpp>
#include <engine/model/rows.hpp>
#include <engine/model/shared_forward.hpp>
#include <engine/model/transformer.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

// What a transformer does before its first layer and after its last, and their gradients.

namespace engine {

using precis::activations_view;
using precis::float_matrix;
using precis::matrix_view;
using precis::token;
using precis::token_batch;
using precis::kernel::product;
using precis::kernel::product_add;

namespace {

[[noreturn]] void bad_residual(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "transformer", .expected = std::move(expected)});
}

/// Rows that go through the head at once: as many as amortize decoding or packing its weights.
[[nodiscard]] std::size_t predictions_per_pass(const config& c) noexcept { return 4 * head_rows(c); }

/// Multiply-adds that take as long as one e^x, about.
constexpr double exponential_cost = 8;

}  // namespace

void finish_logits(const knobs& k, matrix_view<float> z) noexcept {
  if (k.logit_scale != 1)
    for (std::size_t r = 0; r < z.rows; ++r)
      for (float& x : z.row(r)) x *= k.logit_scale;
  if (k.logit_cap == 0) return;
  const float inner = 2 / k.logit_cap, cap = k.logit_cap;
  for (std::size_t r = 0; r < z.rows; ++r)
    for_each_lane(
        [inner, cap]<class L>(L, auto v) {  // tanh(u) = 2 logistic(2u) - 1
          const auto g = logistic<L>(L::multiply(v, L::all(inner)));
          return L::multiply(L::all(cap), L::fma(L::all(2.f), g, L::all(-1.f)));
        },
        z.cols, z.row(r).data(), z.row(r).data());
}

layer_input_scales::layer_input_scales(const config& c, const knobs& k) noexcept
    : table(static_cast<float>(std::sqrt(static_cast<double>(k.layer_input_width)))),
      projected(static_cast<float>(1 / std::sqrt(static_cast<double>(c.width)))),
      sum(static_cast<float>(std::sqrt(0.5))) {}

map_view transformer::head_map() const noexcept {
  return {weights_.config.tied_head ? weights_.token_embedding : weights_.head, weights_.config.vocabulary,
          table_width()};
}

void transformer::embed(const token_batch& b, activations_view<float> stream, const tap_callback* tap) const {
  const std::size_t width = weights_.config.width, table = table_width();
  const activations_view<float> x = stream_.residual(stream);
  const auto read_row = [&](std::size_t s, std::size_t t, float* to) {
    weights_.token_embedding.read(static_cast<std::size_t>(b.sequence(s)[t]), 1, table, to);
  };
  scratch_arena memory;
  const std::span<float> workspace = table == width ? std::span<float>() : product_workspace(memory);
  float* const narrow = table == width ? nullptr : memory.take(table);
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t) {
      const std::span<float> row = x(s, t);
      read_row(s, t, table == width ? row.data() : narrow);
      if (table != width)
        apply(weights_.embedding_projection, dense_rows<const float>(narrow, 1, table),
              dense_rows(row.data(), 1, width), row_positions(), workspace);
      if (knobs_.embedding_scale != 1)
        for (float& f : row) f *= knobs_.embedding_scale;
    }
  if (tap != nullptr) (*tap)({precis::site_kind::embedding, 0}, x);
  if (knobs_.layer_input_width != 0) embed_layer_inputs(b, stream);
  if (weights_.position_embedding.empty()) return;
  const std::size_t first = family_of(weights_.config).first_position;
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t) {
      float* const row = x(s, t).data();
      const float* const position = weights_.position_embedding.data() + (first + t) * width;
      for (std::size_t f = 0; f < width; ++f) row[f] += position[f];
    }
}

void transformer::embed_layer_inputs(const token_batch& b, activations_view<float> stream) const {
  const config& c = weights_.config;
  const std::size_t inside = knobs_.layer_input_width, all = c.layers * inside;
  const layer_input_scales scales(c, knobs_);
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  float* const projected = memory.take(all);
  float* const own = memory.take(all);
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t) {
      float* const row = stream(s, t).data();
      weights_.layer_embedding.read(static_cast<std::size_t>(b.sequence(s)[t]), 1, all, own);
      apply(weights_.layer_projection, dense_rows<const float>(row, 1, c.width), dense_rows(projected, 1, all), {},
            workspace);
      for (std::size_t i = 0; i < all; ++i) projected[i] *= scales.projected;
      for (std::size_t l = 0; l < all; l += inside)
        normalize(weights_.layer_norm, {projected + l, inside}, c.norm_epsilon, projected + l);
      for (std::size_t i = 0; i < all; ++i)
        row[stream_.layer_inputs + i] = (projected[i] + own[i] * scales.table) * scales.sum;
    }
}

void transformer::enter_head(std::span<const float> residual, float* to) const {
  const config& c = weights_.config;
  const std::span<const float> x = residual.first(c.width);
  if (knobs_.embedding_width == 0) {
    if (knobs_.final_norm)
      normalize(weights_.final_norm, x, c.norm_epsilon, to);
    else
      std::ranges::copy(x, to);
    return;
  }
  scratch_arena memory;
  float* const normed = memory.take(c.width);
  if (knobs_.final_norm)
    normalize(weights_.final_norm, x, c.norm_epsilon, normed);
  else
    std::ranges::copy(x, normed);
  apply(weights_.head_projection, dense_rows<const float>(normed, 1, c.width), dense_rows(to, 1, table_width()), {},
        product_workspace(memory));
}

void transformer::head(matrix_view<const float> entered, matrix_view<float> logits, scratch_arena& memory) const {
  apply(head_map(), weights_.head_bias, entered, logits, product_workspace(memory));
  finish_logits(knobs_, logits);
}

float_matrix transformer::read_out(matrix_view<const float> residual) const {
  const config& c = weights_.config;
  const std::size_t width = table_width();
  if (residual.cols != stream_.total)
    bad_residual("residuals of " + std::to_string(residual.cols) + " features", std::to_string(stream_.total));
  if (!residual.rows_contiguous()) bad_residual("residual rows with gaps between their features", "contiguous rows");
  scratch_arena memory;
  float* const entered = memory.take(residual.rows * width);
  for (std::size_t r = 0; r < residual.rows; ++r) enter_head(residual.row(r), entered + r * width);
  float_matrix logits(residual.rows, c.vocabulary);
  head(dense_rows<const float>(entered, residual.rows, width), logits.view(), memory);
  return logits;
}

precis::nll transformer::read_loss(const token_batch& batch, activations_view<const float> residual) const {
  check_batch(batch, true);
  const config& c = weights_.config;
  if (residual.sequences != batch.sequences || residual.tokens != batch.tokens || residual.features != stream_.total)
    bad_residual("a residual of " + std::to_string(residual.sequences) + " x " + std::to_string(residual.tokens) +
                     " x " + std::to_string(residual.features),
                 "the batch's " + std::to_string(batch.sequences) + " sequences of " + std::to_string(batch.tokens) +
                     " tokens, and " + std::to_string(stream_.total) + " features");
  scratch_arena memory;
  const std::size_t most = predictions_per_pass(c), width = table_width();
  float* const entered = memory.take(most * width);
  float* const logits = memory.take(most * c.vocabulary);
  std::vector<token> targets;
  std::vector<double> losses(most);
  precis::nll total;
  const auto read = [&] {  // adds the losses of the rows collected so far
    const std::size_t n = targets.size();
    scratch_arena head_memory;
    head(dense_rows<const float>(entered, n, width), dense_rows(logits, n, c.vocabulary), head_memory);
    const auto loss_of_row = [&](std::size_t r) {
      const std::span<const float> row(logits + r * c.vocabulary, c.vocabulary);
      losses[r] = token_loss(log_sum_exp(row), row[static_cast<std::size_t>(targets[r])]);
    };
    const std::size_t pieces = worthwhile_pieces(exponential_cost * static_cast<double>(n * c.vocabulary), n);
    run_pieces(pieces, [&](std::size_t i) {
      for (std::size_t r = n * i / pieces; r < n * (i + 1) / pieces; ++r) loss_of_row(r);
    });
    for (std::size_t r = 0; r < n; ++r) total.sum += losses[r];
    total.count += n;
    targets.clear();
  };
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] == precis::no_target) continue;
    enter_head(residual(i / batch.tokens, i % batch.tokens), entered + targets.size() * width);
    targets.push_back(batch.targets[i]);
    if (targets.size() == most) read();
  }
  if (!targets.empty()) read();
  return total;
}

precis::nll transformer::head_backward(const token_batch& batch, activations_view<const float> x,
                                       activations_view<float> dx, const sink_callback& sink,
                                       engine::weights* gradient) const {
  const config& c = weights_.config;
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  const std::size_t most = predictions_per_pass(c), width = table_width();
  float* const entered = memory.take(most * width);
  float* const d_entered = memory.take(most * width);
  float* const normed = memory.take(most * c.width);
  float* const d_normed = width == c.width ? d_entered : memory.take(most * c.width);
  float* const logits = memory.take(most * c.vocabulary);
  const map_view head = head_map();
  std::vector<std::size_t> rows;  // rows collected so far
  precis::nll total;
  std::fill_n(dx.data, dx.size(), 0.f);
  const auto row_of = [&](std::size_t i) {
    return std::span<const float>(x.data + static_cast<std::ptrdiff_t>(i) * x.token_stride, c.width);
  };

  const auto read = [&] {
    const std::size_t n = rows.size();
    const matrix_view<float> z = dense_rows(logits, n, c.vocabulary);
    const matrix_view<const float> y = dense_rows<const float>(entered, n, width);
    apply(head, weights_.head_bias, y, z, workspace);
    finish_logits(knobs_, z);
    for (std::size_t r = 0; r < n; ++r) {
      const std::span<float> row = z.row(r);
      const auto target = static_cast<std::size_t>(batch.targets[rows[r]]);
      const double log_sum = log_sum_exp(row);
      total.sum += token_loss(log_sum, row[target]);
      const auto shift = static_cast<float>(log_sum);
      const float cap = knobs_.logit_cap, of_target = row[target];
      for_each_lane(
          [shift, cap]<class L>(L, auto v) {  // d loss / d logit = probability - [target]
            const auto p = exponential<L>(L::subtract(v, L::all(shift)));
            if (cap == 0) return p;
            const auto level = L::divide(v, L::all(cap));
            return L::multiply(p, L::fma(L::subtract(L::all(0.f), level), level, L::all(1.f)));
          },
          row.size(), row.data(), row.data());
      row[target] -= cap == 0 ? 1.f : 1.f - of_target / cap * (of_target / cap);
      if (knobs_.logit_scale != 1)
        for (float& d : row) d *= knobs_.logit_scale;
    }
    total.count += n;
    if (has_tables())
      sink({.matrix = head_matrix(),
            .input = {std::span<const float>(entered, n * width), 1, n, width},
            .output_gradient = {std::span<const float>(logits, n * c.vocabulary), 1, n, c.vocabulary}});
    const matrix_view<float> dy = dense_rows(d_entered, n, width);
    apply_transposed(head, z, dy, workspace);
    if (gradient != nullptr) {
      matrix_values& d_head = c.tied_head ? gradient->token_embedding : gradient->head;
      product_add(matrix_view<const float>(z).transposed(), y,
                  matrix_view<float>(d_head.data(), c.vocabulary, width, stride_of(width), 1), workspace);
      for (std::size_t r = 0; r < n && !gradient->head_bias.empty(); ++r)
        for (std::size_t v = 0; v < c.vocabulary; ++v) gradient->head_bias[v] += z(r, v);
    }
    if (knobs_.embedding_width != 0) {
      if (gradient != nullptr) {
        for (std::size_t r = 0; r < n; ++r)
          if (knobs_.final_norm)
            normalize(weights_.final_norm, row_of(rows[r]), c.norm_epsilon, normed + r * c.width);
          else
            std::ranges::copy(row_of(rows[r]), normed + r * c.width);
        add_map_gradient(dy, dense_rows<const float>(normed, n, c.width), gradient->head_projection, workspace);
      }
      apply_transposed(weights_.head_projection, dy, dense_rows(d_normed, n, c.width), workspace);
    }
    for (std::size_t r = 0; r < n; ++r) {
      float* const to = dx.data + static_cast<std::ptrdiff_t>(rows[r]) * dx.token_stride;
      if (knobs_.final_norm)
        normalize_backward(weights_.final_norm, row_of(rows[r]), c.norm_epsilon, d_normed + r * c.width, to,
                           gradient == nullptr ? nullptr : &gradient->final_norm);
      else
        for (std::size_t f = 0; f < c.width; ++f) to[f] += d_normed[r * c.width + f];
    }
    rows.clear();
  };
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] == precis::no_target) continue;
    enter_head(row_of(i), entered + rows.size() * width);
    rows.push_back(i);
    if (rows.size() == most) read();
  }
  if (!rows.empty()) read();
  return total;
}

void transformer::embed_backward(const token_batch& batch, activations_view<float> d_stream,
                                 engine::weights& gradient) const {
  const config& c = weights_.config;
  const std::size_t inside = knobs_.layer_input_width, all = c.layers * inside, table = table_width();
  const std::size_t first = family_of(c).first_position;
  const auto add = [&](auto& to, std::size_t row, std::span<const float> values, float by) {
    float* const into = to.data() + row * values.size();
    for (std::size_t f = 0; f < values.size(); ++f) into[f] += values[f] * by;
  };
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  const layer_input_scales scales(c, knobs_);
  float* const embedded = memory.take(c.width);
  float* const projected = memory.take(all);
  float* const d_projected = memory.take(all);
  float* const narrow = memory.take(table);
  const matrix_view<float> d_row = dense_rows(memory.take(table), 1, table);
  for (std::size_t s = 0; s < batch.sequences; ++s)
    for (std::size_t t = 0; t < batch.tokens; ++t) {
      const auto id = static_cast<std::size_t>(batch.sequence(s)[t]);
      const std::span<float> dx = stream_.residual(d_stream)(s, t);
      if (!gradient.position_embedding.empty()) add(gradient.position_embedding, first + t, dx, 1);
      if (inside != 0) {
        weights_.token_embedding.read(id, 1, c.width, embedded);
        for (std::size_t f = 0; f < c.width; ++f) embedded[f] *= knobs_.embedding_scale;
        const matrix_view<const float> x = dense_rows<const float>(embedded, 1, c.width);
        apply(weights_.layer_projection, x, dense_rows(projected, 1, all), {}, workspace);
        for (std::size_t i = 0; i < all; ++i) projected[i] *= scales.projected;
        float* const d = d_stream(s, t).data() + stream_.layer_inputs;
        for (std::size_t i = 0; i < all; ++i) d[i] *= scales.sum;
        add(gradient.layer_embedding, id, {d, all}, scales.table);
        std::fill_n(d_projected, all, 0.f);
        for (std::size_t l = 0; l < all; l += inside)
          normalize_backward(weights_.layer_norm, {projected + l, inside}, c.norm_epsilon, d + l, d_projected + l,
                             &gradient.layer_norm);
        for (std::size_t i = 0; i < all; ++i) d_projected[i] *= scales.projected;
        const matrix_view<const float> dy = dense_rows<const float>(d_projected, 1, all);
        add_map_gradient(dy, x, gradient.layer_projection, workspace);
        add_transposed(weights_.layer_projection, dy, dense_rows(dx.data(), 1, c.width), workspace);
      }
      if (table == c.width) {
        add(gradient.token_embedding, id, dx, knobs_.embedding_scale);
        continue;
      }
      for (float& f : dx) f *= knobs_.embedding_scale;
      const matrix_view<const float> dy = dense_rows<const float>(dx.data(), 1, c.width);
      weights_.token_embedding.read(id, 1, table, narrow);
      add_map_gradient(dy, dense_rows<const float>(narrow, 1, table), gradient.embedding_projection, workspace);
      apply_transposed(weights_.embedding_projection, dy, d_row, workspace);
      add(gradient.token_embedding, id, d_row.row(0), 1);
    }
}

}  // namespace engine
