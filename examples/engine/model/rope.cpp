#include <engine/model/rope.hpp>

#include <precis/core/error.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>
#include <utility>

namespace engine {
namespace {

constexpr double two_pi = 2 * std::numbers::pi;

/// The divisors of llama3: 1 for short wavelengths, `factor` for long ones.
void scale_llama3(const rope_settings& s, std::vector<double>& frequency) {
  const auto original = static_cast<double>(s.original_context);
  const double longest = original / s.low_frequency_factor, shortest = original / s.high_frequency_factor;
  for (double& f : frequency) {
    const double wavelength = two_pi / f;
    if (wavelength > longest)
      f /= s.factor;
    else if (wavelength >= shortest) {
      const double kept =
          (original / wavelength - s.low_frequency_factor) / (s.high_frequency_factor - s.low_frequency_factor);
      f = (1 - kept) * f / s.factor + kept * f;
    }
  }
}

/// The ramp of yarn over the pairs: frequencies before it are kept, those behind it divided by `factor`.
void scale_yarn(const rope_settings& s, std::vector<double>& frequency) {
  const auto width = static_cast<double>(s.rotary_width);
  const auto feature_of = [&](double rotations) {  // the feature that turns so often within the original context
    return width * std::log(static_cast<double>(s.original_context) / (rotations * two_pi)) / (2 * std::log(s.theta));
  };
  double first = feature_of(s.beta_fast), last = feature_of(s.beta_slow);
  if (s.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, width - 1);
  if (first == last) last += 0.001;  // as in the original: a step
  for (std::size_t i = 0; i < frequency.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - first) / (last - first), 0.0, 1.0);
    frequency[i] = frequency[i] / s.factor * ramp + frequency[i] * (1 - ramp);
  }
}

[[nodiscard]] double yarn_magnitude(const rope_settings& s) noexcept {
  const auto of = [&](double scale) { return s.factor <= 1 ? 1.0 : 0.1 * scale * std::log(s.factor) + 1; };
  // Zero counts as absent, as in the original.
  if (s.mscale.value_or(0) != 0 && s.mscale_all.value_or(0) != 0) return of(*s.mscale) / of(*s.mscale_all);
  return of(1);
}

[[nodiscard]] double magnitude(const rope_settings& s) noexcept {
  if (s.type != rope_type::yarn && s.type != rope_type::longrope) return 1;
  if (s.attention_factor) return *s.attention_factor;
  if (s.type == rope_type::yarn) return yarn_magnitude(s);
  return s.factor <= 1 ? 1 : std::sqrt(1 + std::log(s.factor) / std::log(static_cast<double>(s.original_context)));
}

}  // namespace

std::size_t rotary_width_of(rope_type type, std::size_t head_width, double partial_factor) noexcept {
  const double part = static_cast<double>(head_width) * partial_factor;
  if (type == rope_type::proportional) return 2 * static_cast<std::size_t>(part / 2);
  return static_cast<std::size_t>(part);
}

void check(const rope_settings& s, std::string_view where) {
  const auto bad = [&](std::string what, std::string expected) {
    precis::refuse({.what = std::move(what), .where = std::string(where), .expected = std::move(expected)});
  };
  const auto positive = [&](const char* name, double value) {
    if (!(value > 0) || !std::isfinite(value))
      bad(std::string(name) + " = " + std::to_string(value), "a positive number");
  };
  if (s.rotary_width == 0 || s.rotary_width % 2 != 0 || s.rotary_width > s.head_width)
    bad("a rotary width of " + std::to_string(s.rotary_width),
        "an even number, at most the head width of " + std::to_string(s.head_width));
  positive("a rotary base rope_theta", s.theta);
  if (s.type != rope_type::plain) positive("a rotary factor", s.factor);
  if (s.type == rope_type::proportional && (!s.half_split || s.head_width % 2 != 0))
    bad("proportional rotary positions in a head of " + std::to_string(s.head_width),
        "half-split pairs of an even head");
  const bool has_original =
      s.type != rope_type::plain && s.type != rope_type::linear && s.type != rope_type::proportional;
  if (has_original && s.original_context == 0)
    bad("original_max_position_embeddings = 0", "the context before scaling");
  if (s.type == rope_type::dynamic && s.rotary_width == 2)
    bad("dynamic rotary positions with a rotary width of 2", "at least 4");
  if (s.type == rope_type::llama3) {
    positive("low_freq_factor", s.low_frequency_factor);
    positive("high_freq_factor", s.high_frequency_factor);
    if (s.high_frequency_factor <= s.low_frequency_factor)
      bad("high_freq_factor = " + std::to_string(s.high_frequency_factor),
          "more than the low_freq_factor of " + std::to_string(s.low_frequency_factor));
  }
  if (s.type == rope_type::yarn) {
    positive("beta_fast", s.beta_fast);
    positive("beta_slow", s.beta_slow);
    if (s.theta <= 1) bad("rope_theta = " + std::to_string(s.theta), "more than 1 with yarn");
  }
  if (s.type == rope_type::yarn || s.type == rope_type::longrope) {
    if (s.attention_factor) positive("attention_factor", *s.attention_factor);
    if (const double m = magnitude(s); !(m > 0) || !std::isfinite(m))
      bad("a rotary magnitude of " + std::to_string(m),
          "a positive number; see mscale and original_max_position_embeddings");
  }
  if (s.type != rope_type::longrope) return;
  for (const auto& [name, list] :
       {std::pair{"short_factor", &s.short_factor}, std::pair{"long_factor", &s.long_factor}}) {
    if (list->size() != s.rotary_width / 2)
      bad(std::string(name) + " with " + std::to_string(list->size()) + " values",
          std::to_string(s.rotary_width / 2) + ", one per rotary pair");
    for (const double value : *list) positive(name, value);
  }
}

