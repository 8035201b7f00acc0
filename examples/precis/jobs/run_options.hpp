#pragma once

#include "jobs/formats.hpp"
#include "jobs/progress.hpp"
#include "jobs/signals.hpp"

#include <engine/model/shared_forward.hpp>

#include <precis/core/executor.hpp>
#include <precis/core/thread_pool.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace program {

/// Says once that the system refused to start threads; nothing if there are none.
void warn_of_refused_threads(std::size_t refused);

/// The program's executor: a thread pool that throws `stopped`, instead of taking the next index, once a signal asks
/// for it. Fewer calls than threads share the others among their forwards.
struct worker_pool {
  precis::thread_pool threads = {};

  /// The threads of call i of n.
  [[nodiscard]] std::size_t threads_of(std::size_t i, std::size_t n) const;

  template<class Body>
  void for_each(std::size_t n, Body&& body) const {
    warn_of_refused_threads(threads.for_each(n, [&](std::size_t i) {
      stop_if_interrupted();
      const engine::shared_forward share(threads_of(i, n));
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

/// The options that every subcommand has, and --fit.
struct run_options {
  std::string json;         ///< file for the result as JSON; empty: none
  std::size_t threads = 0;  ///< 0: one per processor
  bool quiet = false;
  std::string fit = "clip_search";  ///< of subcommands that encode; see code_fit
  bool fit_given = false;

  [[nodiscard]] chatter how() const noexcept { return quiet ? chatter::quiet : chatter::normal; }
  [[nodiscard]] code_fit coder() const { return fit_called(fit); }
  [[nodiscard]] worker_pool pool() const noexcept { return {{threads}}; }
};

/// The fit of a table or plan, from its notes, or --fit if they name none. Errors: --fit is given and differs; `where`
/// is the file.
[[nodiscard]] code_fit agreed_fit(const std::vector<std::string>& notes, const run_options& o,
                                  const std::string& where);

}  // namespace program
