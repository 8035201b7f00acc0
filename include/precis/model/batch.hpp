#pragma once

#include <precis/core/as_span.hpp>
#include <precis/core/error.hpp>
#include <precis/kernel/ieee.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace precis {
PRECIS_IEEE_BEGIN

using token = std::int32_t;

/// The target of a position that does not count toward the loss, such as padding.
inline constexpr token no_target = -1;

/// Token sequences of equal length and the target of each position: the batch of a language model.
struct token_batch {
  std::size_t sequences = 0;
  std::size_t tokens = 0;        ///< per sequence
  std::vector<token> ids{};      ///< [sequences x tokens]
  std::vector<token> targets{};  ///< [sequences x tokens], `no_target` where none; may be empty

  template<class = void>
  [[nodiscard]] std::span<const token> sequence(std::size_t s) const noexcept {
    return as_span(ids).subspan(s * tokens, tokens);
  }
  bool operator==(const token_batch&) const = default;
};

/// A batch of prompts without targets, for computing logits.
///
/// Errors   no sequences or no tokens; sequences of different lengths.
template<class = void>
[[nodiscard]] inline token_batch prompts(std::size_t sequences, std::vector<token> ids) {
  if (sequences == 0 || ids.empty() || ids.size() % sequences != 0)
    refuse({.what = std::to_string(ids.size()) + " tokens in " + std::to_string(sequences) + " sequences",
            .where = "prompts",
            .expected = "at least one token and sequences of equal length"});
  const std::size_t tokens = ids.size() / sequences;
  return {.sequences = sequences, .tokens = tokens, .ids = std::move(ids), .targets = {}};
}

/// Turns sequences of n + 1 tokens into a batch of n positions, each of which predicts the next token.
///
/// Errors   no sequences; sequences of different lengths, or shorter than two tokens.
template<class = void>
[[nodiscard]] inline token_batch next_token_batch(std::size_t sequences, std::span<const token> ids) {
  if (sequences == 0 || ids.size() % sequences != 0 || ids.size() / sequences < 2)
    refuse({.what = std::to_string(ids.size()) + " tokens in " + std::to_string(sequences) + " sequences",
            .where = "next_token_batch",
            .expected = "sequences of equal length with at least two tokens"});
  const std::size_t length = ids.size() / sequences;
  token_batch b{.sequences = sequences, .tokens = length - 1, .ids = {}, .targets = {}};
  for (std::size_t s = 0; s < sequences; ++s) {
    const std::span<const token> row = ids.subspan(s * length, length);
    b.ids.insert(b.ids.end(), row.begin(), row.end() - 1);
    b.targets.insert(b.targets.end(), row.begin() + 1, row.end());
  }
  return b;
}

/// Gathers the sequences with the indices `order`, counted over all batches, into one batch in that order. To make
/// another batch type a divisible_batch, an engine overloads this function for it.
///
/// Requires  indices below the number of sequences.
/// Errors    batches of different sequence lengths; some batches with targets and some without.
template<class = void>
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
                      " tokens per sequence" + (source.targets.empty() ? " and no targets" : ""),
              .where = "gather_sequences",
              .expected = std::to_string(b.tokens) + " tokens as in batch 0, and targets in all batches or in none"});
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

/// [sequences x tokens] 1 for each token that counts and 0 for padding; empty if there is no padding. Padding follows
/// from the batch's length(sequence) if it has that member, otherwise from the token id `padding`.
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

/// A negative log-likelihood as sum and count, so that losses of batches of different sizes merge correctly.
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

/// The loss of several batches together, added in order.
template<class = void>
[[nodiscard]] inline nll total(std::span<const nll> losses) noexcept {
  nll sum;
  for (const nll& loss : losses) sum += loss;
  return sum;
}

/// Refuses batches without any prediction. `where` and `expected` are those of the message.
template<class = void>
inline void require_predictions(std::size_t predictions, std::size_t batches, const std::string& where,
                                const char* expected = "at least one target") {
  if (predictions == 0)
    refuse({.what = "nothing to predict in " + std::to_string(batches) + " batches",
            .where = where,
            .expected = expected});
}

PRECIS_IEEE_END
}  // namespace precis
