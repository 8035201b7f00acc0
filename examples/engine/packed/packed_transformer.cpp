#include <engine/packed/packed_transformer.hpp>

#include <engine/model/ends.hpp>
#include <engine/model/family.hpp>
#include <engine/model/math.hpp>
#include <engine/packed/row_operations.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace engine {
namespace {

using namespace packed_rows;
using precis::matrix_view;
using precis::token;

[[noreturn]] void bad_call(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "packed_transformer", .expected = std::move(expected)});
}

}  // namespace

packed_transformer::sequence::sequence(const config& c, const knobs& k, std::size_t longest, std::size_t threads)
    : longest_(longest),
      keys_(c.layers),
      values_(c.layers),
      states_(c.layers),
      logits_(c.vocabulary),
      threads_(std::make_unique<thread_team>(threads)) {
  for (std::size_t l = 0; l < c.layers; ++l) {
    if (k.layers[l].kv_source != own_keys) continue;
    keys_[l].resize(longest * k.layers[l].kv_heads * k.layers[l].head_width);
    values_[l].resize(keys_[l].size());
  }
}

packed_transformer::packed_transformer(packed_weights w, activation_type activations)
    : weights_(std::move(w)), activations_(activations) {
  const family& f = family_of(weights_.config);
  if (!f.causal) bad_call("a " + std::string(f.name), "a model that predicts the next token");
  knobs_ = settings_of(weights_.config);
  stream_ = stream_layout(weights_.config, knobs_);
  rotary_ = rotary(knobs_.ropes, weights_.config.context);
}

packed_transformer::sequence packed_transformer::begin(std::size_t longest, std::size_t threads) const {
  const config& c = shape();
  if (longest > c.context)
    bad_call("a sequence of " + std::to_string(longest) + " tokens",
             "at most " + std::to_string(c.context) + ", the model's context");
  if (longest == 0) longest = c.context;
  std::size_t widths = 0;
  for (const layer_settings& l : knobs_.layers)
    if (l.kv_source == own_keys) widths += 2 * l.kv_heads * l.head_width;
  return with_memory(widths * longest * sizeof(float), "the cache of " + std::to_string(longest) + " tokens",
                     [&] { return sequence(c, knobs_, longest, threads); });
}

void packed_transformer::embed(std::span<const token> tokens, std::size_t position, matrix_view<float> x,
                               thread_team& threads) const {
  const config& c = shape();
  const std::size_t width = c.width, table = table_width(), first = family_of(c).first_position;
  const std::size_t inside = knobs_.layer_input_width, all = c.layers * inside;
  scratch_arena memory;
  const matrix_view<float> rows = take_rows(memory, tokens.size(), table),
                           embedded = take_rows(memory, tokens.size(), width);
  for (std::size_t n = 0; n < tokens.size(); ++n)
    weights_.token_embedding.row(static_cast<std::size_t>(tokens[n]), rows.row(n));
  if (table != width) {
    input_rows projected(rows, activations_, memory);
    multiply(weights_.embedding_projection, projected, embedded, threads);
  }
  for (std::size_t n = 0; n < tokens.size(); ++n)
    std::ranges::copy((table != width ? embedded : rows).row(n), x.row(n).begin());
  scale(x.col_range(0, width), knobs_.embedding_scale);
  if (inside != 0) {
    const layer_input_scales scales(c, knobs_);
    for (std::size_t n = 0; n < tokens.size(); ++n) std::ranges::copy(x.row(n).first(width), embedded.row(n).begin());
    input_rows entering(embedded, activations_, memory);
    const matrix_view<float> projected = take_rows(memory, tokens.size(), all),
                             own = take_rows(memory, tokens.size(), all);
    multiply(weights_.layer_projection, entering, projected, threads);
    for (std::size_t n = 0; n < tokens.size(); ++n) {
      weights_.layer_embedding.row(static_cast<std::size_t>(tokens[n]), own.row(n));
      for (std::size_t i = 0; i < all; ++i) projected(n, i) *= scales.projected;
      for (std::size_t l = 0; l < all; l += inside)
        normalize(weights_.layer_norm, projected.row(n).subspan(l, inside), c.norm_epsilon,
                  projected.row(n).data() + l);
      for (std::size_t i = 0; i < all; ++i)
        x(n, stream_.layer_inputs + i) = (projected(n, i) + own(n, i) * scales.table) * scales.sum;
    }
  }
  if (weights_.position_embedding.empty()) return;
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    const float* const from = weights_.position_embedding.data() + (first + position + n) * width;
    for (std::size_t i = 0; i < width; ++i) x(n, i) += from[i];
  }
}

