#if !defined(PRECIS_KERNEL_KEEP_OF_FORMAT)
#define PRECIS_KERNEL_KEEP_OF_FORMAT

#include <precis/kernel/grid_format.hpp>
#include <precis/kernel/ieee.hpp>

#include <cstddef>

namespace precis::kernel {
PRECIS_IEEE_BEGIN

/// N:M sparsity: at most `keep` weights of every `group` consecutive columns are kept. A shorter last group of n
/// columns keeps ceil(keep * n / group).
struct keep_of_format {
  std::size_t keep = 2;
  std::size_t group = 4;  ///< 3 ... 256

  bool operator==(const keep_of_format&) const = default;

  /// Weights kept per row of `in` columns.
  [[nodiscard]] constexpr std::size_t count(std::size_t in) const noexcept {
    return in / group * keep + (in % group * keep + group - 1) / group;
  }
  /// Bits of a place: the position of a kept weight inside its group.
  [[nodiscard]] constexpr unsigned place_bits() const noexcept {
    unsigned bits = 2;
    while (std::size_t{1} << bits < group) ++bits;
    return bits;
  }
  /// Places are stored as the codes of this format, without its scale: blocks, then tails.
  [[nodiscard]] constexpr grid_format places() const noexcept {
    return {.rule = grid_rule::symmetric, .code_bits = place_bits(), .group = per_tensor};
  }
  [[nodiscard]] constexpr grid_format::layout layout_of_places(std::size_t out, std::size_t in) const noexcept {
    grid_format::layout l = places().layout_of(out, count(in));
    const std::size_t scales = l.tails - l.scales;
    l.tails -= scales;
    l.bytes -= scales;
    l.offsets = l.scales;
    return l;
  }
};

PRECIS_IEEE_END
}  // namespace precis::kernel

#endif  // PRECIS_KERNEL_KEEP_OF_FORMAT
