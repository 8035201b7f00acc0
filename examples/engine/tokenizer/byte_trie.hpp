#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace engine {

/// Finds all keys that begin at a position of a text.
class byte_trie {
 public:
  byte_trie() = default;
  /// Of equal keys the first counts. Empty keys are ignored.
  explicit byte_trie(std::vector<std::pair<std::string, std::int32_t>> keys) {
    std::ranges::stable_sort(keys, {}, &std::pair<std::string, std::int32_t>::first);
    const auto [repeated, last] = std::ranges::unique(keys, {}, &std::pair<std::string, std::int32_t>::first);
    keys.erase(repeated, last);
    struct range {
      std::size_t node, first, last, depth;
    };
    std::vector<range> open{{0, 0, keys.size(), 0}};
    nodes_.emplace_back();
    for (std::size_t next = 0; next < open.size(); ++next) {  // breadth first: the children of a node are adjacent
      auto [at, i, end, depth] = open[next];
      if (i < end && keys[i].first.size() == depth) {
        if (depth != 0) nodes_[at].value = keys[i].second;
        ++i;
      }
      nodes_[at].child = static_cast<std::uint32_t>(nodes_.size());
      while (i < end) {
        const char label = keys[i].first[depth];
        std::size_t stop = i;
        while (stop < end && keys[stop].first[depth] == label) ++stop;
        open.push_back({nodes_.size(), i, stop, depth + 1});
        nodes_.push_back({.label = static_cast<unsigned char>(label)});
        ++nodes_[at].children;
        i = stop;
      }
    }
  }

  /// Calls use(end, value) for every key that is text[at, end), shortest first.
  template<class Use>
  void matches(std::string_view text, std::size_t at, Use&& use) const {
    if (nodes_.empty()) return;
    const node* here = nodes_.data();
    while (at < text.size()) {
      const node* const first = nodes_.data() + here->child;
      const node* const last = first + here->children;
      const auto label = static_cast<unsigned char>(text[at++]);
      here = std::lower_bound(first, last, label, [](const node& n, unsigned char l) { return n.label < l; });
      if (here == last || here->label != label) return;
      if (here->value >= 0) use(at, here->value);
    }
  }

 private:
  struct node {
    std::uint32_t child = 0;     // index of the first child
    std::uint16_t children = 0;  // sorted by label
    unsigned char label = 0;
    std::int32_t value = -1;
  };
  std::vector<node> nodes_;
};

}  // namespace engine
