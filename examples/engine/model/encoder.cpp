#include <engine/model/encoder.hpp>

#include <engine/model/bidirectional_attention.hpp>
#include <engine/model/math.hpp>
#include <engine/model/mlp.hpp>
#include <engine/model/relative_positions.hpp>
#include <engine/model/rows.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <initializer_list>
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
  text_batch b;
  b.sequences = sequences.size();
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

encoder::encoder(engine::weights w, sentence_settings s) : weights_(std::move(w)), sentence_(std::move(s)) {
  check(weights_);
  const family& f = family_of(weights_.config);
  if (f.causal)
    bad_texts("a " + std::string(f.name),
              "an encoder; a model that predicts the next token runs as engine::transformer");
  knobs_ = settings_of(weights_.config);
  places_ = matrix_places_of(weights_.config, knobs_);
  matrices_ = matrices_of(weights_.config);
  rotary_ = rotary(knobs_.ropes, weights_.config.context);
  of_layer_.resize(layers());
  const std::pair<linear block::*, std::size_t layer_matrices::*> indices[] = {
      {&block::query, &layer_matrices::query}, {&block::key, &layer_matrices::key},
      {&block::value, &layer_matrices::value}, {&block::attention_out, &layer_matrices::attention_out},
      {&block::gate, &layer_matrices::gate},   {&block::up, &layer_matrices::up},
      {&block::down, &layer_matrices::down}};
  for (std::size_t m = 0; m < places_.size(); ++m)
    for (const auto& [map, index] : indices)
      if (places_[m].slot->map == map) of_layer_[places_[m].layer].*index = m;
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
  if (needs_labels && classifies() && b.labels.empty())
    bad_texts("a batch without labels", "labels to compute a loss from");
  if (needs_labels && !classifies() && b.references.empty())
    bad_texts("a batch without references", "the embeddings to compare with");
  if (!b.labels.empty()) check_count(b.labels.size(), b.sequences, "labels");
  check_values(b.labels, "label", c.labels, 1, true);
  if (!b.references.empty()) check_count(b.references.size(), b.sequences * c.width, "numbers of references");
}

std::vector<std::size_t> encoder::positions_of(const text_batch& b) const {
  std::vector<std::size_t> rows(b.sequences * b.tokens);
  const std::size_t first = family_of(weights_.config).first_position;
  for (std::size_t s = 0; s < b.sequences; ++s) {
    std::size_t next = knobs_.padding == no_padding ? first : knobs_.padding + 1;
    for (std::size_t t = 0; t < b.tokens; ++t) {
      const std::size_t i = s * b.tokens + t;
      const bool counts = knobs_.padding == no_padding || static_cast<std::size_t>(b.ids[i]) != knobs_.padding;
      rows[i] = counts ? next++ : knobs_.padding;
    }
  }
  return rows;
}

void encoder::embed(const text_batch& b, activations_view<float> x, const tap_callback* tap, float* embedded) const {
  const std::size_t width = weights_.config.width;
  const auto row = [width](const std::vector<float>& table, std::size_t i) { return table.data() + i * width; };
  for (std::size_t s = 0; s < b.sequences; ++s)
    for (std::size_t t = 0; t < b.tokens; ++t)
      weights_.token_embedding.read(static_cast<std::size_t>(b.ids[s * b.tokens + t]), 1, width, x(s, t).data());
  if (tap != nullptr) (*tap)({precis::site_kind::embedding, 0}, x);
  if (!weights_.position_embedding.empty()) {
    const std::vector<std::size_t> positions = positions_of(b);
    const bool typed = !weights_.type_embedding.empty();
    for (std::size_t i = 0; i < positions.size(); ++i) {
      const float* const p = row(weights_.position_embedding, positions[i]);
      float* const to = x.data + i * width;
      if (!typed) {
        for (std::size_t f = 0; f < width; ++f) to[f] += p[f];
        continue;
      }
      const float* const k = row(weights_.type_embedding, b.types.empty() ? 0 : static_cast<std::size_t>(b.types[i]));
      for (std::size_t f = 0; f < width; ++f) to[f] += p[f] + k[f];
    }
  }
  if (embedded != nullptr) std::copy_n(x.data, x.size(), embedded);
  if (!weights_.embedding_norm.scale.empty()) normalize_rows(weights_.embedding_norm, x, weights_.config.norm_epsilon);
}

