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
/// If the system refuses to start some of the threads, the others do the work, on the same results.
///
/// Unit     threads; 0 = one per processor.
/// Errors   without exceptions, a refused thread ends the program.
/// Cost     starts `threads - 1` threads per call (tens of microseconds), so the work should take milliseconds.
struct thread_pool {
  std::size_t threads = 0;

  /// Returns the number of threads that the system refused to start.
  template<class Body>
  std::size_t for_each(std::size_t n, Body&& body) const {
    std::size_t workers = threads != 0 ? threads : std::thread::hardware_concurrency();
    if (workers > n) workers = n;
    if (workers <= 1) {
      sequential{}.for_each(n, body);
      return 0;
    }
    std::size_t started = 1;
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
#if defined(__cpp_exceptions)
      try {
        for (; started < workers; ++started) pool.emplace_back(work);
      } catch (...) {  // no thread, or no memory for one: those that started take all indices
      }
#else
      for (; started < workers; ++started) pool.emplace_back(work);
#endif
      work();
    }
#if defined(__cpp_exceptions)
    for (const std::exception_ptr& failure : failures)
      if (failure) std::rethrow_exception(failure);
#endif
    return workers - started;
  }
};

}  // namespace precis
