#include <engine/model/transformer.hpp>

#include <engine/model/family.hpp>
#include <engine/model/math.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace engine {
namespace {

using precis::activations_view;
using precis::float_matrix;
using precis::matrix_view;
using precis::token;
using precis::token_batch;

[[noreturn]] void bad_batch(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "transformer", .expected = std::move(expected)});
}

}  // namespace

transformer::transformer(engine::weights w) : weights_(std::move(w)), rotary_(weights_.config) {
  check(weights_);
  const family& f = family_of(weights_.config);
  if (!f.causal)
    bad_batch("a " + std::string(f.name), "a model that predicts the next token; a BERT runs as engine::encoder");
  matrices_ = matrices_of(weights_.config);
  maps_ = matrices_.size();
}

void transformer::list_tables() {
  if (has_tables()) return;
  const config& c = weights_.config;
  const auto add = [&](std::string_view name, std::size_t layer) {
    matrices_.push_back({.name = std::string(name), .layer = layer, .out = c.vocabulary, .in = c.width});
  };
  add(family_of(c).token_embedding, precis::before_layers);
  if (!c.tied_head) add(family_of(c).head, precis::after_layers);
}

std::span<const float> transformer::head_weights() const noexcept {
  return weights_.config.tied_head ? weights_.token_embedding : weights_.head;
}

void transformer::check_batch(const token_batch& b, bool needs_targets) const {
  const config& c = weights_.config;
  const std::string size = std::to_string(b.sequences) + " sequences of " + std::to_string(b.tokens) + " tokens";
  if (b.sequences == 0 || b.tokens == 0) bad_batch("a batch of " + size, "at least one token");
  if (b.ids.size() != b.sequences * b.tokens)
    bad_batch("a batch of " + size + " with " + std::to_string(b.ids.size()) + " ids", "one id per token");
  if (b.tokens > c.context)
    bad_batch("sequences of " + std::to_string(b.tokens) + " tokens",
              "at most " + std::to_string(c.context) + ", the model's context");
  if (most_tokens_ != 0 && b.tokens > most_tokens_)
    bad_batch("sequences of " + std::to_string(b.tokens) + " tokens",
              "at most " + std::to_string(most_tokens_) + ", the number of positions with recorded biases");
  const auto in_vocabulary = [&](token id) { return id >= 0 && static_cast<std::size_t>(id) < c.vocabulary; };
  const auto check_ids = [&](const std::vector<token>& ids, const char* name, bool may_be_absent) {
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (!in_vocabulary(ids[i]) && !(may_be_absent && ids[i] == precis::no_target))
        bad_batch(std::string(name) + " " + std::to_string(ids[i]) + " at sequence " + std::to_string(i / b.tokens) +
                      ", position " + std::to_string(i % b.tokens),
                  "0 to " + std::to_string(c.vocabulary - 1));
  };
  check_ids(b.ids, "token", false);
  if (!needs_targets) return;
  if (b.targets.empty()) bad_batch("a batch without targets", "targets to compute a loss from");
  if (b.targets.size() != b.ids.size())
    bad_batch("a batch of " + size + " with " + std::to_string(b.targets.size()) + " targets", "one target per token");
  check_ids(b.targets, "target", true);
}

void transformer::embed(const token_batch& b, activations_view<float> x, const tap_callback* tap) const {
  const std::size_t width = weights_.config.width;
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t)
      std::copy_n(weights_.token_embedding.data() + static_cast<std::size_t>(b.sequence(s)[t]) * width, width,
                  x(s, t).data());
  if (tap != nullptr) (*tap)({precis::site_kind::embedding, 0}, x);
  if (weights_.position_embedding.empty()) return;
  const std::size_t first = family_of(weights_.config).first_position;
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t) {
      float* const row = x(s, t).data();
      const float* const position = weights_.position_embedding.data() + (first + t) * width;
      for (std::size_t f = 0; f < width; ++f) row[f] += position[f];
    }
}

void transformer::run_blocks(activations_view<float> x, const tap_callback* tap, cache* fill,
                             std::span<block_values> keep, scratch_arena& memory) const {
  const config& c = weights_.config;
  const std::size_t rows = x.sequences * x.tokens;
  if (fill != nullptr) {
    fill->sequences_ = x.sequences;
    fill->tokens_ = x.tokens;
    fill->width_ = c.width;
    fill->kv_width_ = c.kv_width();
    fill->residuals_.resize((c.layers + 1) * rows * c.width);
    fill->keys_.resize(c.layers * rows * c.kv_width());
    fill->values_.resize(c.layers * rows * c.kv_width());
  }
  for (std::size_t l = 0; l <= c.layers; ++l) {
    if (tap != nullptr) (*tap)({precis::site_kind::residual, l}, x);
    if (fill != nullptr) std::copy_n(x.data, x.size(), fill->residuals_.data() + l * x.size());
    if (l == c.layers) break;
    block_run run{.shape = c, .block = weights_.blocks[l], .rotary = rotary_, .layer = l};
    if (fill != nullptr) {
      run.keep_keys = fill->keys_.data() + l * rows * c.kv_width();
      run.keep_values = fill->values_.data() + l * rows * c.kv_width();
    }
    if (!keep.empty()) keep[l] = allocate_values(c, rows, true, memory);
    scratch_arena block_memory;
    run_block(run, x, tap, keep.empty() ? nullptr : &keep[l], block_memory);
  }
}