encoder::values encoder::allocate(std::size_t rows, std::size_t layer, scratch_arena& memory) const {
  const layer_settings& l = knobs_.layers[layer];
  const std::size_t width = rows * weights_.config.width, hidden = rows * l.hidden;
  const std::size_t query = rows * weights_.config.heads * l.head_width;
  return {.entering = memory.take(width),
          .attention_in = memory.take(width),
          .qkv = memory.take(3 * query),
          .context = memory.take(query),
          .attended = memory.take(width),
          .mlp_in = memory.take(width),
          .raw = memory.take(hidden),
          .up = knobs_.gated ? memory.take(hidden) : nullptr,
          .active = memory.take(hidden),
          .leaving = memory.take(width)};
}

encoder::run_state encoder::start(const text_batch& b, const tap_callback* tap, const input_callback* inputs) const {
  run_state s{.batch = &b, .tap = tap, .inputs = inputs};
  s.ropes = rotary_.for_length(b.tokens);
  if (knobs_.relative_bias.rows != 0)
    s.by_distance = by_distance(knobs_.relative_bias, weights_.relative_bias, weights_.config.heads, b.tokens);
  return s;
}

bidirectional_attention_run encoder::attention_of(const run_state& s, std::size_t layer, std::size_t sequence,
                                                  const float* qkv) const {
  const layer_settings& l = knobs_.layers[layer];
  const std::size_t heads = weights_.config.heads, query = heads * l.head_width, tokens = s.batch->tokens;
  const float* const first = qkv + sequence * tokens * 3 * query;
  const std::ptrdiff_t stride = stride_of(3 * query);
  return {.shape = {heads, heads, l.head_width},
          .queries = tokens,
          .length = s.batch->length(sequence),
          .query = {first, stride},
          .key = {first + query, stride},
          .value = {first + 2 * query, stride},
          .scale = knobs_.attention_scale,
          .window = l.window,
          .by_distance = s.by_distance.empty() ? nullptr : s.by_distance.data()};
}

void encoder::run_block(std::size_t layer, const run_state& s, activations_view<float> x, const values& v,
                        scratch_arena& memory) const {
  const config& c = weights_.config;
  const block& block = weights_.blocks[layer];
  const layer_settings& l = knobs_.layers[layer];
  const layer_matrices& indices = of_layer_[layer];
  const text_batch& b = *s.batch;
  const bool before = knobs_.norms == norm_place::before;
  const std::size_t rows = x.rows(), query = c.heads * l.head_width;
  const std::span<float> workspace = product_workspace(memory);
  float* const scratch = memory.take(bidirectional_attention_scratch(b.tokens));
  const activations_view<float> out({memory.take(x.size()), x.size()}, x.sequences, x.tokens, x.features);
  const auto like_x = [&](float* p) { return activations_view<float>({p, x.size()}, b.sequences, b.tokens, c.width); };
  const auto observe = [&](std::initializer_list<std::size_t> matrices, float* p, std::size_t cols) {
    if (s.inputs != nullptr)
      (*s.inputs)({.matrices = {matrices.begin(), matrices.size()},
                   .input = activations_view<const float>({p, rows * cols}, b.sequences, b.tokens, cols)});
  };
  const auto add = [&](float* sum) {
    for (std::size_t i = 0; i < x.size(); ++i) x.data[i] += out.data[i];
    std::copy_n(x.data, x.size(), sum);
  };

  std::copy_n(x.data, x.size(), v.entering);
  std::copy_n(x.data, x.size(), v.attention_in);
  if (before && l.attention_norm) normalize_rows(block.attention_norm, like_x(v.attention_in), c.norm_epsilon);
  observe({indices.query, indices.key, indices.value}, v.attention_in, c.width);
  const linear* const maps[] = {&block.query, &block.key, &block.value};
  for (std::size_t i = 0; i < 3; ++i)
    apply(*maps[i], maps[i]->bias, dense_rows<const float>(v.attention_in, rows, c.width),
          {v.qkv + i * query, rows, query, stride_of(3 * query), 1}, workspace);
  if (l.rope != no_rope)
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t i = 0; i < 2; ++i) s.ropes[l.rope]->rotate(v.qkv + (3 * r + i) * query, c.heads, r % b.tokens);
  for (std::size_t i = 0; i < b.sequences; ++i)
    attend(attention_of(s, layer, i, v.qkv), {v.context + i * b.tokens * query, stride_of(query)}, scratch, workspace);
  observe({indices.attention_out}, v.context, query);
  apply(block.attention_out, block.attention_out.bias, dense_rows<const float>(v.context, rows, query), out.as_matrix(),
        workspace);
  if (s.tap != nullptr) (*s.tap)({precis::site_kind::attention, layer}, out);
  add(v.attended);

  if (!before) normalize_rows(block.attention_norm, x, c.norm_epsilon);
  std::copy_n(x.data, x.size(), v.mlp_in);
  if (before) normalize_rows(block.mlp_norm, like_x(v.mlp_in), c.norm_epsilon);
  if (knobs_.gated)
    observe({indices.gate, indices.up}, v.mlp_in, c.width);
  else
    observe({indices.up}, v.mlp_in, c.width);
  run_mlp(knobs_, c.activation, {knobs_.gated ? &block.gate : nullptr, &block.up, &block.down},
          dense_rows<const float>(v.mlp_in, rows, c.width), {v.raw, v.up, v.active}, out.as_matrix(), {}, workspace);
  observe({indices.down}, v.active, l.hidden);
  if (s.tap != nullptr) (*s.tap)({precis::site_kind::mlp, layer}, out);
  add(v.leaving);
  if (!before) normalize_rows(block.mlp_norm, x, c.norm_epsilon);
}

