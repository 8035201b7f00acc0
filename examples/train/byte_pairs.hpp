#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace train {

/// A byte-level BPE vocabulary: the 256 bytes, one token a merge in order, and "<|endoftext|>" as the last.
struct byte_pairs {
  std::vector<std::pair<std::string, std::string>> merges;  ///< the two tokens' bytes

  [[nodiscard]] std::size_t size() const noexcept { return 256 + merges.size() + 1; }
  /// The files of Hugging Face's GPT-2 tokenizer, which engine::byte_bpe reads.
  [[nodiscard]] std::string vocab_json() const;
  [[nodiscard]] std::string merges_txt() const;
};

/// Learns a vocabulary of at most `size` tokens: joins the most frequent pair of neighbours inside the words of GPT-2's
/// pre-tokenizer, again and again. Among equally frequent pairs the first by bytes, left token before right, is joined.
/// Stops early when no pair occurs twice.
///
/// Errors   a size below 257.
/// Cost     O(merges x letters of all different words).
/// Source   Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; on bytes as in GPT-2.
[[nodiscard]] byte_pairs learn_byte_pairs(std::string_view text, std::size_t size);

}  // namespace train