void transformer::head(matrix_view<const float> normed, matrix_view<float> logits, scratch_arena& memory) const {
  const config& c = weights_.config;
  apply({head_weights(), c.vocabulary, c.width}, weights_.head_bias, normed, logits, product_workspace(memory));
}

float_matrix transformer::read_out(matrix_view<const float> residual) const {
  const config& c = weights_.config;
  if (residual.cols != c.width)
    bad_batch("residuals of " + std::to_string(residual.cols) + " features", std::to_string(c.width));
  if (!residual.rows_contiguous()) bad_batch("residual rows with gaps between their features", "contiguous rows");
  scratch_arena memory;
  float* const normed = memory.take(residual.rows * c.width);
  for (std::size_t r = 0; r < residual.rows; ++r)
    normalize(weights_.final_norm, residual.row(r), c.norm_epsilon, normed + r * c.width);
  float_matrix logits(residual.rows, c.vocabulary);
  head({std::span<const float>(normed, residual.rows * c.width), residual.rows, c.width}, logits.view(), memory);
  return logits;
}

float_matrix transformer::logits_of(const token_batch& batch, precis::positions which, const tap_callback* tap,
                                    cache* fill) const {
  check_batch(batch, false);
  const std::size_t width = weights_.config.width;
  scratch_arena memory;
  const std::size_t size = batch.sequences * batch.tokens * width;
  const activations_view<float> x({memory.take(size), size}, batch.sequences, batch.tokens, width);
  embed(batch, x, tap);
  run_blocks(x, tap, fill, {}, memory);
  if (which == precis::positions::all) return read_out(x.as_matrix());
  return read_out({x.data + (batch.tokens - 1) * width, batch.sequences, width,
                   static_cast<std::ptrdiff_t>(batch.tokens * width), 1});
}

precis::nll transformer::loss_of(const token_batch& batch, const tap_callback* tap) const {
  check_batch(batch, true);
  const std::size_t width = weights_.config.width;
  scratch_arena memory;
  const std::size_t size = batch.sequences * batch.tokens * width;
  const activations_view<float> x({memory.take(size), size}, batch.sequences, batch.tokens, width);
  embed(batch, x, tap);
  run_blocks(x, tap, nullptr, {}, memory);
  return read_loss(batch, x);
}

precis::activations transformer::enter(const token_batch& batch) const {
  check_batch(batch, false);
  precis::activations x(batch.sequences, batch.tokens, weights_.config.width);
  embed(batch, x.view(), nullptr);
  return x;
}

void transformer::run_layer(std::size_t layer, precis::activations& residual) const {
  const config& c = weights_.config;
  if (layer >= c.layers) bad_batch("layer " + std::to_string(layer), "less than " + std::to_string(c.layers));
  if (residual.features != c.width || residual.tokens == 0 || residual.tokens > c.context)
    bad_batch("a residual of " + std::to_string(residual.tokens) + " tokens x " + std::to_string(residual.features) +
                  " features",
              "1 to " + std::to_string(c.context) + " tokens of " + std::to_string(c.width) + " features");
  scratch_arena memory;
  run_block({.shape = c, .block = weights_.blocks[layer], .rotary = rotary_, .layer = layer}, residual.view(), nullptr,
            nullptr, memory);
}

precis::nll transformer::read_loss(const token_batch& batch, activations_view<const float> residual) const {
  check_batch(batch, true);
  const config& c = weights_.config;
  if (residual.sequences != batch.sequences || residual.tokens != batch.tokens || residual.features != c.width)
    bad_batch("a residual of " + std::to_string(residual.sequences) + " x " + std::to_string(residual.tokens) + " x " +
                  std::to_string(residual.features),
              "the batch's " + std::to_string(batch.sequences) + " sequences of " + std::to_string(batch.tokens) +
                  " tokens, and " + std::to_string(c.width) + " features");
  scratch_arena memory;
  const std::size_t most = head_rows(c);
  float* const normed = memory.take(most * c.width);
  float* const logits = memory.take(most * c.vocabulary);
  std::vector<token> targets;
  precis::nll total;
  const auto read = [&] {  // adds the losses of the rows collected so far
    const std::size_t n = targets.size();
    scratch_arena head_memory;
    head({std::span<const float>(normed, n * c.width), n, c.width},
         {std::span<float>(logits, n * c.vocabulary), n, c.vocabulary}, head_memory);
    for (std::size_t r = 0; r < n; ++r) {
      const std::span<const float> row(logits + r * c.vocabulary, c.vocabulary);
      total.sum += token_loss(log_sum_exp(row), row[static_cast<std::size_t>(targets[r])]);
    }
    total.count += n;
    targets.clear();
  };
  for (std::size_t i = 0; i < batch.targets.size(); ++i) {
    if (batch.targets[i] == precis::no_target) continue;
    normalize(weights_.final_norm, residual(i / batch.tokens, i % batch.tokens), c.norm_epsilon,
              normed + targets.size() * c.width);
    targets.push_back(batch.targets[i]);
    if (targets.size() == most) read();
  }
  if (!targets.empty()) read();
  return total;
}

