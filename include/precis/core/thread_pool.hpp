#pragma once

#include <precis/core/executor.hpp>

#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace precis {

/// Distributes the indices over threads that live for one call of `for_each`.
///
/// Unit     threads; 0 = one per processor.
/// Cost     starts `threads - 1` threads per call (tens of microseconds), so the work should take milliseconds.
struct thread_pool {
  std::size_t threads = 0;

  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    std::size_t workers = threads != 0 ? threads : std::thread::hardware_concurrency();
    if (workers > n) workers = n;
    if (workers <= 1) {
      sequential{}.for_each(n, body);
      return;
    }
    std::atomic<std::size_t> next{0};
#if defined(__cpp_exceptions)
    std::vector<std::exception_ptr> failures(n);
    std::atomic<bool> failed{false};
    const auto work = [&] {
      while (!failed) {  // tested before taking an index, so every index below a failing one runs
        const std::size_t i = next++;
        if (i >= n) return;
        try {
          body(i);
        } catch (...) {
          failures[i] = std::current_exception();
          failed = true;
        }
      }
    };
#else
    const auto work = [&] {
      for (std::size_t i = next++; i < n; i = next++) body(i);
    };
#endif
    {
      std::vector<std::jthread> pool;
      pool.reserve(workers - 1);
      for (std::size_t w = 1; w < workers; ++w) pool.emplace_back(work);
      work();
    }
#if defined(__cpp_exceptions)
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
#endif
  }
};

}  // namespace precis
