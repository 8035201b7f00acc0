#include <engine/packed/packed_transformer.hpp>

#include <engine/model/attention.hpp>
#include <engine/model/family.hpp>
#include <engine/model/math.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace engine {
namespace {

using precis::matrix_view;
using precis::token;

[[noreturn]] void bad_call(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "packed_transformer", .expected = std::move(expected)});
}

[[nodiscard]] std::ptrdiff_t signed_size(std::size_t n) noexcept { return static_cast<std::ptrdiff_t>(n); }

[[nodiscard]] matrix_view<float> take_rows(scratch_arena& memory, std::size_t rows, std::size_t width) {
  return {memory.take(rows * width), rows, width, signed_size(width), 1};
}

/// Computes y = W x + b for every row.
void apply(const packed_map& map, input_rows& x, matrix_view<float> y, thread_team& threads) {
  multiply(map.matrix, x, y, threads);
  for (std::size_t n = 0; n < y.rows && !map.bias.empty(); ++n)
    for (std::size_t i = 0; i < y.cols; ++i) y(n, i) += map.bias[i];
}

void add(matrix_view<float> x, matrix_view<const float> y) noexcept {
  for (std::size_t n = 0; n < x.rows; ++n)
    for (std::size_t i = 0; i < x.cols; ++i) x(n, i) += y(n, i);
}

}  // namespace

packed_transformer::sequence::sequence(const config& c, std::size_t longest, std::size_t threads)
    : longest_(longest),
      keys_(c.layers * longest * c.kv_width()),
      values_(keys_.size()),
      logits_(c.vocabulary),
      threads_(std::make_unique<thread_team>(threads)) {}

packed_transformer::packed_transformer(packed_weights w, activation_type activations)
    : weights_(std::move(w)), activations_(activations), rotary_(weights_.config) {
  const family& f = family_of(weights_.config);
  if (!f.causal) bad_call("a " + std::string(f.name), "a model that predicts the next token");
}

packed_transformer::sequence packed_transformer::begin(std::size_t longest, std::size_t threads) const {
  const config& c = shape();
  if (longest > c.context)
    bad_call("a sequence of " + std::to_string(longest) + " tokens",
             "at most " + std::to_string(c.context) + ", the model's context");
  if (longest == 0) longest = c.context;
  return with_memory(2 * c.layers * longest * c.kv_width() * sizeof(float),
                     "the cache of " + std::to_string(longest) + " tokens",
                     [&] { return sequence(c, longest, threads); });
}

void packed_transformer::run_block(sequence& s, std::size_t layer, matrix_view<float> x) const {
  const config& c = shape();
  const family& f = family_of(c);
  const packed_block& b = weights_.blocks[layer];
  const std::size_t tokens = x.rows, width = c.width, kv = c.kv_width(), end = s.tokens_ + tokens;
  thread_team& threads = *s.threads_;
  scratch_arena memory;
  const matrix_view<float> normed = take_rows(memory, tokens, width), out = take_rows(memory, tokens, width);

  // Queries, keys and values.
  for (std::size_t n = 0; n < tokens; ++n) normalize(b.attention_norm, x.row(n), c.norm_epsilon, normed.row(n).data());
  input_rows attention_input(normed, activations_, memory);
  const matrix_view<float> qkv = take_rows(memory, tokens, width + 2 * kv);
  const auto query = qkv.col_range(0, width), key = qkv.col_range(width, kv), value = qkv.col_range(width + kv, kv);
  if (f.fused) {
    apply(b.qkv, attention_input, qkv, threads);
  } else {
    apply(b.query, attention_input, query, threads);
    apply(b.key, attention_input, key, threads);
    apply(b.value, attention_input, value, threads);
  }
  float* const keys = s.keys_.data() + layer * s.longest_ * kv;
  float* const values = s.values_.data() + layer * s.longest_ * kv;
  for (std::size_t n = 0; n < tokens; ++n) {
    const std::size_t position = s.tokens_ + n;
    if (rotary_.pairs != 0) {
      rotary_.rotate(query.row(n).data(), c.heads, position);
      rotary_.rotate(key.row(n).data(), c.kv_heads, position);
    }
    std::ranges::copy(key.row(n), keys + position * kv);
    std::ranges::copy(value.row(n), values + position * kv);
  }

  // Attention to this and earlier tokens.
  const matrix_view<float> context = take_rows(memory, tokens, width);
  attend({.shape = {c.heads, c.kv_heads, c.head_width()},
          .earlier = 0,
          .positions = end,
          .queries = tokens,
          .query = {query.data, query.row_stride},
          .cached_key = {},
          .cached_value = {},
          .key = {keys, signed_size(kv)},
          .value = {values, signed_size(kv)}},
         {context.data, context.row_stride}, memory.take(attention_scratch(end, tokens)), product_workspace(memory));
  input_rows attention_output(context, activations_, memory);
  apply(b.attention_out, attention_output, out, threads);
  if (!f.parallel) add(x, out);

  // The MLP.
  const matrix_view<float> mlp_normed = f.parallel ? normed : take_rows(memory, tokens, width);
  for (std::size_t n = 0; n < tokens && !f.parallel; ++n)
    normalize(b.mlp_norm, x.row(n), c.norm_epsilon, mlp_normed.row(n).data());
  input_rows mlp_input(mlp_normed, activations_, memory);
  const matrix_view<float> hidden = take_rows(memory, tokens, c.hidden);
  const float* up = nullptr;
  if (f.gated) {
    const matrix_view<float> raised = take_rows(memory, tokens, c.hidden);
    apply(b.up, mlp_input, raised, threads);
    up = raised.data;
  }
  apply(f.gated ? b.gate : b.up, mlp_input, hidden, threads);
  with_activation(c.activation, [&]<class F>(F) {
    if (f.gated)
      for_each_lane([]<class L>(L, auto raw, auto by) { return L::multiply(F::template value<L>(raw), by); },
                    tokens * c.hidden, hidden.data, hidden.data, up);
    else
      for_each_lane([]<class L>(L, auto raw) { return F::template value<L>(raw); }, tokens * c.hidden, hidden.data,
                    hidden.data);
  });
  if (f.parallel) add(x, out);
  input_rows active(hidden, activations_, memory);
  apply(b.down, active, out, threads);
  add(x, out);
}

