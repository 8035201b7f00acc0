#include <engine/model/encoder.hpp>

#include <engine/model/bidirectional_attention.hpp>
#include <engine/model/math.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace engine {
namespace {

using precis::activations_view;
using precis::float_matrix;
using precis::matrix_view;
using precis::token;

[[noreturn]] void bad_texts(std::string what, std::string expected) {
  precis::refuse({.what = std::move(what), .where = "encoder", .expected = std::move(expected)});
}

void normalize_rows(const norm& n, activations_view<float> x, float epsilon) noexcept {
  for (std::size_t s = 0; s < x.sequences; ++s)
    for (std::size_t t = 0; t < x.tokens; ++t) normalize(n, x(s, t), epsilon, x(s, t).data());
}

}  // namespace

text_batch texts(std::span<const std::vector<token>> sequences, std::vector<token> labels) {
  text_batch b{.sequences = sequences.size(), .tokens = 0, .ids = {}, .types = {}, .lengths = {}, .labels = {}};
  for (const std::vector<token>& s : sequences) {
    if (s.empty()) bad_texts("text " + std::to_string(b.lengths.size()) + " without tokens", "at least one token");
    b.lengths.push_back(s.size());
    b.tokens = std::max(b.tokens, s.size());
  }
  if (sequences.empty()) bad_texts("no texts", "at least one");
  for (const std::vector<token>& s : sequences) {
    b.ids.insert(b.ids.end(), s.begin(), s.end());
    b.ids.resize(b.ids.size() + b.tokens - s.size(), s.back());
  }
  b.labels = std::move(labels);
  return b;
}

encoder::encoder(engine::weights w) : weights_(std::move(w)) {
  check(weights_);
  const family& f = family_of(weights_.config);
  if (f.causal)
    bad_texts("a " + std::string(f.name), "a BERT; a model that predicts the next token runs as engine::transformer");
  matrices_ = matrices_of(weights_.config);
}

void encoder::check_batch(const text_batch& b, bool needs_labels) const {
  const config& c = weights_.config;
  const std::string size = std::to_string(b.sequences) + " sequences of " + std::to_string(b.tokens) + " tokens";
  if (b.sequences == 0 || b.tokens == 0) bad_texts("a batch of " + size, "at least one token");
  if (b.tokens > c.context)
    bad_texts("sequences of " + std::to_string(b.tokens) + " tokens",
              "at most " + std::to_string(c.context) + ", the model's context");
  const auto check_count = [&](std::size_t count, std::size_t wanted, const char* names) {
    if (count != wanted)
      bad_texts("a batch of " + size + " with " + std::to_string(count) + " " + names, std::to_string(wanted));
  };
  const auto check_values = [&](const std::vector<token>& given, const char* name, std::size_t below, std::size_t a_row,
                                bool may_be_absent) {
    for (std::size_t i = 0; i < given.size(); ++i)
      if ((given[i] < 0 || static_cast<std::size_t>(given[i]) >= below) &&
          !(may_be_absent && given[i] == precis::no_target))
        bad_texts(std::string(name) + " " + std::to_string(given[i]) + " at sequence " + std::to_string(i / a_row) +
                      (a_row == 1 ? "" : ", position " + std::to_string(i % a_row)),
                  "0 to " + std::to_string(below - 1));
  };
  check_count(b.ids.size(), b.sequences * b.tokens, "ids");
  check_values(b.ids, "token", c.vocabulary, b.tokens, false);
  if (!b.types.empty()) check_count(b.types.size(), b.sequences * b.tokens, "token types");
  check_values(b.types, "token type", c.token_types, b.tokens, false);
  if (!b.lengths.empty()) check_count(b.lengths.size(), b.sequences, "lengths");
  for (const std::size_t n : b.lengths)
    if (n == 0 || n > b.tokens)
      bad_texts("a sequence of length " + std::to_string(n) + " in a batch of " + size,
                "1 to " + std::to_string(b.tokens));
  if (needs_labels && b.labels.empty()) bad_texts("a batch without labels", "labels to compute a loss from");
  if (!b.labels.empty()) check_count(b.labels.size(), b.sequences, "labels");
  check_values(b.labels, "label", c.labels, 1, true);
}

void encoder::embed(const text_batch& b, activations_view<float> x, const tap_callback* tap, float* embedded) const {
  const std::size_t width = weights_.config.width;
  const auto row = [width](const std::vector<float>& table, std::size_t i) { return table.data() + i * width; };
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t)
      std::copy_n(row(weights_.token_embedding, static_cast<std::size_t>(b.ids[s * b.tokens + t])), width,
                  x(s, t).data());
  if (tap != nullptr) (*tap)({precis::site_kind::embedding, 0}, x);
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t) {
      const std::size_t type = b.types.empty() ? 0 : static_cast<std::size_t>(b.types[s * b.tokens + t]);
      const float *const p = row(weights_.position_embedding, t), *const k = row(weights_.type_embedding, type);
      float* const to = x(s, t).data();
      for (std::size_t f = 0; f < width; ++f) to[f] += p[f] + k[f];
    }
  if (embedded != nullptr) std::copy_n(x.data, x.size(), embedded);
  normalize_rows(weights_.embedding_norm, x, weights_.config.norm_epsilon);
}

