#pragma once

#include <cstddef>

namespace precis {

namespace detail {
struct any_body {
  void operator()(std::size_t) const {}
};
}  // namespace detail

/// Runs body(0) ... body(n - 1), in any order and on any threads, and returns when all calls are done.
///
/// A stage writes result i to slot i and reduces the slots in index order afterwards, so all executors give the same
/// result. An executor rethrows the exception of the lowest index that threw.
template<class E>
concept executor = requires(E& e, std::size_t n, const detail::any_body& body) { e.for_each(n, body); };

/// Runs the calls in index order on the calling thread. The default everywhere; for threads, include
/// precis/core/thread_pool.hpp.
struct sequential {
  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    for (std::size_t i = 0; i < n; ++i) body(i);
  }
};

}  // namespace precis
