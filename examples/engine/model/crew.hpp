#pragma once

#include <engine/model/block.hpp>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace engine {

/// Threads that wait for the next piece of work, which may be as short as one matrix: precis::thread_pool starts threads
/// for every call, these stay. One crew serves one caller at a time.
///
/// Whoever is free takes the next piece, so a thread that the system does not let run costs nothing but its help.
class crew {
 public:
  /// `threads` counts the caller; 0: one for every processor.
  explicit crew(std::size_t threads) {
    if (threads == 0) threads = std::thread::hardware_concurrency();
    for (std::size_t i = 1; i < threads; ++i) others_.emplace_back([this] { help(); });
  }
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew() {
    ended_ = true;
    wake();
  }

  [[nodiscard]] std::size_t size() const noexcept { return others_.size() + 1; }

  /// job(0), ..., job(pieces - 1), in any order on any threads; returns when all are done. The job must not throw.
  template<class Job>
  void run(std::size_t pieces, Job&& job) {
    const callback<std::size_t> call(job);
    job_ = &call;
    pieces_ = pieces;
    next_ = 0;
    open_ = true;  // last: whoever sees it sees the rest
    wake();
    take_pieces();
    open_ = false;
    for (std::size_t spins = 0; inside_ != 0;)
      if (++spins > patience) std::this_thread::yield();
  }

 private:
  static constexpr std::size_t patience = 2000;  // looks before a thread sleeps, or lets others run

  void wake() {
    round_.fetch_add(1);
    round_.notify_all();
  }
  void take_pieces() {
    for (std::size_t i = next_++; i < pieces_; i = next_++) (*job_)(i);
  }
  void help() {
    for (unsigned seen = 0; !ended_; seen = round_) {
      for (std::size_t spins = 0; round_ == seen;)
        if (++spins > patience) round_.wait(seen);
      ++inside_;  // before looking: from here on the caller waits, or has closed
      if (open_) take_pieces();
      --inside_;
    }
  }

  const callback<std::size_t>* job_ = nullptr;
  std::size_t pieces_ = 0;
  std::atomic<std::size_t> next_{0}, inside_{0};
  std::atomic<bool> open_{false}, ended_{false};
  std::atomic<unsigned> round_{0};
  std::vector<std::jthread> others_;  // last: they end before what they use
};

}  // namespace engine
