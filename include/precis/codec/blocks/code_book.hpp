#pragma once

#include <precis/core/algorithms.hpp>
#include <precis/core/as_span.hpp>
#include <precis/kernel/blocks/lattice_tables.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace precis::codec::blocks {

/// A code book of ggml's IQ types: for every tuple of codes the entry that it is, or the entries nearest to it.
///
/// A tuple has 8 codes of 2 bits (0 ... 2) or 4 codes of 3 bits (0 ... 7), the first in the lowest bits: the same bits as
/// an entry of kernel::blocks::lattice_tables.
class code_book {
 public:
  /// Entries that are nearest to each tuple, by shells of equal distance: `shells` of them, in order of distance, then of
  /// the table. Cost: 3^8 or 8^4 tuples x entries.
  template<class = void>
  code_book(std::span<const std::uint16_t> entries, unsigned values, unsigned shells)
      : entries_(entries), bits_(16 / values == 2 ? 2 : 3), values_(values) {
    const unsigned levels = bits_ == 2 ? 3 : 8;
    for (const std::uint16_t e : entries)
      for (unsigned i = 0; i < values; ++i) codes_.push_back(static_cast<std::uint8_t>(code(e, i)));
    first_.assign((std::size_t{1} << bits_ * values) + 1, 0);
    std::vector<std::pair<unsigned, std::uint16_t>> near(entries.size());
    for (std::size_t tuple = 0; tuple + 1 < first_.size(); ++tuple) {
      first_[tuple] = static_cast<std::uint32_t>(listed_.size());
      bool possible = true;
      for (unsigned i = 0; i < values; ++i) possible = possible && code(tuple, i) < levels;
      if (!possible) continue;
      for (std::size_t e = 0; e < entries.size(); ++e) {
        unsigned distance = 0;
        for (unsigned i = 0; i < values; ++i) {
          const int step = static_cast<int>(code(tuple, i)) - static_cast<int>(code(entries[e], i));
          distance += static_cast<unsigned>(step * step);
        }
        near[e] = {distance, static_cast<std::uint16_t>(e)};
      }
      std::sort(near.begin(), near.end());
      unsigned shell = 1;
      for (std::size_t e = 0; e < near.size(); ++e) {
        if (e > 0 && near[e].first != near[e - 1].first && (near[0].first == 0 || shell++ == shells)) break;
        listed_.push_back(near[e].second);
      }
    }
    first_.back() = static_cast<std::uint32_t>(listed_.size());
  }

  /// The candidates for a tuple: itself alone if it is an entry.
  template<class = void>
  [[nodiscard]] std::span<const std::uint16_t> candidates(std::size_t tuple) const noexcept {
    return as_span(listed_.data() + first_[tuple], first_[tuple + 1] - first_[tuple]);
  }
  /// Whether a tuple is an entry.
  template<class = void>
  [[nodiscard]] bool holds(std::size_t tuple) const noexcept {
    return first_[tuple + 1] - first_[tuple] == 1 && entries_[listed_[first_[tuple]]] == tuple;
  }
  /// The codes of an entry, as a tuple and one by one.
  [[nodiscard]] std::size_t tuple_of(std::uint16_t entry) const noexcept { return entries_[entry]; }
  [[nodiscard]] const std::uint8_t* codes_of(std::uint16_t entry) const noexcept {
    return codes_.data() + std::size_t{entry} * values_;
  }
  [[nodiscard]] unsigned code(std::size_t tuple, unsigned i) const noexcept {
    return static_cast<unsigned>(tuple >> bits_ * i) & ((1u << bits_) - 1u);
  }
  [[nodiscard]] unsigned values() const noexcept { return values_; }
  [[nodiscard]] unsigned bits() const noexcept { return bits_; }

 private:
  std::span<const std::uint16_t> entries_;
  unsigned bits_ = 2, values_ = 8;
  std::vector<std::uint32_t> first_;   // where the candidates of a tuple start
  std::vector<std::uint16_t> listed_;  // entries
  std::vector<std::uint8_t> codes_;    // of each entry
};

}  // namespace precis::codec::blocks