void transformer::inputs_of(const token_batch& batch, const input_callback& sink) const {
  check_batch(batch, false);
  const config& c = weights_.config;
  struct reading {
    float* block_values::* input;
    std::size_t width;
    std::vector<std::size_t> matrices;  // indices in the block
  };
  reading readings[] = {{&block_values::normed, c.width, {}},
                        {&block_values::context, c.width, {}},
                        {&block_values::mlp_normed, c.width, {}},
                        {&block_values::active, c.hidden, {}}};
  const std::vector<block_part> maps = maps_of(family_of(c));
  const std::size_t into_mlp = family_of(c).parallel ? 0 : 2;
  for (std::size_t m = 0; m < maps.size(); ++m) {
    const bool attention = maps[m].part == precis::part::attention;
    const bool writes = maps[m].map == (attention ? &block::attention_out : &block::down);
    const std::size_t at = writes ? (attention ? 1 : 3) : attention ? 0 : into_mlp;
    readings[at].matrices.push_back(m);
  }
  scratch_arena memory;
  const std::size_t rows = batch.sequences * batch.tokens;
  const activations_view<float> x({memory.take(rows * c.width), rows * c.width}, batch.sequences, batch.tokens,
                                  c.width);
  embed(batch, x, nullptr);
  block_values kept = allocate_values(c, rows, true, memory);
  for (std::size_t l = 0; l < c.layers; ++l) {
    scratch_arena block_memory;
    run_block({.shape = c, .block = weights_.blocks[l], .rotary = rotary_, .layer = l}, x, nullptr, &kept,
              block_memory);
    for (const reading& r : readings) {
      if (r.matrices.empty()) continue;
      std::vector<std::size_t> matrices = r.matrices;
      for (std::size_t& m : matrices) m += l * maps.size();
      const std::span<const float> values(kept.*r.input, rows * r.width);
      sink({.matrices = matrices, .input = {values, batch.sequences, batch.tokens, r.width}});
    }
  }
  if (!has_tables()) return;
  float* const normed = memory.take(rows * c.width);
  for (std::size_t r = 0; r < rows; ++r)
    normalize(weights_.final_norm, x.as_matrix().row(r), c.norm_epsilon, normed + r * c.width);
  const std::size_t head = head_matrix();
  sink({.matrices = {&head, 1},
        .input = {std::span<const float>(normed, rows * c.width), batch.sequences, batch.tokens, c.width}});
}

void transformer::resume(const precis::layer_run& run, const cache& from, activations_view<float> residual,
                         const tap_callback* tap) const {
  const config& c = weights_.config;
  const std::size_t rows = from.sequences_ * from.tokens_;
  if (run.layer >= c.layers) bad_batch("layer " + std::to_string(run.layer), "less than " + std::to_string(c.layers));
  if (from.width_ != c.width || from.kv_width_ != c.kv_width() ||
      from.residuals_.size() != (c.layers + 1) * rows * c.width)
    bad_batch("a cache that this model did not fill", "one that `capture` filled");
  if (residual.features != c.width || residual.tokens == 0)
    bad_batch("a residual of " + std::to_string(residual.tokens) + " tokens x " + std::to_string(residual.features) +
                  " features",
              "at least one token of " + std::to_string(c.width) + " features");
  if (run.first_token > from.tokens_ || run.first_token + residual.tokens > c.context)
    bad_batch("tokens " + std::to_string(run.first_token) + " to " +
                  std::to_string(run.first_token + residual.tokens - 1) + " after " + std::to_string(from.tokens_) +
                  " cached ones",
              "a first token that the cache reaches, and at most " + std::to_string(c.context) + " in all");
  if (run.sequences.size() != residual.sequences)
    bad_batch(
        std::to_string(run.sequences.size()) + " cached sequences for " + std::to_string(residual.sequences) + " rows",
        "one per row");
  for (const std::size_t s : run.sequences)
    if (s >= from.sequences_)
      bad_batch("cached sequence " + std::to_string(s), "less than " + std::to_string(from.sequences_));
  if (residual.sequences == 0) return;

  scratch_arena memory;
  run_block({.shape = c,
             .block = weights_.blocks[run.layer],
             .rotary = rotary_,
             .layer = run.layer,
             .first_token = run.first_token,
             .last_only = run.outputs == precis::positions::last,
             .cached_keys = from.keys_.data() + run.layer * rows * c.kv_width(),
             .cached_values = from.values_.data() + run.layer * rows * c.kv_width(),
             .cached_tokens = from.tokens_,
             .sequences = run.sequences},
            residual, tap, nullptr, memory);
}

}  // namespace engine
