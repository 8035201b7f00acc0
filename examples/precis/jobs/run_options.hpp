#pragma once

#include "jobs/progress.hpp"
#include "jobs/signals.hpp"

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <cstddef>
#include <string>

namespace program {

/// Says once that the system refused to start threads; nothing if there are none.
void warn_of_refused_threads(std::size_t refused);

/// The program's executor: a thread pool that throws `stopped`, instead of taking the next index, once a signal asks for
/// it.
struct worker_pool {
  precis::thread_pool threads = {};

  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    warn_of_refused_threads(threads.for_each(n, [&](std::size_t i) {
      stop_if_interrupted();
      body(i);
    }));
  }
  /// The same for a job that keeps what is finished: returns whether all calls ran.
  template<class Body>
  [[nodiscard]] bool for_each_until_stopped(std::size_t n, Body&& body) const {
    try {
      for_each(n, body);
      return true;
    } catch (const stopped&) {
      return false;
    }
  }
};

/// The options that every subcommand has.
struct run_options {
  std::string json;         ///< file for the result as JSON; empty: none
  std::size_t threads = 0;  ///< 0: one per processor
  bool quiet = false;

  [[nodiscard]] chatter how() const noexcept { return quiet ? chatter::quiet : chatter::normal; }
  [[nodiscard]] worker_pool pool() const noexcept { return {{threads}}; }
};

}  // namespace program
