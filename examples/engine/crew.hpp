#pragma once

#include <engine/block.hpp>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace engine {

/// Threads that wait for the next piece of work, which may be as short as one matrix: precis::thread_pool starts threads
/// for every call, these stay. One crew serves one caller at a time.
class crew {
 public:
  /// `threads` counts the caller; 0: one for every processor.
  explicit crew(std::size_t threads) {
    if (threads == 0) threads = std::thread::hardware_concurrency();
    for (std::size_t i = 1; i < threads; ++i) others_.emplace_back([this, i] { work(i); });
  }
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew() {
    job_ = nullptr;
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

  [[nodiscard]] std::size_t size() const noexcept { return others_.size() + 1; }

  /// job(0), ..., job(size() - 1), one a thread; returns when all are done. The job must not throw.
  template<class Job>
  void run(Job&& job) {
    if (others_.empty()) return job(std::size_t{0});
    const callback<std::size_t> call(job);
    job_ = &call;
    open_.store(others_.size(), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
    call(0);
    for (std::size_t spins = 0; open_.load(std::memory_order_acquire) != 0;)
      if (++spins > patience) std::this_thread::yield();
  }

 private:
  static constexpr std::size_t patience = 2000;  // looks before a thread sleeps, or lets others run

  void work(std::size_t index) {
    for (unsigned seen = 0;; ++seen) {
      for (std::size_t spins = 0; round_.load(std::memory_order_acquire) == seen;)
        if (++spins > patience) round_.wait(seen, std::memory_order_acquire);
      if (job_ == nullptr) return;
      (*job_)(index);
      open_.fetch_sub(1, std::memory_order_release);
    }
  }

  const callback<std::size_t>* job_ = nullptr;
  std::atomic<unsigned> round_{0};
  std::atomic<std::size_t> open_{0};
  std::vector<std::jthread> others_;  // last: they end before what they use
};

}  // namespace engine