bool depends_on_length(const rope_settings& s) noexcept {
  return s.type == rope_type::dynamic || (s.type == rope_type::longrope && s.short_factor != s.long_factor);
}

bool takes_long_factors(const rope_settings& s, std::size_t length) noexcept { return length > s.original_context; }

rope_frequencies frequencies(const rope_settings& s, std::size_t length) {
  const std::size_t pairs = s.rotary_width / 2;
  // The proportional type leaves pairs of the whole head alone; the others rotate a part as if it were a head.
  const auto of_width = static_cast<double>(s.type == rope_type::proportional ? s.head_width / 2 : pairs);
  double theta = s.theta;
  if (s.type == rope_type::dynamic && length > s.original_context) {
    const double ratio = static_cast<double>(length) / static_cast<double>(s.original_context);
    theta *= std::pow(s.factor * ratio - (s.factor - 1), of_width / (of_width - 1));
  }
  rope_frequencies out{.of_pair = std::vector<double>(pairs), .magnitude = magnitude(s)};
  for (std::size_t i = 0; i < pairs; ++i) out.of_pair[i] = std::pow(theta, -static_cast<double>(i) / of_width);
  switch (s.type) {
    case rope_type::plain:
    case rope_type::dynamic: break;
    case rope_type::linear:
    case rope_type::proportional:
      for (double& f : out.of_pair) f /= s.factor;
      break;
    case rope_type::llama3: scale_llama3(s, out.of_pair); break;
    case rope_type::yarn: scale_yarn(s, out.of_pair); break;
    case rope_type::longrope: {
      const std::vector<double>& divisor = takes_long_factors(s, length) ? s.long_factor : s.short_factor;
      for (std::size_t i = 0; i < pairs; ++i) out.of_pair[i] /= divisor[i];
    }
  }
  return out;
}

rope_table::rope_table(const rope_settings& s, std::size_t positions, std::size_t length)
    : pairs_(s.rotary_width / 2),
      head_width_(s.head_width),
      step_(s.half_split ? 1 : 2),
      apart_(!s.half_split                       ? 1
             : s.type == rope_type::proportional ? s.head_width / 2
                                                 : pairs_) {
  check(s);
  const rope_frequencies f = frequencies(s, length);
  cosine_.reserve(positions * pairs_);
  sine_.reserve(positions * pairs_);
  for (std::size_t p = 0; p < positions; ++p)
    for (const double frequency : f.of_pair) {
      const double angle = static_cast<double>(p) * frequency;
      cosine_.push_back(static_cast<float>(std::cos(angle) * f.magnitude));
      sine_.push_back(static_cast<float>(std::sin(angle) * f.magnitude));
    }
}

void rope_table::turn(float sign, float* row, std::size_t heads, std::size_t position) const noexcept {
  const float* const c = cosine_.data() + position * pairs_;
  const float* const s = sine_.data() + position * pairs_;
  for (std::size_t h = 0; h < heads; ++h, row += head_width_)
    for (std::size_t i = 0; i < pairs_; ++i) {
      float &low = row[i * step_], &high = row[i * step_ + apart_];
      const float x = low, y = high, signed_sine = sign * s[i];
      low = std::fma(x, c[i], -(y * signed_sine));
      high = std::fma(x, signed_sine, y * c[i]);
    }
}

}  // namespace engine
