#pragma once

#include <precis/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace precis {

using token = std::int32_t;

/// A target that is not counted in the loss (padding, or a position nobody asks about).
inline constexpr token no_target = -1;

/// Sequences of tokens of one length, and what each position should predict. What a language model's loss takes.
struct token_batch {
  std::size_t sequences = 0;
  std::size_t tokens = 0;      ///< per sequence
  std::vector<token> ids;      ///< [sequences x tokens]
  std::vector<token> targets;  ///< [sequences x tokens], `no_target` where nothing is predicted; may be empty

  [[nodiscard]] std::span<const token> sequence(std::size_t s) const noexcept {
    return std::span<const token>(ids).subspan(s * tokens, tokens);
  }
  bool operator==(const token_batch&) const = default;
};

/// Prompts without targets, for logits.
[[nodiscard]] inline token_batch prompts(std::size_t sequences, std::vector<token> ids) {
  if (sequences == 0 || ids.empty() || ids.size() % sequences != 0)
    refuse({.what = std::to_string(ids.size()) + " tokens in " + std::to_string(sequences) + " sequences",
            .where = "prompts",
            .expected = "at least one token and equal lengths"});
  const std::size_t tokens = ids.size() / sequences;
  return {.sequences = sequences, .tokens = tokens, .ids = std::move(ids), .targets = {}};
}

/// Sequences of n + 1 tokens as a batch of n positions, each predicting the next token.
[[nodiscard]] inline token_batch next_token_batch(std::size_t sequences, std::span<const token> ids) {
  if (sequences == 0 || ids.size() % sequences != 0 || ids.size() / sequences < 2)
    refuse({.what = std::to_string(ids.size()) + " tokens in " + std::to_string(sequences) + " sequences",
            .where = "next_token_batch",
            .expected = "equal lengths of at least two tokens"});
  const std::size_t length = ids.size() / sequences;
  token_batch b{.sequences = sequences, .tokens = length - 1, .ids = {}, .targets = {}};
  for (std::size_t s = 0; s < sequences; ++s) {
    const std::span<const token> row = ids.subspan(s * length, length);
    b.ids.insert(b.ids.end(), row.begin(), row.end() - 1);
    b.targets.insert(b.targets.end(), row.begin() + 1, row.end());
  }
  return b;
}

/// A loss before it is divided: sums merge exactly, means do not (methods A4).
struct nll {
  double sum = 0;         ///< nats
  std::size_t count = 0;  ///< predictions

  [[nodiscard]] double mean() const noexcept { return count == 0 ? 0.0 : sum / static_cast<double>(count); }
  nll& operator+=(const nll& other) noexcept {
    sum += other.sum;
    count += other.count;
    return *this;
  }
  bool operator==(const nll&) const = default;
};

}  // namespace precis
