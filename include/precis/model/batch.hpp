#pragma once

#include <precis/core/error.hpp>

#include <concepts>
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

/// The sequences `order` of several batches as one, in that order; sequences are counted over all batches. What makes
/// batches divisible: an engine with a batch of its own writes this function for it.
///
/// Requires indices below the number of sequences. Errors: sequences of different lengths, or with and without targets.
[[nodiscard]] inline token_batch gather_sequences(std::span<const token_batch> batches,
                                                  std::span<const std::size_t> order) {
  token_batch b{.sequences = order.size(), .tokens = batches.empty() ? 0 : batches[0].tokens, .ids = {}, .targets = {}};
  for (std::size_t s : order) {
    std::size_t from = 0;
    while (from < batches.size() && s >= batches[from].sequences) s -= batches[from++].sequences;
    PRECIS_EXPECTS(from < batches.size(), "no such sequence");
    const token_batch& source = batches[from];
    if (source.tokens != b.tokens || source.targets.empty() != batches[0].targets.empty())
      refuse({.what = "batch " + std::to_string(from) + " with " + std::to_string(source.tokens) +
                      " tokens a sequence" + (source.targets.empty() ? " and no targets" : ""),
              .where = "gather_sequences",
              .expected = std::to_string(b.tokens) + " tokens as in batch 0, with targets in all batches or none"});
    const auto take = [&](const std::vector<token>& values, std::vector<token>& into) {
      if (values.empty()) return;
      const std::span<const token> row = std::span<const token>(values).subspan(s * b.tokens, b.tokens);
      into.insert(into.end(), row.begin(), row.end());
    };
    take(source.ids, b.ids);
    take(source.targets, b.targets);
  }
  return b;
}

/// Which tokens of a batch are not padding; nothing where none is. A batch says so by its lengths, or by a token's id.
template<class Batch>
[[nodiscard]] std::vector<unsigned char> counted_tokens(const Batch& b, token padding) {
  std::vector<unsigned char> counts;
  if constexpr (requires {
                  { b.length(std::size_t{}) } -> std::convertible_to<std::size_t>;
                }) {
    for (std::size_t s = 0; s < b.sequences; ++s)
      for (std::size_t t = 0; t < b.tokens; ++t) counts.push_back(t < b.length(s));
  } else if constexpr (requires {
                         { b.ids[0] } -> std::convertible_to<token>;
                       }) {
    if (padding != no_target)
      for (const token id : b.ids) counts.push_back(id != padding);
  }
  return counts;
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
