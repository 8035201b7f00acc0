#pragma once

#include <precis/core/algorithms.hpp>

#include <cstddef>
#include <vector>

namespace precis {

namespace detail {

/// A comparison of two indices, of any type.
struct index_less {
  const void* less;
  bool (*call)(const void*, std::size_t, std::size_t);
  bool operator()(std::size_t a, std::size_t b) const { return call(less, a, b) || (a < b && !call(less, b, a)); }
};

template<class = void>
[[nodiscard]] inline std::vector<std::size_t> sorted_indices(std::size_t count, index_less less) {
  std::vector<std::size_t> order(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  std::sort(order.begin(), order.end(), less);
  return order;
}

}  // namespace detail

/// The indices 0 ... count - 1 in ascending order: less(a, b) compares what two of them stand for. Ties: the lower index
/// comes first. All callers share one sort, so a program compiles it once.
///
/// Errors   none.
/// Cost     O(count log count) calls of `less`.
/// @post    the order of std::stable_sort.
template<class Less>
[[nodiscard]] std::vector<std::size_t> ascending_order(std::size_t count, const Less& less) {
  return detail::sorted_indices(count, {&less, [](const void* f, std::size_t a, std::size_t b) -> bool {
                                          return (*static_cast<const Less*>(f))(a, b);
                                        }});
}

}  // namespace precis
