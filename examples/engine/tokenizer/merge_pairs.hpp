#pragma once

#include <precis/model/batch.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace engine {

/// A piece of a text during tokenization.
struct symbol {
  precis::token id = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The token that two adjacent symbols merge into, and its priority: the smallest order first, the leftmost if equal.
struct joined_pair {
  double order = 0;
  precis::token id = 0;
};

/// Merges adjacent symbols, best pair first, until `find(left, right)` returns nothing for every pair. Reusable: keeps
/// its memory between calls.
///
/// Cost     O(n log n): a heap of candidate pairs over a linked list; pairs whose members have changed are skipped.
class pair_merger {
 public:
  template<class Find>  // (const symbol&, const symbol&) -> std::optional<joined_pair>
  void operator()(std::vector<symbol>& symbols, Find&& find) {
    const std::size_t n = symbols.size();
    next_.resize(n);
    previous_.resize(n);
    heap_.clear();
    const auto worse = [](const candidate& a, const candidate& b) {
      return a.pair.order != b.pair.order ? a.pair.order > b.pair.order : a.left > b.left;
    };
    const auto consider = [&](std::size_t left, std::size_t right) {
      if (const std::optional<joined_pair> pair = find(symbols[left], symbols[right])) {
        heap_.push_back({*pair, left, symbols[left].end, symbols[right].end});
        std::push_heap(heap_.begin(), heap_.end(), worse);
      }
    };
    for (std::size_t i = 0; i < n; ++i) {
      next_[i] = i + 1;
      previous_[i] = i - 1;  // the first one wraps around and is never used
      if (i + 1 < n) consider(i, i + 1);
    }
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), worse);
      const candidate best = heap_.back();
      heap_.pop_back();
      symbol& left = symbols[best.left];
      const std::size_t right = next_[best.left];
      // Symbols never shrink and merged ones are empty, so equal ends mean that the pair is unchanged.
      if (left.begin == left.end || left.end != best.middle || right >= n || symbols[right].end != best.end) continue;
      left.id = best.pair.id;
      left.end = best.end;
      symbols[right].begin = symbols[right].end;
      next_[best.left] = next_[right];
      if (next_[right] < n) previous_[next_[right]] = best.left;
      if (best.left != 0) consider(previous_[best.left], best.left);
      if (next_[best.left] < n) consider(best.left, next_[best.left]);
    }
    std::erase_if(symbols, [](const symbol& s) { return s.begin == s.end; });
  }

 private:
  struct candidate {
    joined_pair pair;
    std::size_t left;    // index of the left symbol
    std::size_t middle;  // its end when the pair was found
    std::size_t end;     // the end of its right neighbour then
  };
  std::vector<std::size_t> next_, previous_;
  std::vector<candidate> heap_;
};

}  // namespace engine
