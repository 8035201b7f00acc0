// A packed Llama without heap, exceptions or libraries: weights are constants, and the size of all other data is known
// at compile time. It is meant to be copied. A model is a header that pack.cpp writes; see docs/embedded.md.

#pragma once

#include <precis/kernel/matvec.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace embedded {

namespace kernel = precis::kernel;

struct llama_shape {
  std::size_t width, hidden, layers, heads, kv_heads, vocabulary;
  std::size_t context;  ///< the maximum number of tokens

  [[nodiscard]] constexpr std::size_t head_size() const { return width / heads; }
  [[nodiscard]] constexpr std::size_t kv_width() const { return kv_heads * head_size(); }
};

struct llama_layer {
  const float *attention_norm, *mlp_norm;  // [width]
  kernel::packed_grid query, key, value, output;
  kernel::packed_grid gate, up, down;
};

/// The bytes of a string literal, as a constant.
template<std::size_t N>
consteval std::array<std::byte, N - 1> bytes(const char (&text)[N]) {
  std::array<std::byte, N - 1> all{};
  for (std::size_t i = 0; i + 1 < N; ++i) all[i] = static_cast<std::byte>(text[i]);
  return all;
}

/// exp(x) with a relative error below 2^-23; x is clamped to [-87, 88]. It uses only operations that IEEE 754 rounds
/// identically on every machine, because the expf of different libraries differ.
[[nodiscard]] inline float exponential(float x) noexcept {
  constexpr float to_whole = 0x1.8p23f;  // adding and subtracting it rounds; the low bits of the sum hold n
  x = std::clamp(x, -87.f, 88.f);
  const float shifted = std::fma(x, 0x1.715476p0f, to_whole), n = shifted - to_whole;
  const float r = std::fma(n, -0x1.7f7d1cp-20f, std::fma(n, -0x1.62e4p-1f, x));  // x - n log 2
  float series = 1.f / 5040;
  for (const float c : {1.f / 720, 1.f / 120, 1.f / 24, 1.f / 6, 0.5f, 1.f, 1.f}) series = std::fma(series, r, c);
  const std::uint32_t power = std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(to_whole) + 127;
  return series * std::bit_cast<float>(power << 23);
}

/// out = x / rms(x) * weight. out may be x.
inline void normalize(std::span<const float> x, const float* weight, float* out) noexcept {
  float sum = 0;
  for (const float v : x) sum = std::fma(v, v, sum);
  const float scale = 1.f / std::sqrt(sum / static_cast<float>(x.size()) + 1e-5f);
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * scale * weight[i];
}

inline void softmax(std::span<float> x) noexcept {
  const float top = *std::max_element(x.begin(), x.end());
  float sum = 0;
  for (float& v : x) sum += v = exponential(v - top);
  for (float& v : x) v /= sum;
}

/// Rotates the pairs of each head by the angles of a position: table[head_size / 2] of {cosine, sine}.
inline void rotate(std::span<float> heads, std::size_t head_size, const float (*table)[2]) noexcept {
  for (std::size_t i = 0; i < heads.size(); i += 2) {
    const auto [c, s] = table[i % head_size / 2];
    const float a = heads[i], b = heads[i + 1];
    heads[i] = std::fma(a, c, -(b * s));
    heads[i + 1] = std::fma(a, s, b * c);
  }
}

/// Decodes row `row` of a matrix. Requires a fixed zero point, whole blocks, and groups inside rows.
inline void unpack_row(const kernel::packed_grid& m, std::size_t row, float* out) noexcept {
  const kernel::grid_format& f = m.format;
  const kernel::grid_format::layout l = f.layout_of(m.out, m.in);
  const std::size_t lane = row % kernel::tile_rows, first = row - lane;
  const std::size_t rows = std::min(kernel::tile_rows, m.out - first);
  const std::byte* from = m.data + (first * l.row_words + lane) * 4;
  for (std::size_t c = 0; c < m.in; c += kernel::block_columns) {
    std::uint32_t words[8];
    std::uint8_t codes[kernel::block_columns];
    for (unsigned v = 0; v < f.code_bits; ++v, from += rows * 4) words[v] = kernel::get_word32(from);
    kernel::unpack_block(words, f.code_bits, codes);
    const std::byte* const at = m.data + l.scales + f.group_at(m.out, m.in, row, c / f.group) * f.scale_bytes();
    const float scale = kernel::stored_float(at, f.scales);
    for (std::size_t i = 0; i < kernel::block_columns; ++i)
      out[c + i] = scale * static_cast<float>(static_cast<std::int32_t>(codes[i]) - f.fixed_zero_point());
  }
}