void packed_transformer::advance(sequence& s, std::span<const token> tokens, const rotary::tables& tables,
                                 matrix_view<float> entered) const {
  const config& c = shape();
  scratch_arena memory;
  const matrix_view<float> x = take_rows(memory, tokens.size(), stream_.total);
  embed(tokens, s.tokens_, x, *s.threads_);
  for (std::size_t l = 0; l < c.layers; ++l)
    run_block(s,
              {.shape = c,
               .knobs = knobs_,
               .block = weights_.blocks[l].rest,
               .stream = stream_,
               .tables = tables,
               .layer = l},
              x);
  const bool projects = knobs_.embedding_width != 0;
  const matrix_view<float> normed =
      projects ? take_rows(memory, tokens.size(), c.width) : entered.row_range(0, tokens.size());
  for (std::size_t n = 0; n < tokens.size(); ++n)
    if (knobs_.final_norm)
      normalize(weights_.final_norm, x.row(n).first(c.width), c.norm_epsilon, normed.row(n).data());
    else
      std::ranges::copy(x.row(n).first(c.width), normed.row(n).begin());
  if (projects) {
    input_rows leaving(normed, activations_, memory);
    multiply(weights_.head_projection, leaving, entered.row_range(0, tokens.size()), *s.threads_);
  }
  s.tokens_ += tokens.size();
}

void packed_transformer::head(matrix_view<const float> entered, matrix_view<float> logits, thread_team& threads) const {
  scratch_arena memory;
  input_rows x(entered, activations_, memory);
  multiply(shape().tied_head ? weights_.token_embedding : weights_.head, x, logits, threads);
  for (std::size_t n = 0; n < logits.rows && !weights_.head_bias.empty(); ++n)
    for (std::size_t i = 0; i < logits.cols; ++i) logits(n, i) += weights_.head_bias[i];
  finish_logits(knobs_, logits);
}

void packed_transformer::check(const sequence& s, std::span<const token> tokens) const {
  if (tokens.empty()) bad_call("no tokens", "at least one");
  if (tokens.size() > s.longest_ - s.tokens_)
    bad_call(std::to_string(tokens.size()) + " tokens after " + std::to_string(s.tokens_),
             "at most " + std::to_string(s.longest_) + " in all");
  for (const token id : tokens)
    if (id < 0 || static_cast<std::size_t>(id) >= shape().vocabulary)
      bad_call("token " + std::to_string(id), "0 to " + std::to_string(shape().vocabulary - 1));
}

std::span<const float> packed_transformer::append(sequence& s, std::span<const token> tokens) const {
  check(s, tokens);
  const std::size_t length = s.tokens_ + tokens.size();
  if (rotary_.depends_on_length()) {
    s.ids_.insert(s.ids_.end(), tokens.begin(), tokens.end());
    if (s.tokens_ != 0 && !rotary_.same_at(s.tokens_, length)) {  // every position changes: run the text again
      s.tokens_ = 0;
      s.states_.assign(s.states_.size(), {});
      tokens = s.ids_;
    }
  }
  const rotary::tables tables = rotary_.for_length(length);
  scratch_arena memory;
  const matrix_view<float> entered = take_rows(memory, input_rows::most, table_width());
  std::size_t last = 0;
  for (; !tokens.empty(); tokens = tokens.subspan(last)) {
    last = std::min(input_rows::most, tokens.size());
    advance(s, tokens.first(last), tables, entered);
  }
  head(entered.row_range(last - 1, 1), {std::span<float>(s.logits_), 1, s.logits_.size()}, *s.threads_);
  return s.logits_;
}

precis::nll packed_transformer::loss(const precis::token_batch& batch) const {
  const config& c = shape();
  if (batch.sequences == 0 || batch.ids.size() != batch.sequences * batch.tokens ||
      batch.targets.size() != batch.ids.size())
    bad_call(std::to_string(batch.targets.size()) + " targets for " + std::to_string(batch.ids.size()) + " tokens",
             "one target per token");
  for (const token t : batch.targets)
    if (t != precis::no_target && (t < 0 || static_cast<std::size_t>(t) >= c.vocabulary))
      bad_call("target " + std::to_string(t), "0 to " + std::to_string(c.vocabulary - 1));
  scratch_arena memory;
  const matrix_view<float> entered = take_rows(memory, input_rows::most, table_width()),
                           logits = take_rows(memory, input_rows::most, c.vocabulary);
  precis::nll total;
  for (std::size_t q = 0; q < batch.sequences; ++q) {
    const std::span<const token> ids = batch.sequence(q);
    sequence s = begin(batch.tokens);
    check(s, ids);
    const rotary::tables tables = rotary_.for_length(batch.tokens);
    for (std::size_t first = 0; first < ids.size(); first += input_rows::most) {
      const std::size_t count = std::min(input_rows::most, ids.size() - first);
      advance(s, ids.subspan(first, count), tables, entered);
      head(entered.row_range(0, count), logits.row_range(0, count), *s.threads_);
      for (std::size_t n = 0; n < count; ++n) {
        const token target = batch.targets[q * batch.tokens + first + n];
        if (target == precis::no_target) continue;
        total.sum += token_loss(log_sum_exp(logits.row(n)), logits(n, static_cast<std::size_t>(target)));
        ++total.count;
      }
    }
  }
  return total;
}

}  // namespace engine