void packed_transformer::advance(sequence& s, std::span<const token> tokens, matrix_view<float> normed) const {
  const config& c = shape();
  scratch_arena memory;
  const matrix_view<float> x = take_rows(memory, tokens.size(), c.width);
  const std::size_t first = family_of(c).first_position;
  for (std::size_t n = 0; n < tokens.size(); ++n) {
    weights_.token_embedding.row(static_cast<std::size_t>(tokens[n]), x.row(n));
    if (weights_.position_embedding.empty()) continue;
    const float* const position = weights_.position_embedding.data() + (first + s.tokens_ + n) * c.width;
    for (std::size_t i = 0; i < c.width; ++i) x(n, i) += position[i];
  }
  for (std::size_t l = 0; l < c.layers; ++l) run_block(s, l, x);
  for (std::size_t n = 0; n < tokens.size(); ++n)
    normalize(weights_.final_norm, x.row(n), c.norm_epsilon, normed.row(n).data());
  s.tokens_ += tokens.size();
}

void packed_transformer::head(matrix_view<const float> normed, matrix_view<float> logits, thread_team& threads) const {
  scratch_arena memory;
  input_rows x(normed, activations_, memory);
  multiply(shape().tied_head ? weights_.token_embedding : weights_.head, x, logits, threads);
  for (std::size_t n = 0; n < logits.rows && !weights_.head_bias.empty(); ++n)
    for (std::size_t i = 0; i < logits.cols; ++i) logits(n, i) += weights_.head_bias[i];
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
  const std::size_t width = shape().width;
  scratch_arena memory;
  const matrix_view<float> normed = take_rows(memory, input_rows::most, width);
  std::size_t last = 0;
  for (; !tokens.empty(); tokens = tokens.subspan(last)) {
    last = std::min(input_rows::most, tokens.size());
    advance(s, tokens.first(last), normed);
  }
  head(normed.row_range(last - 1, 1), {std::span<float>(s.logits_), 1, s.logits_.size()}, *s.threads_);
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
  const matrix_view<float> normed = take_rows(memory, input_rows::most, c.width),
                           logits = take_rows(memory, input_rows::most, c.vocabulary);
  precis::nll total;
  for (std::size_t q = 0; q < batch.sequences; ++q) {
    const std::span<const token> ids = batch.sequence(q);
    sequence s = begin(batch.tokens);
    check(s, ids);
    for (std::size_t first = 0; first < ids.size(); first += input_rows::most) {
      const std::size_t count = std::min(input_rows::most, ids.size() - first);
      advance(s, ids.subspan(first, count), normed);
      head(normed.row_range(0, count), logits.row_range(0, count), *s.threads_);
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