/// A Model has these constants:
///   shape, layers[], final_norm     weights that are not matrices are floats
///   embedding                       which is also the output head
///   rotary[context][head_size / 2]  {cosine, sine}
///   multiply(matrix, x, y)          kernel::matvec for the formats of the model
template<class Model>
class llama {
 public:
  static constexpr llama_shape shape = Model::shape;
  static_assert(!Model::embedding.format.has_minimum() && Model::embedding.format.rule != kernel::grid_rule::affine &&
                    !Model::embedding.format.is_float() && Model::embedding.format.group != kernel::per_tensor &&
                    shape.width % kernel::block_columns == 0,
                "the embedding needs a symmetric format with groups inside rows, and a width of whole blocks");

  /// The logits of the token after `token` at `position`. Positions are passed in order, from 0 and below
  /// shape.context.
  std::span<const float> logits(std::size_t token, std::size_t position) noexcept {
    unpack_row(Model::embedding, token, x_);
    for (std::size_t l = 0; l < shape.layers; ++l) {
      attend(Model::layers[l], keys_[l], values_[l], position);
      transform(Model::layers[l]);
    }
    normalize(x_, Model::final_norm, normal_);
    multiply(Model::embedding, normal_, logits_);
    return logits_;
  }

 private:
  static constexpr std::size_t head_size = shape.head_size(), kv_width = shape.kv_width();
  using cache = float[shape.context][kv_width];

  void attend(const llama_layer& layer, cache& keys, cache& values, std::size_t position) noexcept {
    normalize(x_, layer.attention_norm, normal_);
    multiply(layer.query, normal_, query_);
    multiply(layer.key, normal_, keys[position]);
    multiply(layer.value, normal_, values[position]);
    rotate(query_, head_size, Model::rotary[position]);
    rotate(keys[position], head_size, Model::rotary[position]);
    const float scale = 1.f / std::sqrt(static_cast<float>(head_size));
    for (std::size_t h = 0; h < shape.heads; ++h) {
      const std::size_t kv = h / (shape.heads / shape.kv_heads) * head_size;
      const float* const query = query_ + h * head_size;
      for (std::size_t t = 0; t <= position; ++t) {
        float product = 0;
        for (std::size_t i = 0; i < head_size; ++i) product = std::fma(query[i], keys[t][kv + i], product);
        attention_[t] = product * scale;
      }
      softmax({attention_, position + 1});
      for (std::size_t i = 0; i < head_size; ++i) {
        float mixed = 0;
        for (std::size_t t = 0; t <= position; ++t) mixed = std::fma(attention_[t], values[t][kv + i], mixed);
        normal_[h * head_size + i] = mixed;
      }
    }
    add(layer.output, normal_);
  }

  void transform(const llama_layer& layer) noexcept {
    normalize(x_, layer.mlp_norm, normal_);
    multiply(layer.gate, normal_, gate_);
    multiply(layer.up, normal_, up_);
    for (std::size_t i = 0; i < shape.hidden; ++i) gate_[i] *= up_[i] / (1.f + exponential(-gate_[i]));
    add(layer.down, gate_);
  }

  void multiply(const kernel::packed_grid& m, std::span<const float> x, std::span<float> y) noexcept {
    Model::multiply(m, kernel::as_floats(x, kernel::segment_of(m.format, m.in), workspace_), y);
  }
  void add(const kernel::packed_grid& m, std::span<const float> x) noexcept {
    multiply(m, x, sum_);
    for (std::size_t i = 0; i < shape.width; ++i) x_[i] += sum_[i];
  }

  static constexpr std::size_t workspace = [] {
    std::size_t most = 0;
    const auto need = [&](const kernel::packed_grid& m) {
      most = std::max(most, kernel::float_activation_workspace(m.in, kernel::segment_of(m.format, m.in)));
    };
    need(Model::embedding);
    for (const llama_layer& l : Model::layers)
      for (const kernel::packed_grid& m : {l.query, l.key, l.value, l.output, l.gate, l.up, l.down}) need(m);
    return most;
  }();

  float x_[shape.width], sum_[shape.width], normal_[shape.width], query_[shape.width];
  float gate_[shape.hidden], up_[shape.hidden];
  float attention_[shape.context], workspace_[workspace], logits_[shape.vocabulary];
  cache keys_[shape.layers], values_[shape.layers];
};

}  // namespace embedded
