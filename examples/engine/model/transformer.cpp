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

transformer::transformer(engine::weights w) : weights_(std::move(w)) {
  check(weights_);
  const config& c = weights_.config;
  const family& f = family_of(c);
  if (!f.causal)
    bad_batch("a " + std::string(f.name), "a model that predicts the next token; a BERT runs as engine::encoder");
  knobs_ = settings_of(c);
  matrices_ = matrices_of(c);
  places_ = matrix_places_of(c, knobs_);
  by_layer_ = layer_matrices_of(c, knobs_);
  maps_ = matrices_.size();
  stream_ = stream_layout(c, knobs_);
  rotary_ = rotary(knobs_.ropes, c.context);
}

void transformer::list_tables() {
  if (has_tables()) return;
  const config& c = weights_.config;
  const auto add = [&](std::string_view name, std::size_t layer) {
    matrices_.push_back({.name = std::string(name), .layer = layer, .out = c.vocabulary, .in = table_width()});
  };
  add(family_of(c).token_embedding, precis::before_layers);
  if (!c.tied_head) add(family_of(c).head, precis::after_layers);
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

void transformer::run_blocks(activations_view<float> x, const tap_callback* tap, cache* fill,
                             std::span<block_values> keep, scratch_arena& memory) const {
  const config& c = weights_.config;
  const std::size_t rows = x.sequences * x.tokens;
  const rotary::tables tables = rotary_.for_length(x.tokens);
  if (fill != nullptr) {
    fill->sequences_ = x.sequences;
    fill->tokens_ = x.tokens;
    fill->width_ = stream_.total;
    fill->residuals_.resize((c.layers + 1) * rows * stream_.total);
    fill->widths_.resize(c.layers);
    fill->keys_.resize(c.layers);
    fill->values_.resize(c.layers);
  }
  for (std::size_t l = 0; l <= c.layers; ++l) {
    if (tap != nullptr) (*tap)({precis::site_kind::residual, l}, stream_.residual(x));
    if (fill != nullptr) std::copy_n(x.data, x.size(), fill->residuals_.data() + l * x.size());
    if (l == c.layers) break;
    block_run run = run_of(l, tables);
    if (fill != nullptr) {
      fill->widths_[l] = run.has_own_keys() ? run.kv_width() : 0;
      fill->keys_[l].resize(rows * fill->widths_[l]);
      fill->values_[l].resize(rows * fill->widths_[l]);
      run.keep_keys = fill->keys_[l].data();
      run.keep_values = fill->values_[l].data();
    }
    if (!keep.empty()) keep[l] = allocate_values(run, rows, true, memory);
    scratch_arena block_memory;
    run_block(run, x, tap, keep.empty() ? nullptr : &keep[l], block_memory);
  }
}

block_run transformer::run_of(std::size_t layer, const rotary::tables& tables) const noexcept {
  return {.shape = weights_.config,
          .knobs = knobs_,
          .block = weights_.blocks[layer],
          .stream = stream_,
          .tables = tables,
          .layer = layer};
}

activations_view<float> transformer::take_stream(const token_batch& batch, scratch_arena& memory) const {
  const std::size_t size = batch.sequences * batch.tokens * stream_.total;
  return {{memory.take(size), size}, batch.sequences, batch.tokens, stream_.total};
}

float_matrix transformer::logits_of(const token_batch& batch, precis::positions which, const tap_callback* tap,
                                    cache* fill) const {
  check_batch(batch, false);
  scratch_arena memory;
  const activations_view<float> x = take_stream(batch, memory);
  embed(batch, x, tap);
  run_blocks(x, tap, fill, {}, memory);
  if (which == precis::positions::all) return read_out(x.as_matrix());
  return read_out({x.data + (batch.tokens - 1) * stream_.total, batch.sequences, stream_.total,
                   static_cast<std::ptrdiff_t>(batch.tokens * stream_.total), 1});
}

precis::nll transformer::loss_of(const token_batch& batch, const tap_callback* tap) const {
  check_batch(batch, true);
  scratch_arena memory;
  const activations_view<float> x = take_stream(batch, memory);
  embed(batch, x, tap);
  run_blocks(x, tap, nullptr, {}, memory);
  return read_loss(batch, x);
}

precis::activations transformer::enter(const token_batch& batch) const {
  check_batch(batch, false);
  precis::activations x(batch.sequences, batch.tokens, stream_.total);
  embed(batch, x.view(), nullptr);
  return x;
}

void transformer::check_residual(std::size_t layer, const precis::activations& residual) const {
  const config& c = weights_.config;
  if (layer >= c.layers) bad_batch("layer " + std::to_string(layer), "less than " + std::to_string(c.layers));
  if (residual.features != stream_.total || residual.tokens == 0 || residual.tokens > c.context)
    bad_batch("a residual of " + std::to_string(residual.tokens) + " tokens x " + std::to_string(residual.features) +
                  " features",
              "1 to " + std::to_string(c.context) + " tokens of " + std::to_string(stream_.total) + " features");
}

namespace {

/// Runs a block on a stream and calls use(kept values, memory they live in).
template<class Use>
void run_and_keep(const block_run& run, activations_view<float> x, Use&& use) {
  scratch_arena memory;
  block_values kept = allocate_values(run, x.rows(), true, memory);
  run_block(run, x, nullptr, &kept, memory);
  use(std::as_const(kept), memory);
}

}  // namespace

void transformer::run_layer(std::size_t layer, precis::activations& residual) const {
  check_residual(layer, residual);
  scratch_arena memory;
  run_block(run_of(layer, rotary_.for_length(residual.tokens)), residual.view(), nullptr, nullptr, memory);
}

void transformer::inputs_of_layer(std::size_t layer, precis::activations& residual, const input_callback& sink) const {
  check_residual(layer, residual);
  const rotary::tables tables = rotary_.for_length(residual.tokens);
  const block_run run = run_of(layer, tables);
  run_and_keep(run, residual.view(), [&](const block_values& kept, scratch_arena&) {
    report_inputs(run, by_layer_[layer], residual.sequences, residual.tokens, kept, sink);
  });
}

void transformer::gradient_of_layer(std::size_t layer, precis::activations& residual, precis::activations& gradient,
                                    const std::function<void()>& at_output, const sink_callback& sink) const {
  check_residual(layer, residual);
  check_residual(layer, gradient);
  const rotary::tables tables = rotary_.for_length(residual.tokens);
  const block_run run = run_of(layer, tables);
  run_and_keep(run, residual.view(), [&](const block_values& kept, scratch_arena& memory) {
    at_output();
    backward_block(run, by_layer_[layer], residual.view(), gradient.view(), kept, sink, nullptr, memory);
  });
}

template<class Use>
void transformer::visit_blocks(const token_batch& batch, activations_view<float> x, Use&& use) const {
  embed(batch, x, nullptr);
  const rotary::tables tables = rotary_.for_length(batch.tokens);
  for (std::size_t l = 0; l < layers(); ++l) {
    const block_run run = run_of(l, tables);
    run_and_keep(run, x, [&](const block_values& kept, scratch_arena&) { use(run, kept); });
  }
}

void transformer::inputs_of(const token_batch& batch, const input_callback& sink) const {
  check_batch(batch, false);
  scratch_arena memory;
  const std::size_t rows = batch.sequences * batch.tokens;
  const activations_view<float> x = take_stream(batch, memory);
  visit_blocks(batch, x, [&](const block_run& run, const block_values& kept) {
    report_inputs(run, by_layer_[run.layer], batch.sequences, batch.tokens, kept, sink);
  });
  if (!has_tables()) return;
  const std::size_t width = table_width();
  float* const entered = memory.take(rows * width);
  for (std::size_t r = 0; r < rows; ++r) enter_head(x.as_matrix().row(r), entered + r * width);
  const std::size_t head = head_matrix();
  sink({.matrices = {&head, 1},
        .input = {std::span<const float>(entered, rows * width), batch.sequences, batch.tokens, width}});
}

std::vector<std::vector<std::size_t>> transformer::routed(const token_batch& batch) const {
  check_batch(batch, false);
  scratch_arena memory;
  std::vector<std::vector<std::size_t>> counts(layers());
  visit_blocks(batch, take_stream(batch, memory), [&](const block_run& run, const block_values& kept) {
    if (run.settings().experts) counts[run.layer] = kept.experts.made.counts(knobs_.mixture.router.experts);
  });
  return counts;
}

void transformer::resume(const precis::layer_run& run, const cache& from, activations_view<float> residual,
                         const tap_callback* tap) const {
  const config& c = weights_.config;
  const std::size_t rows = from.sequences_ * from.tokens_;
  if (run.layer >= c.layers) bad_batch("layer " + std::to_string(run.layer), "less than " + std::to_string(c.layers));
  const auto fits = [&](std::size_t l) {
    const layer_settings& s = knobs_.layers[l];
    return from.widths_[l] == (s.kv_source == own_keys ? s.kv_heads * s.head_width : 0);
  };
  bool filled = from.width_ == stream_.total && from.widths_.size() == c.layers &&
                from.residuals_.size() == (c.layers + 1) * rows * stream_.total;
  for (std::size_t l = 0; filled && l < c.layers; ++l) filled = fits(l);
  if (!filled) bad_batch("a cache that this model did not fill", "one that `capture` filled");
  if (residual.features != stream_.total || residual.tokens == 0)
    bad_batch("a residual of " + std::to_string(residual.tokens) + " tokens x " + std::to_string(residual.features) +
                  " features",
              "at least one token of " + std::to_string(stream_.total) + " features");
  const std::size_t end = run.first_token + residual.tokens;
  if (run.first_token > from.tokens_ || end > c.context)
    bad_batch("tokens " + std::to_string(run.first_token) + " to " + std::to_string(end - 1) + " after " +
                  std::to_string(from.tokens_) + " cached ones",
              "a first token that the cache reaches, and at most " + std::to_string(c.context) + " in all");
  if (run.sequences.size() != residual.sequences)
    bad_batch(
        std::to_string(run.sequences.size()) + " cached sequences for " + std::to_string(residual.sequences) + " rows",
        "one per row");
  for (const std::size_t s : run.sequences)
    if (s >= from.sequences_)
      bad_batch("cached sequence " + std::to_string(s), "less than " + std::to_string(from.sequences_));
  if (run.first_token > 0 && !rotary_.same_at(from.tokens_, end))
    bad_batch("a sequence of " + std::to_string(end) + " tokens that continues one of " + std::to_string(from.tokens_),
              "the same length, because the rotary positions of this model depend on it");
  if (residual.sequences == 0) return;

  const rotary::tables tables = rotary_.for_length(end);
  const std::size_t source = knobs_.layers[run.layer].kv_source, keys = source == own_keys ? run.layer : source;
  block_run resumed = run_of(run.layer, tables);
  resumed.first_token = run.first_token;
  resumed.last_only = run.outputs == precis::positions::last;
  resumed.cached_keys = from.keys_[keys].data();
  resumed.cached_values = from.values_[keys].data();
  resumed.cached_stream = from.residuals_.data() + run.layer * rows * stream_.total;
  resumed.cached_tokens = from.tokens_;
  resumed.sequences = run.sequences;
  scratch_arena memory;
  run_block(resumed, residual, tap, nullptr, memory);
}

precis::nll transformer::backward_of(const precis::token_batch& batch, const sink_callback& sink,
                                     engine::weights* gradient) const {
  check_batch(batch, true);
  const config& c = weights_.config;
  if (gradient != nullptr && (gradient->config != c || gradient->blocks.size() != c.layers))
    precis::refuse({.what = "a gradient of another shape", .where = "transformer", .expected = "zeros(shape())"});

  scratch_arena memory;
  const activations_view<float> x = take_stream(batch, memory), dx = take_stream(batch, memory);
  std::vector<block_values> kept(c.layers);
  embed(batch, x, nullptr);
  run_blocks(x, nullptr, nullptr, kept, memory);

  const precis::nll total = head_backward(batch, x, dx, sink, gradient);
  const rotary::tables tables = rotary_.for_length(batch.tokens);
  for (std::size_t l = c.layers; l-- > 0;) {
    scratch_arena block_memory;
    backward_block(run_of(l, tables), by_layer_[l], x, dx, kept[l], sink,
                   gradient == nullptr ? nullptr : &gradient->blocks[l], block_memory);
  }
  if (gradient != nullptr) embed_backward(batch, dx, *gradient);
  return total;
}

}  // namespace engine