void encoder::run(const run_state& s, activations_view<float> x, float* embedded, std::span<values> keep,
                  float* last) const {
  embed(*s.batch, x, s.tap, embedded);
  for (std::size_t l = 0; l <= layers(); ++l) {
    if (s.tap != nullptr) (*s.tap)({precis::site_kind::residual, l}, x);
    if (l == layers()) break;
    scratch_arena memory;
    run_block(l, s, x, keep.empty() ? allocate(x.rows(), l, memory) : keep[l], memory);
  }
  if (last != nullptr) std::copy_n(x.data, x.size(), last);
  if (knobs_.final_norm) normalize_rows(weights_.final_norm, x, weights_.config.norm_epsilon);
}

encoder::head_values encoder::read(activations_view<const float> x) const {
  const config& c = weights_.config;
  scratch_arena memory;
  const std::span<float> workspace = product_workspace(memory);
  head_values h{float_matrix(x.sequences, c.width), float_matrix(x.sequences, c.labels)};
  apply(weights_.pooler, weights_.pooler.bias, first_tokens(x), h.pooled.view(), workspace);
  for (float& v : h.pooled.values) v = static_cast<float>(std::tanh(static_cast<double>(v)));
  apply(weights_.classifier, weights_.classifier.bias, h.pooled.view(), h.logits.view(), workspace);
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

precis::nll encoder::distance_of(const text_batch& b, const float_matrix& embeddings) const {
  precis::nll total;
  const std::size_t width = weights_.config.width;
  for (std::size_t s = 0; s < b.sequences; ++s) {
    const double distance = cosine_distance(embeddings.row(s), std::span(b.references).subspan(s * width, width));
    // Rounded, so that sums do not depend on how texts are split into batches.
    total += {.sum = std::nearbyint(distance * 0x1p40) * 0x1p-40, .count = 1};
  }
  return total;
}

float_matrix encoder::hidden_of(const text_batch& b, const tap_callback* tap) const {
  check_batch(b, false);
  float_matrix x(b.sequences * b.tokens, weights_.config.width);
  run(start(b, tap, nullptr), {std::span(x.values), b.sequences, b.tokens, x.cols}, nullptr, {}, nullptr);
  return x;
}

float_matrix encoder::embeddings_of(const text_batch& b, const tap_callback* tap) const {
  if (classifies()) bad_texts("embeddings of a classifier", "a sentence encoder");
  const float_matrix x = hidden_of(b, tap);
  float_matrix out(b.sequences, x.cols);
  for (std::size_t s = 0; s < b.sequences; ++s)
    pool(sentence_, dense_rows(x.values.data() + s * b.tokens * x.cols, b.length(s), x.cols), out.row(s));
  return out;
}

void encoder::inputs_of(const text_batch& b, const input_callback& sink) const {
  check_batch(b, false);
  float_matrix x(b.sequences * b.tokens, weights_.config.width);
  run(start(b, nullptr, &sink), {std::span(x.values), b.sequences, b.tokens, x.cols}, nullptr, {}, nullptr);
}

float_matrix encoder::logits_of(const text_batch& b, const tap_callback* tap) const {
  if (!classifies()) return embeddings_of(b, tap);
  check_batch(b, false);
  scratch_arena memory;
  const std::size_t size = b.sequences * b.tokens * weights_.config.width;
  const activations_view<float> x({memory.take(size), size}, b.sequences, b.tokens, weights_.config.width);
  run(start(b, tap, nullptr), x, nullptr, {}, nullptr);
  return read(x).logits;
}

precis::nll encoder::loss_of(const text_batch& b, const tap_callback* tap) const {
  check_batch(b, true);
  if (!classifies()) return distance_of(b, embeddings_of(b, tap));
  return loss_of_labels(b, logits_of(b, tap));
}

}  // namespace engine
