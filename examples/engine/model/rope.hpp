#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace engine {

/// How the frequencies of rotary positions are scaled for contexts longer than those of training.
enum class rope_type {
  plain,         ///< theta^(-2i / width)
  linear,        ///< divided by `factor`
  dynamic,       ///< a larger theta for sequences longer than the original context
  llama3,        ///< low frequencies divided by `factor`, high ones kept, a ramp between the two wavelengths
  yarn,          ///< likewise, with a ramp over the pairs; cosine and sine are multiplied by a magnitude
  longrope,      ///< each pair has a divisor for short sequences and another for long ones; and a magnitude
  proportional,  ///< the exponents are those of the whole head, and the pairs (i, i + head_width / 2)
};

/// The settings of rotary positions, those of Hugging Face's rope_parameters with defaults in place.
struct rope_settings {
  rope_type type = rope_type::plain;
  double theta = 10000;
  std::size_t head_width = 0;
  std::size_t rotary_width = 0;  ///< rotated features of a head: even, at most head_width
  bool half_split = true;        ///< pairs are (i, i + rotary_width / 2) instead of (2i, 2i + 1)

  double factor = 1;                 ///< all types but plain
  std::size_t original_context = 0;  ///< dynamic, llama3, yarn, longrope: the context of training

  double low_frequency_factor = 1, high_frequency_factor = 4;  ///< llama3

  double beta_fast = 32, beta_slow = 1;  ///< yarn: rotations where the ramp begins and ends
  bool truncate = true;                  ///< yarn: the ramp's ends are whole pairs
  std::optional<double> attention_factor = {}, mscale = {}, mscale_all = {};  ///< what the magnitude is made of

  std::vector<double> short_factor = {}, long_factor = {};  ///< longrope: [rotary_width / 2]

  bool operator==(const rope_settings&) const = default;
};

/// The part of a head's features that rotates: partial_rotary_factor of them, whole features for most types and whole
/// pairs for the proportional type.
[[nodiscard]] std::size_t rotary_width_of(rope_type type, std::size_t head_width, double partial_factor) noexcept;

/// Errors: a setting that the type cannot have, by name and value: an odd width, a theta that is not positive, lists of
/// another length than the pairs, ... `where` is the file that states it.
void check(const rope_settings& s, std::string_view where = "rotary positions");

/// True if the frequencies depend on the length of the sequence, so that all its positions change with it.
[[nodiscard]] bool depends_on_length(const rope_settings& s) noexcept;
/// True if a sequence of this length, counted from its first position, takes the long factors of longrope.
[[nodiscard]] bool takes_long_factors(const rope_settings& s, std::size_t length) noexcept;

/// The angle of each pair per position, and what cosine and sine are multiplied by.
struct rope_frequencies {
  std::vector<double> of_pair;  ///< [rotary_width / 2]
  double magnitude = 1;
};

/// The frequencies for sequences of `length` positions. Requires check(s) to pass.
/// Source   Su et al. 2021, arXiv:2104.09864; yarn: Peng et al. 2023, arXiv:2309.00071; longrope: Ding et al. 2024,
///          arXiv:2402.13753; defaults and rounding of the ramp as in Hugging Face's modeling_rope_utils.
[[nodiscard]] rope_frequencies frequencies(const rope_settings& s, std::size_t length);

/// Cosines and sines of a range of positions, and the rotation of rows by them.
///
/// Differs   Angles are computed in double and their cosines and sines rounded to float, whereas Hugging Face rounds
///           frequencies and angles too: near position p, its angles are off by up to 6e-8 p radians.
class rope_table {
 public:
  rope_table() = default;  ///< rotates nothing
  /// Positions 0 to positions - 1 of sequences of `length` positions. Errors: those of check(s).
  rope_table(const rope_settings& s, std::size_t positions, std::size_t length);

  [[nodiscard]] std::size_t pairs() const noexcept { return pairs_; }
  [[nodiscard]] std::size_t positions() const noexcept { return pairs_ == 0 ? 0 : cosine_.size() / pairs_; }
  [[nodiscard]] const std::vector<float>& cosine() const noexcept { return cosine_; }  ///< [positions x pairs]
  [[nodiscard]] const std::vector<float>& sine() const noexcept { return sine_; }      ///< [positions x pairs]

  /// Rotates `heads` heads of one row. Requires position < positions() unless there are no pairs.
  void rotate(float* row, std::size_t heads, std::size_t position) const noexcept { turn(1, row, heads, position); }
  /// Turns the gradient at rotated heads into that at the heads: the transpose of `rotate`.
  void rotate_back(float* row, std::size_t heads, std::size_t position) const noexcept {
    turn(-1, row, heads, position);
  }

 private:
  void turn(float sign, float* row, std::size_t heads, std::size_t position) const noexcept;

  std::size_t pairs_ = 0, head_width_ = 0;
  std::size_t step_ = 1, apart_ = 0;  ///< pair i is features i * step and i * step + apart
  std::vector<float> cosine_, sine_;
};

}  // namespace engine
