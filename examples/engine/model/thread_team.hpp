#pragma once

#include <engine/model/callback.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace engine {

/// Persistent threads for short tasks, such as one matrix product. (precis::thread_pool starts threads for every call.)
/// One team serves one caller at a time.
///
/// Free threads take the next piece of work, so a thread that is not scheduled does not delay the others.
class thread_team {
 public:
  /// `threads` includes the caller; 0: one per processor. If the system refuses to start some, the team is smaller.
  explicit thread_team(std::size_t threads) {
    if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
    try {
      while (size() < threads) others_.emplace_back([this] { help(); });
    } catch (...) {  // no thread, or no memory for one
      refused_ = threads - size();
    }
  }
  thread_team(const thread_team&) = delete;
  thread_team& operator=(const thread_team&) = delete;
  ~thread_team() {
    ended_ = true;
    wake();
  }

  [[nodiscard]] std::size_t size() const noexcept { return others_.size() + 1; }
  /// How many threads the system refused to start.
  [[nodiscard]] std::size_t refused() const noexcept { return refused_; }

  /// Runs job(0), ..., job(pieces - 1) in any order on any thread, and returns when all are done. The job must not
  /// throw.
  template<class Job>
  void run(std::size_t pieces, Job&& job) {
    const callback<std::size_t> call(job);
    job_ = &call;
    pieces_ = pieces;
    next_ = 0;
    open_ = true;  // last, so that a thread that sees it also sees the stores above
    wake();
    take_pieces();
    open_ = false;
    for (std::size_t spins = 0; inside_ != 0;)
      if (++spins > patience) std::this_thread::yield();
  }

 private:
  static constexpr std::size_t patience = 2000;  // spins before a thread sleeps or yields

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
      ++inside_;  // before the check, so that the caller waits for this thread or has closed the job already
      if (open_) take_pieces();
      --inside_;
    }
  }

  const callback<std::size_t>* job_ = nullptr;
  std::size_t pieces_ = 0, refused_ = 0;
  std::atomic<std::size_t> next_{0}, inside_{0};
  std::atomic<bool> open_{false}, ended_{false};
  std::atomic<unsigned> round_{0};
  std::vector<std::jthread> others_;  // last, so that they are joined before the other members are destroyed
};

}  // namespace engine