encoder::values encoder::allocate(std::size_t rows, scratch_arena& memory) const {
  const std::size_t width = rows * weights_.config.width, hidden = rows * weights_.config.hidden;
  return {.entering = memory.take(width),
          .qkv = memory.take(3 * width),
          .context = memory.take(width),
          .attended = memory.take(width),
          .middle = memory.take(width),
          .raw = memory.take(hidden),
          .active = memory.take(hidden),
          .leaving = memory.take(width)};
}

void encoder::run_block(std::size_t layer, const text_batch& b, activations_view<float> x, const tap_callback* tap,
                        const values& v, bool keep, scratch_arena& memory) const {
  const config& c = weights_.config;
  const block& block = weights_.blocks[layer];
  const std::size_t rows = x.rows(), w = 3 * c.width;
  const auto stride = static_cast<std::ptrdiff_t>(w);
  const std::span<float> workspace = product_workspace(memory);
  float* const scratch = memory.take(bidirectional_attention_scratch(b.tokens));
  const activations_view<float> out({memory.take(x.size()), x.size()}, x.sequences, x.tokens, x.features);
  const auto wide = [&](float* p) { return matrix_view<float>({p, rows * c.hidden}, rows, c.hidden); };
  const auto add_and_norm = [&](const norm& n, float* before) {
    for (std::size_t i = 0; i < x.size(); ++i) x.data[i] += out.data[i];
    if (keep) std::copy_n(x.data, x.size(), before);
    normalize_rows(n, x, c.norm_epsilon);
  };

  if (keep) std::copy_n(x.data, x.size(), v.entering);
  const linear* const maps[] = {&block.query, &block.key, &block.value};
  for (std::size_t i = 0; i < 3; ++i)
    apply(maps[i]->view(), maps[i]->bias, x.as_matrix(), {v.qkv + i * c.width, rows, c.width, stride, 1}, workspace);
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const float* const first = v.qkv + s * b.tokens * w;
    attend(bidirectional_attention_run{.shape = {c.heads, c.heads, c.head_width()},
                                       .queries = b.tokens,
                                       .length = b.length(s),
                                       .query = {first, stride},
                                       .key = {first + c.width, stride},
                                       .value = {first + 2 * c.width, stride}},
           {v.context + s * b.tokens * c.width, static_cast<std::ptrdiff_t>(c.width)}, scratch, workspace);
  }
  apply(block.attention_out.view(), block.attention_out.bias, {{v.context, x.size()}, rows, c.width}, out.as_matrix(),
        workspace);
  if (tap != nullptr) (*tap)({precis::site_kind::attention, layer}, out);
  add_and_norm(block.attention_norm, v.attended);

  if (keep) std::copy_n(x.data, x.size(), v.middle);
  apply(block.up.view(), block.up.bias, x.as_matrix(), wide(v.raw), workspace);
  with_activation(c.activation, [&]<class F>(F) {
    for_each_lane([]<class L>(L, auto raw) { return F::template value<L>(raw); }, rows * c.hidden, v.active, v.raw);
  });
  apply(block.down.view(), block.down.bias, wide(v.active), out.as_matrix(), workspace);
  if (tap != nullptr) (*tap)({precis::site_kind::mlp, layer}, out);
  add_and_norm(block.mlp_norm, v.leaving);
}

void encoder::run(const text_batch& b, activations_view<float> x, const tap_callback* tap, float* embedded,
                  std::span<values> keep) const {
  embed(b, x, tap, embedded);
  scratch_arena memory;
  const values shared = keep.empty() ? allocate(x.rows(), memory) : values{};
  for (std::size_t l = 0; l <= layers(); ++l) {
    if (tap != nullptr) (*tap)({precis::site_kind::residual, l}, x);
    if (l == layers()) break;
    scratch_arena block_memory;
    run_block(l, b, x, tap, keep.empty() ? shared : keep[l], !keep.empty(), block_memory);
  }
}

encoder::head_values encoder::read(activations_view<const float> x) const {
  const config& c = weights_.config;
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  head_values h{float_matrix(x.sequences, c.width), float_matrix(x.sequences, c.labels)};
  apply(weights_.pooler.view(), weights_.pooler.bias, first_tokens(x), h.pooled.view(), workspace);
  for (float& v : h.pooled.values) v = static_cast<float>(std::tanh(static_cast<double>(v)));
  apply(weights_.classifier.view(), weights_.classifier.bias, h.pooled.view(), h.logits.view(), workspace);
  return h;
}

precis::nll encoder::loss_of_labels(const text_batch& b, const float_matrix& logits) {
  precis::nll total;
  for (std::size_t s = 0; s < b.sequences; ++s) {
    if (b.labels[s] == precis::no_target) continue;
    total +=
        {.sum = token_loss(log_sum_exp(logits.row(s)), logits(s, static_cast<std::size_t>(b.labels[s]))), .count = 1};
  }
  return total;
}

float_matrix encoder::logits_of(const text_batch& b, const tap_callback* tap) const {
  check_batch(b, false);
  scratch_arena memory;
  const std::size_t size = b.sequences * b.tokens * weights_.config.width;
  const activations_view<float> x({memory.take(size), size}, b.sequences, b.tokens, weights_.config.width);
  run(b, x, tap, nullptr, {});
  return read(x).logits;
}

precis::nll encoder::loss_of(const text_batch& b, const tap_callback* tap) const {
  check_batch(b, true);
  return loss_of_labels(b, logits_of(b, tap));
}

}  // namespace engine
