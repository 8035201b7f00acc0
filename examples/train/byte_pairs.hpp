#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace train {

/// A byte-level BPE vocabulary: the 256 bytes, one token per merge in order, and "<|endoftext|>" last.
struct byte_pairs {
  std::vector<std::pair<std::string, std::string>> merges;  ///< bytes of the two tokens

  [[nodiscard]] std::size_t size() const noexcept { return 256 + merges.size() + 1; }
  /// The files of Hugging Face's GPT-2 tokenizer, which engine::byte_bpe reads.
  [[nodiscard]] std::string vocab_json() const;
  [[nodiscard]] std::string merges_txt() const;
};

/// Learns a vocabulary of at most `size` tokens by repeatedly merging the most frequent adjacent pair within the words
/// of GPT-2's pre-tokenizer. Ties are broken by the bytes of the left token, then of the right one. Stops early if no
/// pair occurs twice.
///
/// Errors   a size below 257.
/// Cost     O(merges x letters of all distinct words).
/// Source   Sennrich et al. 2016, arXiv:1508.07909, algorithm 1; on bytes as in GPT-2.
[[nodiscard]] byte_pairs learn_byte_pairs(std::string_view text, std::size_t size);

}  // namespace train
